#include "ebbgate/dkim/canonicalizer.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"
#include "codec/dkim/blanks.h"
#include "crypto/hash.h"

#include <algorithm>
#include <cstring>

namespace ebbgate::dkim {
namespace {

constexpr std::size_t direct_bytes_min = 512; // Shorter ones are cheaper to gather than to hash.

// What may turn out to be the end of the body.
constexpr bool may_be_tail(char c, canonicalization form) noexcept {
    return c == '\r' || c == '\n' || (form == canonicalization::relaxed && is_blank(c));
}

void append_relaxed(std::string& out, byte_view field) {
    const bool ended = field.ends_with("\r\n");
    const std::size_t colon = std::min(field.find(':'), field.size());
    byte_view name = field.substr(0, colon);
    while (!name.empty() && is_blank(name.back())) {
        name.remove_suffix(1);
    }
    for (const char c : name) {
        out += lower(c);
    }
    if (colon < field.size()) {
        out += ':';
        byte_view value = field.substr(colon + 1);
        value.remove_suffix(ended ? 2 : 0);
        bool blank = false;
        bool begun = false;
        for (std::size_t i = 0; i < value.size(); ++i) {
            const char c = value[i];
            if (is_blank(c)) {
                blank = true;
            } else if (c == '\r' && i + 1 < value.size() && value[i + 1] == '\n') {
                ++i; // A fold: the blank behind it stays.
            } else {
                out.append(blank && begun ? 1 : 0, ' ');
                out += c;
                blank = false;
                begun = true;
            }
        }
    }
    out += ended ? "\r\n" : "";
}

} // namespace

void append_field(std::string& out, byte_view field, canonicalization form) {
    if (form == canonicalization::simple) {
        out += field;
    } else {
        append_relaxed(out, field);
    }
}

void body_canonicalizer::feed(byte_view chunk) {
    while (!chunk.empty() && holds_something()) {
        step(chunk.front());
        chunk.remove_prefix(1);
    }
    std::size_t content = chunk.size();
    while (content > 0 && may_be_tail(chunk[content - 1], form_)) {
        --content;
    }
    if (content > 0) {
        // Whatever is in here, something follows it: no line end needs to be held.
        has_content_ = true;
        if (form_ == canonicalization::simple) {
            put(chunk.substr(0, content));
        } else {
            put_relaxed(chunk.substr(0, content));
        }
    }
    for (const char c : chunk.substr(content)) {
        step(c);
    }
}

void body_canonicalizer::step(char c) {
    if (cr_held_) {
        cr_held_ = false;
        if (c == '\n') {
            blank_held_ = false;
            ++line_ends_;
            return;
        }
        put_held();
        put("\r");
    }
    if (c == '\r') {
        cr_held_ = true;
    } else if (form_ == canonicalization::relaxed && is_blank(c)) {
        blank_held_ = true;
    } else {
        put_held();
        put({&c, 1});
    }
}

// Content follows.
void body_canonicalizer::put_held() {
    put_lines(line_ends_);
    line_ends_ = 0;
    if (blank_held_) {
        put(" ");
        blank_held_ = false;
    }
    has_content_ = true;
}

void body_canonicalizer::put_lines(std::uint64_t count) {
    static constexpr byte_view lines =
        "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
    while (count > 0) {
        const std::uint64_t now = std::min<std::uint64_t>(count, lines.size() / 2);
        put(lines.substr(0, static_cast<std::size_t>(now) * 2));
        count -= now;
    }
}

// The last byte is neither blank nor line end, so looking one byte ahead stays inside.
void body_canonicalizer::put_relaxed(byte_view bytes) {
    const char* from = bytes.data();
    const char* const last = bytes.data() + bytes.size() - 1;
    const char* at = from;
    while (true) {
        at = find_blank_to_change(at, last);
        if (at == last) {
            put({from, static_cast<std::size_t>(last - from) + 1});
            return;
        }
        const char* behind = at + 1;
        while (is_blank(*behind)) {
            ++behind;
        }
        const bool ends_line = behind[0] == '\r' && behind[1] == '\n';
        if (!ends_line && behind == at + 1 && *at == ' ') {
            ++at; // One space in front of a control.
            continue;
        }
        put({from, static_cast<std::size_t>(at - from)});
        from = behind;
        if (!ends_line && behind[-1] == ' ') {
            --from; // Goes on with the last of the blanks.
        } else if (!ends_line) {
            put(" ");
        }
        at = behind;
    }
}

void body_canonicalizer::put(byte_view bytes) {
    if (bytes.size() > gather_.size() - gathered_ || bytes.size() >= direct_bytes_min) {
        flush();
        if (bytes.size() >= direct_bytes_min) {
            take(bytes);
            return;
        }
    }
    std::memcpy(gather_.data() + gathered_, bytes.data(), bytes.size());
    gathered_ += static_cast<std::uint32_t>(bytes.size());
}

void body_canonicalizer::flush() {
    if (gathered_ > 0) {
        take({gather_.data(), gathered_});
        gathered_ = 0;
    }
}

void body_canonicalizer::finish() {
    if (cr_held_) {
        cr_held_ = false; // It was no line end.
        put_held();
        put("\r");
    }
    if (has_content_ || form_ == canonicalization::simple) {
        put("\r\n");
    }
    flush();
}

void body_canonicalizer::clear() noexcept {
    blank_held_ = false;
    cr_held_ = false;
    has_content_ = false;
    line_ends_ = 0;
    gathered_ = 0;
}

body_hasher::body_hasher(canonicalization form, std::uint64_t bytes_max)
    : body_hasher(form, bytes_max, crypto::hash_kind::sha256) {}

body_hasher::body_hasher(canonicalization form, std::uint64_t bytes_max, crypto::hash_kind kind)
    : body_canonicalizer(form), hash_(std::make_unique<crypto::hash>(kind)), bytes_max_(bytes_max) {
}

body_hasher::body_hasher(const body_hasher& other)
    : body_canonicalizer(other), hash_(std::make_unique<crypto::hash>(*other.hash_)),
      bytes_max_(other.bytes_max_), bytes_(other.bytes_), last_bytes_(other.last_bytes_) {}

body_hasher::~body_hasher() = default;

void body_hasher::take(byte_view bytes) {
    const std::uint64_t room = bytes_max_ - std::min(bytes_, bytes_max_);
    bytes_ += bytes.size();
    hash_->update(
        bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(room, bytes.size()))));
}

crypto::digest body_hasher::any_digest() {
    finish();
    clear();
    last_bytes_ = bytes_;
    bytes_ = 0;
    return hash_->finish();
}

std::array<std::uint8_t, 32> body_hasher::digest() {
    return any_digest().bytes;
}

} // namespace ebbgate::dkim
