// Range headers and what part of a file of so many bytes they mean.

#include "service/filelink/byte_range.h"

#include <gtest/gtest.h>

namespace ebbgate::filelink {
namespace {

constexpr byte_range whole{};
constexpr byte_range none{range_kind::unsatisfiable, 0, 0};

constexpr byte_range part(std::uint64_t first, std::uint64_t bytes) {
    return {range_kind::part, first, bytes};
}

struct range_case {
    std::string_view value;
    std::uint64_t file_bytes;
    byte_range expected;
};

constexpr range_case cases[] = {
    // RFC 9110 section 14.1.2, of 10,000 bytes.
    {"bytes=0-499", 10'000, part(0, 500)},
    {"bytes=500-999", 10'000, part(500, 500)},
    {"bytes=-500", 10'000, part(9'500, 500)},
    {"bytes=9500-", 10'000, part(9'500, 500)},
    {"bytes=0-0,-1", 10'000, whole},
    // Ends.
    {"bytes=0-", 10'000, part(0, 10'000)},
    {"bytes=0-0", 10'000, part(0, 1)},
    {"bytes=9999-9999", 10'000, part(9'999, 1)},
    {"bytes=9999-10000", 10'000, part(9'999, 1)},
    {"bytes=9999-99999999999999999999999999", 10'000, part(9'999, 1)},
    {"bytes=-10000", 10'000, part(0, 10'000)},
    {"bytes=-10001", 10'000, part(0, 10'000)},
    {"bytes=-99999999999999999999999999", 10'000, part(0, 10'000)},
    {"bytes=10000-", 10'000, none},
    {"bytes=10000-10001", 10'000, none},
    {"bytes=18446744073709551615-", 10'000, none},
    {"bytes=99999999999999999999-", 10'000, none},
    {"bytes=-0", 10'000, none},
    {"bytes=0-18446744073709551615", 10'000, part(0, 10'000)},
    // The largest file there could be.
    {"bytes=18446744073709551613-18446744073709551615", UINT64_MAX, part(UINT64_MAX - 2, 2)},
    // Nothing to send a part of.
    {"bytes=0-", 0, whole},
    {"bytes=-1", 0, whole},
    // Several: as if it was not there.
    {"bytes=0-1,3-4", 10'000, whole},
    {"bytes=0-,0-,0-,0-", 10'000, whole},
    {"bytes=,0-1", 10'000, whole},
    {"bytes=0-1,", 10'000, whole},
    // No ranges.
    {"", 10'000, whole},
    {"bytes", 10'000, whole},
    {"bytes=", 10'000, whole},
    {"bytes=-", 10'000, whole},
    {"bytes=--1", 10'000, whole},
    {"bytes=1", 10'000, whole},
    {"bytes=2-1", 10'000, whole},
    {"bytes=1-2-3", 10'000, whole},
    {"bytes=+1-2", 10'000, whole},
    {"bytes=0x1-2", 10'000, whole},
    {"bytes=1 - 2", 10'000, whole},
    {"bytes= 1-2", 10'000, whole},
    {"bytes =1-2", 10'000, whole},
    {"items=0-5", 10'000, whole},
    {"byte=0-5", 10'000, whole},
    // The unit in any case, blanks around.
    {"BYTES=1-2", 10'000, part(1, 2)},
    {" bytes=1-2\t", 10'000, part(1, 2)},
};

TEST(byte_range, each_header_means_one_part_or_all_or_nothing) {
    for (const range_case& one : cases) {
        const byte_range got = parse_byte_range(one.value, one.file_bytes);
        EXPECT_EQ(got, one.expected)
            << one.value << " of " << one.file_bytes << ": " << static_cast<int>(got.kind) << ' '
            << got.first << '+' << got.bytes;
    }
}

} // namespace
} // namespace ebbgate::filelink
