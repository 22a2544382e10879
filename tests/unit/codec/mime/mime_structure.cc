// Prints what the scan sees of a message, for comparison with other parsers: a JSON array of its
// parts. Messages in base64 or quoted-printable are decoded and walked, too.
//
// Input   A message in standard input. Its line ends may be LF.
// Output  [{"depth", "kind", "type", "names", "encoding", "body", "unclear"}]; the body is that of
// a
//         leaf, decoded, in hexadecimal.

#include "ebbgate/mime/streamer.h"
#include "ebbgate/mime/transfer_decoder.h"

#include "codec/json/writer.h"

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

struct seen_part {
    std::uint32_t depth = 0;
    mime::part_kind kind = mime::part_kind::leaf;
    mime::content_fields content;
    std::string body;
    std::vector<std::string> unclear;
};

using parts = std::vector<std::unique_ptr<seen_part>>;

class observer final : public mime::visitor {
public:
    observer(parts& all, std::uint32_t depth) : all_(all), depth_(depth) {}

    void part_begin(const mime::part& it) override {
        own_.push_back(all_.emplace_back(std::make_unique<seen_part>()).get());
        own_.back()->depth = depth_ + it.depth;
    }

    void header(const mime::part& it, const mime::part_header&) override {
        own_[it.index]->kind = it.kind;
        own_[it.index]->content = it.content;
        decoder_ = mime::transfer_decoder(it.content.encoding);
        if (it.kind == mime::part_kind::encoded_message && depth_ + it.depth < 20) {
            inner_events_ = std::make_unique<observer>(all_, depth_ + it.depth + 1);
            inner_ = std::make_unique<mime::streamer>(*inner_events_);
        }
    }

    void bytes(const mime::part& it, mime::region where, std::uint64_t, byte_view bytes) override {
        if (where == mime::region::body) {
            std::string decoded;
            decoder_.decode(bytes, decoded);
            take(*own_[it.index], decoded);
        }
    }

    void body_end(const mime::part& it, std::uint64_t) override {
        if (it.kind == mime::part_kind::multipart || it.kind == mime::part_kind::message) {
            return;
        }
        std::string decoded;
        decoder_.finish(decoded);
        take(*own_[it.index], decoded);
        if (inner_ != nullptr) {
            inner_->finish();
            inner_.reset();
        }
    }

    void unclear(const mime::part& it, mime::ambiguity kind, std::uint64_t) override {
        own_[it.index]->unclear.emplace_back(mime::text_of(kind));
    }

private:
    void take(seen_part& it, byte_view decoded) {
        if (inner_ != nullptr) {
            inner_->push(decoded);
        } else {
            it.body += decoded;
        }
    }

    parts& all_;
    std::uint32_t depth_;
    std::vector<seen_part*> own_;
    mime::transfer_decoder decoder_{mime::transfer_encoding::identity};
    std::unique_ptr<observer> inner_events_;
    std::unique_ptr<mime::streamer> inner_;
};

std::string with_line_ends(byte_view raw) {
    std::string text;
    for (const char c : raw) {
        if (c == '\n' && !text.ends_with('\r')) {
            text += '\r';
        }
        text += c;
    }
    return text;
}

void write_part(json::writer& out, const seen_part& it) {
    static constexpr const char* kinds[] = {
        "leaf", "multipart", "message", "message", "partial", "external"};
    out.begin_object();
    out.member("depth", it.depth);
    out.member("kind", kinds[static_cast<std::size_t>(it.kind)]);
    out.member("type", it.content.type + '/' + it.content.subtype);
    out.member("encoding", it.content.encoding_name);
    out.key("names").begin_array();
    for (const std::string& name : it.content.names) {
        out.string(name);
    }
    out.end_array().key("unclear").begin_array();
    for (const std::string& kind : it.unclear) {
        out.string(kind);
    }
    out.end_array();
    std::string hex;
    for (const char c : it.body) {
        constexpr byte_view digits = "0123456789abcdef";
        hex += digits[static_cast<unsigned char>(c) >> 4];
        hex += digits[static_cast<unsigned char>(c) & 0xf];
    }
    out.member("body", hex).end_object();
}

} // namespace

int main() {
    const std::string raw{std::istreambuf_iterator<char>(std::cin), {}};
    parts all;
    observer events(all, 0);
    mime::streamer scan(events);
    scan.push(with_line_ends(raw));
    scan.finish();
    std::string text;
    json::writer out(text);
    out.begin_array();
    for (const auto& it : all) {
        write_part(out, *it);
    }
    out.end_array();
    std::puts(text.c_str());
}
