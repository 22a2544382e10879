// Law: however a message is cut, its events are the same, and the views given are the message. The
// decoders, too, give the same bytes for each cutting.

#include "ebbgate/base/assert.h"
#include "ebbgate/mime/embedded_files.h"
#include "ebbgate/mime/streamer.h"
#include "ebbgate/mime/transfer_decoder.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using ebbgate::byte_view;
using namespace ebbgate::mime; // NOLINT(google-build-using-namespace): this file is the program

// Everything but where the cuts within a region are.
class journal final : public visitor {
public:
    void part_begin(const part& it) override {
        EBBGATE_ASSERT(it.header_at == message.size());
        EBBGATE_ASSERT(it.parent == no_part ? it.index == 0 : it.parent < it.index);
        log("part", it, it.parent);
    }

    void header(const part& it, const part_header& header) override {
        EBBGATE_ASSERT(it.header_at == message.size());
        EBBGATE_ASSERT(it.body_at == it.header_at + header.text.size());
        log("header", it, static_cast<std::uint64_t>(it.kind));
        std::size_t end = 0;
        for (const ebbgate::mail::header_field& field : header.fields) {
            EBBGATE_ASSERT(field.at >= end && field.name_bytes > 0);
            end = std::size_t{field.at} + field.bytes;
            EBBGATE_ASSERT(end <= header.text.size());
            events.emplace_back(header.name(field));
            events.emplace_back(header.value(field));
        }
        EBBGATE_ASSERT(it.content.names.size() <= names_max);
        for (const std::string& name : it.content.names) {
            events.push_back(name);
        }
    }

    void bytes(const part& it, region where, std::uint64_t at, byte_view bytes) override {
        EBBGATE_ASSERT(at == message.size() && !bytes.empty());
        message += bytes;
        if (it.index != last_part_ || where != last_region_ || where == region::boundary) {
            log("bytes", it, at);
        }
        last_part_ = it.index;
        last_region_ = where;
    }

    void body_end(const part& it, std::uint64_t at) override {
        EBBGATE_ASSERT(at == message.size());
        log("end", it, at);
    }

    void part_end(const part& it) override { log("done", it, 0); }

    void unclear(const part& it, ambiguity kind, std::uint64_t at) override {
        reports.push_back(std::string(text_of(kind)) + std::to_string(it.index) + ' ' +
                          std::to_string(at) + " behind " + std::to_string(message.size()));
    }

    std::string message;
    std::vector<std::string> events;
    std::vector<std::string> reports;

private:
    void log(const char* what, const part& it, std::uint64_t more) {
        last_part_ = no_part;
        events.push_back(std::string(what) + ' ' + std::to_string(it.index) + ' ' +
                         std::to_string(it.depth) + ' ' + std::to_string(more));
    }

    std::uint32_t last_part_ = no_part;
    region last_region_ = region::header;
};

template <typename push>
void cut(byte_view text, std::size_t bytes_max, push&& each) {
    std::size_t length = 1;
    while (!text.empty()) {
        const std::vector<char> chunk(
            text.begin(),
            text.begin() + static_cast<std::ptrdiff_t>(std::min(length, text.size())));
        each(byte_view(chunk.data(), chunk.size()));
        text.remove_prefix(chunk.size());
        length = length % bytes_max + 1;
    }
}

void check_decoder(transfer_encoding encoding, byte_view text, std::size_t bytes_max) {
    transfer_decoder whole(encoding);
    std::string expected;
    whole.decode(text, expected);
    whole.finish(expected);
    transfer_decoder pieces(encoding);
    std::string found;
    cut(text, bytes_max, [&](byte_view chunk) { pieces.decode(chunk, found); });
    pieces.finish(found);
    EBBGATE_ASSERT(found == expected);
    EBBGATE_ASSERT(pieces.irregular() == whole.irregular());
    const std::size_t growth = encoding == transfer_encoding::uuencode ? 32 : 1;
    EBBGATE_ASSERT(found.size() <= text.size() * growth + 64);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 2) {
        return 0;
    }
    const byte_view text(reinterpret_cast<const char*>(data + 2), bytes - 2);
    const std::size_t bytes_max = data[0] % 100U + 1;
    stream_limits limits;
    if (data[1] != 0) { // Small, so that they are reached.
        limits.depth_max = data[1] % 8U;
        limits.parts_max = data[1] % 16U + 1;
        limits.header_bytes_max = std::size_t{data[1]} * 4;
        limits.fields_max = data[1] % 9U;
    }
    journal whole;
    streamer once(whole, limits);
    once.push(text);
    once.finish();
    EBBGATE_ASSERT(whole.message == text);

    journal pieces;
    streamer often(pieces, limits);
    cut(text, bytes_max, [&](byte_view chunk) { often.push(chunk); });
    often.finish();
    EBBGATE_ASSERT(pieces.message == text);
    EBBGATE_ASSERT(pieces.events == whole.events);
    EBBGATE_ASSERT(pieces.reports == whole.reports);

    check_decoder(transfer_encoding::base64, text, bytes_max);
    check_decoder(transfer_encoding::quoted_printable, text, bytes_max);
    check_decoder(transfer_encoding::uuencode, text, bytes_max);

    embedded_files found;
    found.push(text);
    found.finish();
    embedded_files by_pieces;
    cut(text, bytes_max, [&](byte_view chunk) { by_pieces.push(chunk); });
    by_pieces.finish();
    EBBGATE_ASSERT(std::ranges::equal(found.found(), by_pieces.found()));
    EBBGATE_ASSERT(found.count() == by_pieces.count());
    return 0;
}
