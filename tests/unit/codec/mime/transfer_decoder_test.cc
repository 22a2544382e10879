// Encoded bodies, decoded whole and cut at each byte, with and without the vector unit.

#include "ebbgate/mime/boundary_search.h"
#include "ebbgate/mime/embedded_files.h"
#include "ebbgate/mime/transfer_decoder.h"

#include "codec/mime/base64.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <vector>

namespace ebbgate::mime {
namespace {

using enum transfer_encoding;

struct decoded {
    std::string bytes;
    irregularities irregular;

    bool operator==(const decoded&) const = default;

    friend std::ostream& operator<<(std::ostream& out, const decoded& it) {
        return out << testing::PrintToString(it.bytes) << it.irregular.foreign_byte
                   << it.irregular.padding_within << it.irregular.truncated;
    }
};

decoded decode(transfer_encoding encoding, byte_view text, std::size_t first, std::size_t then) {
    transfer_decoder decoder(encoding);
    decoded out;
    while (!text.empty()) {
        const std::vector<char> chunk(
            text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(first, text.size())));
        decoder.decode({chunk.data(), chunk.size()}, out.bytes);
        text.remove_prefix(chunk.size());
        first = then;
    }
    decoder.finish(out.bytes);
    out.irregular = decoder.irregular();
    return out;
}

decoded decode_every_way(transfer_encoding encoding, byte_view text) {
    decoded whole = decode(encoding, text, text.size(), 1);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        EXPECT_EQ(decode(encoding, text, cut, text.size()), whole) << text << " cut at " << cut;
    }
    EXPECT_EQ(decode(encoding, text, 1, 1), whole) << text;
    return whole;
}

std::string base64_of(byte_view bytes, std::size_t line_digits) {
    constexpr byte_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    std::size_t in_line = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t bits = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            bits =
                bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            out += i + j <= bytes.size() ? digits[bits >> (18 - 6 * j) & 63] : '=';
            if (++in_line == line_digits) {
                out += "\r\n";
                in_line = 0;
            }
        }
    }
    return out;
}

TEST(TransferDecoder, DecodesBase64) {
    const irregularities none;
    const irregularities foreign{true, false, false};
    const irregularities within{false, true, false};
    const irregularities truncated{false, false, true};
    const std::vector<std::pair<byte_view, decoded>> cases{
        {"", {"", none}},
        {"Zm9vYmFy", {"foobar", none}},
        {"Zm9v\r\nYmE=\r\n", {"fooba", none}},
        {"Zg==", {"f", none}},
        {" Z m\t9 v ", {"foo", none}},
        {"Zm9v!YmFy", {"foobar", foreign}},
        {"Zm-9v", {"foo", foreign}},
        {"=Zm9v", {"foo", foreign}},
        {"Zg==Zm9v", {"ffoo", within}},
        {"Zm8=Zm9v", {"fofoo", within}},
        {"Zm8==", {"fo", none}},
        {"Z=m9v", {"\x9b\xdb", {true, false, true}}},
        {"Zg", {"f", truncated}},
        {"Zm8", {"fo", truncated}},
        {"Zg=", {"f", none}},
        {"Z", {"", {true, false, true}}},
    };
    for (const auto& [text, expected] : cases) {
        EXPECT_EQ(decode_every_way(base64, text), expected) << text;
    }
}

TEST(TransferDecoder, DecodesBase64OfAnyLength) {
    std::mt19937 random(1);
    for (std::size_t bytes = 0; bytes < 400; ++bytes) {
        std::string plain(bytes, '\0');
        std::ranges::generate(plain, [&] { return static_cast<char>(random() & 0xff); });
        for (const std::size_t line : {std::size_t{76}, std::size_t{75}, std::size_t{1000}}) {
            const std::string text = base64_of(plain, line);
            EXPECT_EQ(decode(base64, text, 1000, 1000), (decoded{plain, {}})) << bytes;
            EXPECT_EQ(decode(base64, text, random() % 100 + 1, random() % 100 + 1),
                      (decoded{plain, {}}));
        }
    }
}

