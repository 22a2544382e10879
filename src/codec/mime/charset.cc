#include "ebbgate/mime/charset.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <iconv.h>
#include <optional>

namespace ebbgate::mime {
namespace {

constexpr byte_view replacement = "\xef\xbf\xbd";

// What windows-1252 has between 0x80 and 0x9f; 0: nothing.
constexpr std::array<std::uint16_t, 32> windows_1252{
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

void append_code_point(std::string& out, unsigned code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | code >> 6);
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        out += static_cast<char>(0xe0 | code >> 12);
        out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    }
}

decoded_text from_utf8(byte_view bytes) {
    decoded_text out;
    out.text.reserve(bytes.size());
    while (!bytes.empty()) {
        std::size_t length = utf8_sequence_bytes(bytes, 0);
        if (length == 0) {
            out.valid = false;
            out.text += replacement;
            length = 1;
        } else {
            out.text += bytes.substr(0, length);
        }
        bytes.remove_prefix(length);
    }
    return out;
}

enum class table : std::uint8_t { latin1, windows };

decoded_text from_table(table wanted, byte_view bytes) {
    decoded_text out;
    for (const char c : bytes) {
        unsigned code = static_cast<unsigned char>(c);
        if (wanted == table::windows && code >= 0x80 && code < 0xa0) {
            code = windows_1252[code - 0x80];
            if (code == 0) {
                out.valid = false;
                code = 0xfffd;
            }
        }
        append_code_point(out.text, code);
    }
    return out;
}

// The charsets of mail that the C library knows, without those it knows under many names only.
constexpr auto known_charsets = std::to_array<byte_view>(
    {"big5",         "big5-hkscs",   "cp437",          "cp850",        "cp852",
     "cp866",        "cp932",        "cp936",          "cp949",        "cp950",
     "euc-jp",       "euc-kr",       "euc-tw",         "gb18030",      "gb2312",
     "gbk",          "iso-2022-cn",  "iso-2022-jp",    "iso-2022-kr",  "iso-8859-10",
     "iso-8859-11",  "iso-8859-13",  "iso-8859-14",    "iso-8859-15",  "iso-8859-16",
     "iso-8859-2",   "iso-8859-3",   "iso-8859-4",     "iso-8859-5",   "iso-8859-6",
     "iso-8859-7",   "iso-8859-8",   "iso-8859-8-i",   "iso-8859-9",   "johab",
     "koi8-r",       "koi8-u",       "ks_c_5601-1987", "macintosh",    "shift_jis",
     "tis-620",      "utf-16",       "utf-16be",       "utf-16le",     "utf-32",
     "utf-7",        "windows-1250", "windows-1251",   "windows-1253", "windows-1254",
     "windows-1255", "windows-1256", "windows-1257",   "windows-1258", "windows-31j",
     "windows-874"});

class converter {
public:
    explicit converter(const char* charset) noexcept : handle_(iconv_open("UTF-8", charset)) {}

    converter(const converter&) = delete;
    converter& operator=(const converter&) = delete;

    ~converter() {
        if (usable()) {
            iconv_close(handle_);
        }
    }

    [[nodiscard]] bool usable() const noexcept {
        return handle_ != reinterpret_cast<iconv_t>(std::intptr_t{-1});
    }

    [[nodiscard]] decoded_text convert(byte_view bytes) noexcept(false);

private:
    iconv_t handle_;
};

decoded_text converter::convert(byte_view bytes) {
    decoded_text out;
    std::array<char, 512> space;
    char* from = const_cast<char*>(bytes.data()); // iconv(3) does not write there.
    std::size_t left = bytes.size();
    while (true) {
        char* to = space.data();
        std::size_t room = space.size();
        char* const before = from;
        const bool flush = left == 0;
        const std::size_t status = flush ? iconv(handle_, nullptr, nullptr, &to, &room)
                                         : iconv(handle_, &from, &left, &to, &room);
        out.text.append(space.data(), space.size() - room);
        if (status != static_cast<std::size_t>(-1)) {
            if (flush) {
                return out;
            }
            continue;
        }
        if (errno == E2BIG && (from != before || room != space.size())) {
            continue;
        }
        out.valid = false;
        if (flush) {
            return out;
        }
        out.text += replacement;
        ++from;
        --left;
        iconv(handle_, nullptr, nullptr, nullptr, nullptr);
    }
}

decoded_text by_library(const std::string& name, byte_view bytes) {
    static_assert(std::ranges::is_sorted(known_charsets));
    if (std::ranges::binary_search(known_charsets, byte_view(name))) {
        const char* asked = name.c_str();
        // Under the names that the library has.
        if (name == "iso-8859-8-i") {
            asked = "iso-8859-8";
        } else if (name == "ks_c_5601-1987") {
            asked = "cp949";
        } else if (name == "windows-874") {
            asked = "cp874";
        }
        if (converter it(asked); it.usable()) {
            return it.convert(bytes);
        }
    }
    decoded_text out = from_utf8(bytes);
    out.charset_known = false;
    return out;
}

} // namespace

decoded_text to_utf8(byte_view charset, byte_view bytes) {
    const std::string name = lowered(charset.substr(0, charset.find('*')));
    if (name == "utf-8" || name == "utf8" || name == "us-ascii" || name == "ascii") {
        return from_utf8(bytes); // More than ASCII under its name: as raw UTF-8 in a header.
    }
    if (name == "iso-8859-1" || name == "latin1") {
        return from_table(table::latin1, bytes);
    }
    if (name == "windows-1252" || name == "cp1252") {
        return from_table(table::windows, bytes);
    }
    return by_library(name, bytes);
}

} // namespace ebbgate::mime
