// Law: however the body is cut, the canonical form is the same; it is the form of itself; a final
// CRLF that is not there makes no difference; and it is what the RFC's words make line by line.

#include "ebbgate/base/assert.h"
#include "ebbgate/dkim/canonicalizer.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using ebbgate::byte_view;
using ebbgate::dkim::canonicalization;

class collector final : public ebbgate::dkim::body_canonicalizer {
public:
    using body_canonicalizer::body_canonicalizer;
    std::string text;

private:
    void take(byte_view bytes) override { text += bytes; }
};

std::string canonical(byte_view body, canonicalization form, std::size_t step_max) {
    collector collected(form);
    std::size_t step = 1;
    while (!body.empty()) {
        const std::string chunk(body.substr(0, step)); // Its own heap block.
        collected.feed(chunk);
        body.remove_prefix(chunk.size());
        step = step % step_max + 1;
    }
    collected.finish();
    return collected.text;
}

std::string relaxed_line(byte_view line) {
    std::string out;
    for (const char c : line) {
        const bool blank = c == ' ' || c == '\t';
        if (!blank || !out.ends_with(' ')) {
            out += blank ? ' ' : c;
        }
    }
    if (out.ends_with(' ')) {
        out.pop_back();
    }
    return out;
}

// RFC 6376 sections 3.4.3 and 3.4.4.
std::string as_the_rfc_says(std::string body, canonicalization form) {
    body += body.ends_with("\r\n") ? "" : "\r\n";
    std::string out;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t end = body.find("\r\n", at);
        const byte_view line = byte_view(body).substr(at, end - at);
        out += form == canonicalization::relaxed ? relaxed_line(line) : std::string(line);
        out += "\r\n";
        at = end + 2;
    }
    while (out.ends_with("\r\n\r\n")) {
        out.resize(out.size() - 2);
    }
    return out == "\r\n" && form == canonicalization::relaxed ? "" : out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 1) {
        return 0;
    }
    const std::string body(reinterpret_cast<const char*>(data + 1), bytes - 1);
    for (const auto form : {canonicalization::simple, canonicalization::relaxed}) {
        const std::string wanted = as_the_rfc_says(body, form);
        collector whole(form);
        whole.feed("left over \r\n\r\n ");
        whole.clear();
        whole.text.clear();
        whole.feed(body);
        whole.finish();
        EBBGATE_ASSERT(whole.text == wanted);
        EBBGATE_ASSERT(canonical(body, form, data[0] + std::size_t{1}) == wanted);
        EBBGATE_ASSERT(canonical(wanted, form, 64 * ebbgate::kib) == wanted);
        if (!body.ends_with("\r\n")) {
            EBBGATE_ASSERT(canonical(body + "\r\n", form, 64 * ebbgate::kib) == wanted);
        }
    }
    return 0;
}