// Each byte in each lane: what the vector unit takes for a digit, the table does, too.
TEST(TransferDecoder, AgreesWithItselfWithoutTheVectorUnit) {
    if (!machine_has(vector_unit::avx2)) {
        GTEST_SKIP() << "skipped: no AVX2 here";
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
        for (std::size_t at = 0; at < 64; ++at) {
            std::string text(64, 'x');
            text[at] = static_cast<char>(byte);
            std::string plain(48 + base64_slack_bytes, '\0');
            std::string fast = plain;
            const std::size_t taken = decode_digits(text, plain.data(), vector_unit::none);
            ASSERT_EQ(decode_digits(text, fast.data(), vector_unit::avx2), taken);
            ASSERT_EQ(fast.substr(0, taken / 4 * 3), plain.substr(0, taken / 4 * 3));
        }
    }
}

TEST(TransferDecoder, DecodesQuotedPrintable) {
    const irregularities none;
    const irregularities foreign{true, false, false};
    const std::string blanks(1024, ' ');
    const std::string too_many(1025, ' ');
    const std::vector<std::pair<std::string, decoded>> cases{
        {"a=3Db=3db\r\n", {"a=b=b\r\n", none}},
        {"a=\r\nb", {"ab", none}},
        {"a= \t\r\nb", {"ab", none}},
        {"a=\nb", {"ab", none}},
        {"a =20 \r\n", {"a   \r\n", none}},
        {"a=", {"a", none}},
        {"a=\r", {"a", none}},
        {"a=3", {"a=3", {false, false, true}}},
        {"a=xy", {"a=xy", foreign}},
        {"a=3x", {"a=3x", foreign}},
        {"a= x", {"a= x", foreign}},
        {"a==3D", {"a==", foreign}},
        {"a=" + blanks + "\r\nb", {"ab", none}},
        {"a=" + too_many + "\r\nb", {"a=" + too_many + "\r\nb", foreign}},
        {"=\rx", {"=\rx", foreign}},
    };
    for (const auto& [text, expected] : cases) {
        EXPECT_EQ(decode_every_way(quoted_printable, text), expected) << text;
    }
}

TEST(TransferDecoder, DecodesUuencode) {
    const irregularities none;
    const std::vector<std::pair<std::string, decoded>> cases{
        {"begin 644 a\r\n#0V%T\r\n`\r\nend\r\n", {"Cat", none}},
        {"text\r\nbegin 644 a\n#0V%T\n \nend\nmore", {"Cat", none}},
        {"begin 644 a\r\n$0V%T``\r\n", {std::string("Cat\0", 4), {false, false, true}}},
        {"begin 644 a\r\n\"0V\r\nend", {"C`", none}},
        {"begin 644 a\r\n#0V~T\r\nend", {"Cg\xb4", {true, false, false}}},
        {"begin 644 a\r\n#" + std::string(300, 'x') + "\r\nend", {"", {true, false, false}}},
        {"begin 644 a\r\n#\r\nend", {std::string(3, '\0'), none}}, // Its blanks were cut.
        {"no file", {"", none}},
    };
    for (const auto& [text, expected] : cases) {
        EXPECT_EQ(decode_every_way(uuencode, text), expected) << text;
    }
}

TEST(TransferDecoder, LeavesOthersAlone) {
    EXPECT_EQ(decode_every_way(identity, "a=3D\r\n"), (decoded{"a=3D\r\n", {}}));
}

struct found_files {
    std::vector<embedded_file> files;
    std::uint64_t count = 0;

    bool operator==(const found_files&) const = default;
};

found_files find(byte_view text, std::size_t first, std::size_t then) {
    embedded_files files;
    while (!text.empty()) {
        const std::string chunk(text.substr(0, first));
        files.push(chunk);
        text.remove_prefix(chunk.size());
        first = then;
    }
    files.finish();
    return {{files.found().begin(), files.found().end()}, files.count()};
}

