#include "config/address.h"
#include "config/reader.h"
#include "config/units.h"

#include <gtest/gtest.h>

namespace ebbgate::config {
namespace {

TEST(Units, SizesAreReadExactly) {
    EXPECT_EQ(parse_size_bytes("512"), 512U);
    EXPECT_EQ(parse_size_bytes("25MB"), 25'000'000U);
    EXPECT_EQ(parse_size_bytes("2 GB"), 2'000'000'000U);
    EXPECT_EQ(parse_size_bytes("1KiB"), 1024U);
    EXPECT_EQ(parse_size_bytes("3MiB"), 3U << 20);
    EXPECT_EQ(parse_size_bytes("1GiB"), 1U << 30);
    for (const char* bad : {"",
                            "MB",
                            "-1",
                            "1.5MB",
                            "25mb",
                            "1 ",
                            "1  KB",
                            "99999999999GB",
                            "99999999999999999999",
                            "1KBx",
                            " 1"}) {
        EXPECT_FALSE(parse_size_bytes(bad).has_value()) << bad;
    }
}

TEST(Units, DurationsAreReadExactly) {
    using std::chrono::seconds;
    EXPECT_EQ(parse_duration("90s"), seconds(90));
    EXPECT_EQ(parse_duration("10m"), seconds(600));
    EXPECT_EQ(parse_duration("4h"), seconds(14'400));
    EXPECT_EQ(parse_duration("5d"), seconds(432'000));
    EXPECT_EQ(parse_duration("7 days"), seconds(604'800));
    EXPECT_EQ(parse_duration("12 months"), seconds(31'104'000));
    for (const char* bad : {"", "5", "m", "1w", "-1s", "1.5h", "9999999999d", "5M"}) {
        EXPECT_FALSE(parse_duration(bad).has_value()) << bad;
    }
}

TEST(Addresses, NetworksMustHaveNoHostBits) {
    EXPECT_EQ(to_text(*parse_ip_network("192.0.2.0/24")), "192.0.2.0/24");
    EXPECT_EQ(to_text(*parse_ip_network("192.0.2.7")), "192.0.2.7/32");
    EXPECT_EQ(to_text(*parse_ip_network("2001:db8::/32")), "2001:db8::/32");
    EXPECT_EQ(to_text(*parse_ip_network("0.0.0.0/0")), "0.0.0.0/0");
    EXPECT_EQ(to_text(*parse_ip_network("::/0")), "::/0");
    for (const char* bad : {"192.0.2.1/24",
                            "192.0.2.0/33",
                            "2001:db8::1/32",
                            "::/129",
                            "x/8",
                            "192.0.2.0/",
                            "192.0.2.0/-1",
                            "1.2.3/24",
                            ""}) {
        EXPECT_FALSE(parse_ip_network(bad).has_value()) << bad;
    }
}

TEST(Addresses, EndpointsNeedTheirBrackets) {
    EXPECT_EQ(to_text(*parse_endpoint("127.0.0.1:25")), "127.0.0.1:25");
    EXPECT_EQ(to_text(*parse_endpoint("[::]:0")), "[::]:0");
    for (const char* bad : {"::1:25",
                            "127.0.0.1",
                            "[127.0.0.1]:25",
                            "127.0.0.1:70000",
                            "[::1]",
                            ":25",
                            "[]:25",
                            "127.0.0.1:",
                            "127.0.0.1:+5"}) {
        EXPECT_FALSE(parse_endpoint(bad).has_value()) << bad;
    }
}

TEST(Addresses, RelaysAreNamesOrLiterals) {
    EXPECT_EQ(parse_host_and_port("MX.Example:25")->host, "mx.example");
    EXPECT_FALSE(parse_host_and_port("mx.example:25")->literal.has_value());
    EXPECT_TRUE(parse_host_and_port("[2001:db8::1]:2525")->literal.has_value());
    EXPECT_TRUE(parse_host_and_port("127.0.0.1:2525")->literal->is_v4());
    for (const char* bad : {"mx.example",
                            "mx.example:0",
                            "-a.example:25",
                            "a..b:25",
                            "a b:25",
                            "999.1.1.1:25",
                            "[mx.example]:25",
                            "2001:db8::1:25"}) {
        EXPECT_FALSE(parse_host_and_port(bad).has_value()) << bad;
    }
}

TEST(Reader, NearestNamesWhatWasMeant) {
    constexpr std::string_view names[] = {"hostname", "listeners", "log_dir", "data_dir", "tls"};
    EXPECT_EQ(nearest("hostnmae", names), "hostname");
    EXPECT_EQ(nearest("listener", names), "listeners");
    EXPECT_EQ(nearest("tsl", names), "tls");
    EXPECT_EQ(nearest("bananas", names), "");
    EXPECT_EQ(nearest(std::string(100'000, 'x'), names), "");
}

} // namespace
} // namespace ebbgate::config
