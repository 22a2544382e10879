// The white list and the set that shards ask must agree with a plain look at every network.

#include "recorder.h"
#include "stage/bans/ban_set.h"
#include "stage/bans/network_set.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace ebbgate::bans {
namespace {

config::ip_network random_network(std::mt19937& random) {
    config::ip_address any = address(random() % 2 == 0 ? "10.0.0.0" : "2001:db8::");
    for (const std::size_t byte : {std::size_t{12}, std::size_t{13}, std::size_t{15}}) {
        any.bytes[byte] = static_cast<std::uint8_t>(random() % 4);
    }
    const auto bits = static_cast<std::uint8_t>(any.is_v4() ? 96 + random() % 33 : random() % 129);
    return {config::masked(any, bits), bits};
}

TEST(NetworkSet, AgreesWithAskingEach) {
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        std::vector<config::ip_network> networks;
        for (std::size_t i = 0; i < random() % 12; ++i) {
            networks.push_back(random_network(random));
        }
        const network_set set(networks);
        for (int i = 0; i < 50; ++i) {
            const config::ip_network asked = random_network(random);
            bool held = false;
            for (const config::ip_network& each : networks) {
                held = held || holds(each, asked);
            }
            ASSERT_EQ(set.holds(asked), held);
            std::vector<config::ip_network> within;
            for (const config::ip_network& member : set.members()) {
                if (holds(asked, member)) {
                    within.push_back(member);
                }
            }
            ASSERT_EQ(set.within(asked), within);
        }
    }
}

TEST(BanSet, BannedButForTheWhiteList) {
    ban_set set;
    EXPECT_FALSE(set.is_banned(address("192.0.2.1")));
    set.add(network("192.0.2.0/24"));
    set.add(network("192.0.2.0/24"));
    set.add(network("2001:db8::/64"));
    set.set_white_list(network_set({network("2001:db8::1"), network("192.0.2.128/25")}));
    EXPECT_TRUE(set.is_banned(address("192.0.2.1")));
    EXPECT_FALSE(set.is_banned(address("192.0.2.200")));
    EXPECT_FALSE(set.is_banned(address("192.0.3.1")));
    EXPECT_TRUE(set.is_banned(address("2001:db8::2")));
    EXPECT_FALSE(set.is_banned(address("2001:db8::1")));
    set.remove(network("192.0.2.0/24"));
    set.remove(network("192.0.2.0/24"));
    EXPECT_FALSE(set.is_banned(address("192.0.2.1")));
    EXPECT_TRUE(set.is_banned(address("2001:db8::2")));
}

TEST(BanSet, ManyThreadsAskWhileOneChanges) {
    ban_set set;
    set.add(network("192.0.2.1"));
    std::atomic<bool> stop = false;
    std::atomic<int> misses = 0;
    std::vector<std::thread> askers;
    for (int i = 0; i < 3; ++i) {
        askers.emplace_back([&set, &stop, &misses] {
            while (!stop) {
                misses += set.is_banned(address("192.0.2.1")) ? 0 : 1;
                (void)set.is_banned(address("10.0.0.7"));
            }
        });
    }
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
        const auto each = network("10.0.0." + std::to_string(random() % 16));
        random() % 2 == 0 ? set.add(each) : set.remove(each);
        if (i % 100 == 0) {
            set.set_white_list(network_set({network("10.0.0.7")}));
        }
    }
    stop = true;
    for (std::thread& asker : askers) {
        asker.join();
    }
    EXPECT_EQ(misses, 0);
}

} // namespace
} // namespace ebbgate::bans