TEST(EmbeddedFiles, FindsEachKind) {
    using enum embedded_kind;
    const std::string long_name(2000, 'n');
    const std::vector<std::pair<std::string, std::vector<embedded_file>>> cases{
        {"begin 644 a.exe\r\nM...", {{uuencode, "a.exe", 0}}},
        {"x\r\nbegin 0755  my file.exe \r\n", {{uuencode, "my file.exe", 3}}},
        {"x\nbegin 644 a.exe", {{uuencode, "a.exe", 2}}},
        {"begin-base64 644 b.zip\n", {{uuencode_base64, "b.zip", 0}}},
        {"=ybegin line=128 size=5 name=c d.bin\r\n", {{yenc, "c d.bin", 0}}},
        {"=ybegin line=128\r\n", {{yenc, "", 0}}},
        {std::string("\x78\x9f\x3e\x22rest"), {{tnef, "", 0}}},
        {"begin 644 \xff\r\n", {{uuencode, "\xef\xbf\xbd", 0}}},
        {"begin at 644 sharp\r\n", {}},
        {"begin  with two blanks\r\n", {}},
        {" begin 644 a\r\n", {}},
        {"beginning\r\n", {}},
        {"begin 644\r\n", {}},
        {"begin 644 \r\n", {}},
        {"begin 644 a\r\nb\r\nbegin 600 c\r\n", {{uuencode, "a", 0}, {uuencode, "c", 16}}},
        {"begin 644 " + long_name, {{uuencode, std::string(1014, 'n'), 0}}},
        {std::string("a\x78\x9f\x3e\x22"), {}},
    };
    for (const auto& [text, expected] : cases) {
        const found_files whole = find(text, text.size(), 1);
        EXPECT_EQ(whole.files, expected) << text;
        for (std::size_t cut = 1; cut < text.size(); ++cut) {
            EXPECT_EQ(find(text, cut, text.size()), whole) << text << " cut at " << cut;
        }
        EXPECT_EQ(find(text, 1, 1), whole) << text;
    }
}

TEST(EmbeddedFiles, CountsMoreThanItKeeps) {
    std::string text;
    for (int i = 0; i < 100; ++i) {
        text += "begin 644 a\r\n";
    }
    const found_files found = find(text, text.size(), 1);
    EXPECT_EQ(found.files.size(), embedded_files::files_max);
    EXPECT_EQ(found.count, 100U);
}

TEST(EmbeddedFiles, KnowsTnefByTypeAndName) {
    content_fields content;
    EXPECT_FALSE(says_tnef(content));
    content.names = {"WinMail.DAT"};
    EXPECT_TRUE(says_tnef(content));
    content.names = {};
    content.type = "application";
    content.subtype = "ms-tnef";
    EXPECT_TRUE(says_tnef(content));
}

TEST(BoundarySearch, FindsThePlaceInEachLane) {
    for (const vector_unit unit : {vector_unit::none, vector_unit::avx2, vector_unit::avx512}) {
        if (!machine_has(unit)) {
            continue;
        }
        for (std::size_t bytes = 0; bytes < 300; ++bytes) {
            const std::vector<char> none(bytes, '-');
            EXPECT_EQ(find_dash_line({none.data(), bytes}, unit), byte_view::npos);
            for (std::size_t at = 0; at + 3 <= bytes; ++at) {
                std::vector<char> text(bytes, '\n'); // Its own block: no read may leave it.
                text[at + 1] = '-';
                text[at + 2] = '-';
                ASSERT_EQ(find_dash_line({text.data(), bytes}, unit), at);
                text[at + 2] = '.';
                ASSERT_EQ(find_dash_line({text.data(), bytes}, unit), byte_view::npos);
            }
        }
    }
}

} // namespace
} // namespace ebbgate::mime
