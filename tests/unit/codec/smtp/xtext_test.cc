#include "ebbgate/smtp/xtext.h"

#include <gtest/gtest.h>

namespace ebbgate::smtp {
namespace {

TEST(Xtext, DecodingUndoesEncodingForEveryByte) {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) {
        all.push_back(static_cast<char>(byte));
    }
    const std::string encoded = encode_xtext(all);
    EXPECT_EQ(encoded.find_first_of("= \r\n"), std::string::npos);
    EXPECT_EQ(decode_xtext(encoded), all);
}

TEST(Xtext, MalformedFormsAreRefused) {
    for (byte_view text : {"+", "+4", "+4G", "+4g", "+aB", "a=b", "a b", "a\r\n", "\xc3\xa4"}) {
        EXPECT_FALSE(decode_xtext(text).has_value()) << text;
        EXPECT_FALSE(is_printable_xtext(text)) << text;
    }
}

TEST(Xtext, NoEncodedLineBreakIsPrintable) {
    EXPECT_TRUE(is_printable_xtext("a+20b+2B"));
    EXPECT_FALSE(is_printable_xtext("a+0D+0Ab"));
    EXPECT_FALSE(is_printable_xtext("a+00"));
    EXPECT_FALSE(is_printable_xtext("a+E4"));
}

} // namespace
} // namespace ebbgate::smtp
