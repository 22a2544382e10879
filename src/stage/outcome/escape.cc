#include "stage/outcome/escape.h"

#include "base/text.h"
#include "codec/json/writer.h"

namespace ebbgate::outcome {

namespace {

constexpr std::string_view cut_mark = "...";

bool is_plain(char c, bool address) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte >= 0x7f) {
        return byte == ' ' && !address;
    }
    return !address || (c != '<' && c != '>' && c != ',');
}

void append_clean(std::string& out, std::string_view text, std::size_t bytes_max, bool address) {
    const std::string_view kept = cut_text(text, bytes_max);
    std::size_t at = 0;
    while (at < kept.size()) {
        std::size_t end = at;
        while (end < kept.size() && is_plain(kept[end], address)) {
            ++end;
        }
        out.append(kept, at, end - at);
        at = end;
        if (at == kept.size()) {
            break;
        }
        const std::size_t bytes =
            static_cast<unsigned char>(kept[at]) < 0x80 ? 1 : utf8_sequence_bytes(kept, at);
        // U+0080 to U+009F are terminal controls.
        const bool c1_control =
            bytes == 2 && kept[at] == '\xc2' && static_cast<unsigned char>(kept[at + 1]) < 0xa0;
        if (bytes > 1 && !c1_control) {
            out.append(kept, at, bytes);
        } else {
            out += '?';
        }
        at += bytes == 0 ? 1 : bytes;
    }
    if (kept.size() < text.size()) {
        out += cut_mark;
    }
}

} // namespace

std::string_view cut_text(std::string_view text, std::size_t bytes_max) noexcept {
    if (text.size() <= bytes_max) {
        return text;
    }
    std::size_t end = bytes_max;
    constexpr std::size_t continuation_max = 3;
    for (std::size_t back = 0; back < continuation_max && end > 0; ++back) {
        if ((static_cast<unsigned char>(text[end]) & 0xc0U) != 0x80U) {
            break;
        }
        --end;
    }
    return text.substr(0, end);
}

void append_printable(std::string& out, std::string_view text, std::size_t bytes_max) {
    append_clean(out, text, bytes_max, false);
}

void append_address(std::string& out, std::string_view text, std::size_t bytes_max) {
    append_clean(out, text, bytes_max, true);
}

} // namespace ebbgate::outcome
