// Buckets of clients: what a minute brings, misses, connections, and a table that stays bounded.

#include "service/filelink/request_limits.h"

#include <gtest/gtest.h>

#include <string>

namespace ebbgate::filelink {
namespace {

constexpr request_rates small{
    .requests_per_minute = 6, .not_found_per_minute = 2, .connections_per_client = 2};

TEST(request_limits, a_minute_brings_so_many_requests_and_no_more) {
    request_limits limits(small);
    for (int count = 0; count < 6; ++count) {
        EXPECT_EQ(limits.admit("192.0.2.1", 1000), 0U);
    }
    EXPECT_EQ(limits.admit("192.0.2.1", 1000), 10U);
    EXPECT_EQ(limits.admit("192.0.2.2", 1000), 0U) << "another client";
    EXPECT_EQ(limits.admit("192.0.2.1", 10'500), 1U) << "asking has not made it longer";
    EXPECT_EQ(limits.admit("192.0.2.1", 11'000), 0U);
    EXPECT_EQ(limits.admit("192.0.2.1", 11'000), 10U);
    int admitted = 0;
    for (std::uint64_t ms = 1'000'000; ms < 1'600'000; ms += 100) {
        admitted += limits.admit("192.0.2.1", ms) == 0 ? 1 : 0;
    }
    EXPECT_NEAR(admitted, 6 + 60, 1) << "a full bucket, and ten minutes";
}

TEST(request_limits, an_ipv6_client_is_its_network) {
    request_limits limits(small);
    for (int count = 0; count < 6; ++count) {
        EXPECT_EQ(limits.admit("2001:db8::" + std::to_string(count), 0), 0U);
    }
    EXPECT_GT(limits.admit("2001:db8::ffff", 0), 0U);
    EXPECT_EQ(limits.admit("2001:db8:0:1::1", 0), 0U);
    EXPECT_EQ(limits.client_count(), 2U);
}

TEST(request_limits, whoever_guesses_is_stopped_sooner) {
    request_limits limits(small);
    for (int count = 0; count < 2; ++count) {
        EXPECT_EQ(limits.admit("192.0.2.1", 0), 0U);
        limits.count_miss("192.0.2.1", 0);
    }
    EXPECT_EQ(limits.admit("192.0.2.1", 0), 30U);
    EXPECT_EQ(limits.admit("192.0.2.1", 30'000), 0U);
}

TEST(request_limits, connections_are_pairs_and_the_double_is_refused) {
    request_limits limits(small);
    for (int count = 0; count < 4; ++count) {
        EXPECT_FALSE(limits.has_too_many_connections("192.0.2.1") != (count > 2)) << count;
        EXPECT_TRUE(limits.connect("192.0.2.1", 0));
    }
    EXPECT_TRUE(limits.has_too_many_connections("192.0.2.1"));
    EXPECT_FALSE(limits.connect("192.0.2.1", 0));
    limits.disconnect("192.0.2.1");
    limits.disconnect("192.0.2.1");
    EXPECT_FALSE(limits.has_too_many_connections("192.0.2.1"));
    EXPECT_TRUE(limits.connect("192.0.2.1", 0));
}

TEST(request_limits, the_table_forgets_who_was_silent_longest_but_nobody_connected) {
    request_limits limits(small);
    ASSERT_TRUE(limits.connect("192.0.2.1", 0));
    for (int count = 0; count < 6; ++count) {
        EXPECT_EQ(limits.admit("192.0.2.1", 0), 0U);
        EXPECT_EQ(limits.admit("192.0.2.2", 0), 0U);
    }
    for (std::uint32_t one = 0; one < request_limits::clients_max + 10; ++one) {
        (void)limits.admit("10." + std::to_string(one >> 16U) + "." +
                               std::to_string((one >> 8U) & 255U) + "." +
                               std::to_string(one & 255U),
                           1);
    }
    EXPECT_EQ(limits.client_count(), request_limits::clients_max);
    EXPECT_GT(limits.admit("192.0.2.1", 1), 0U);
    EXPECT_EQ(limits.admit("192.0.2.2", 1), 0U) << "forgotten";
    limits.disconnect("192.0.2.1");
}

} // namespace
} // namespace ebbgate::filelink
