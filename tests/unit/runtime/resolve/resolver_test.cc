// The thread: answers come home, none is lost when it stops, and nothing is asked of the network.

#include "runtime/resolve/resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ebbgate::dns {
namespace {

// Nobody answers at port 1.
resolver_settings nobody() {
    resolver_settings settings;
    settings.context.servers = {config::parse_endpoint("127.0.0.1:1").value()};
    settings.context.hosts.clear();
    return settings;
}

TEST(Resolver, AnswersComeHomeFromManyThreads) {
    auto opened = resolver::open(nobody());
    ASSERT_TRUE(opened.has_value()) << opened.error().detail;
    constexpr int thread_count = 4;
    constexpr int questions = 200;
    std::atomic<int> at_home = 0;
    std::atomic<int> running = thread_count;
    std::latch stopped(1);
    std::vector<std::thread> threads;
    for (int i = 0; i < thread_count; ++i) {
        threads.emplace_back([&] {
            auto home = task::reactor::open({});
            ASSERT_TRUE(home.has_value());
            const std::thread::id here = std::this_thread::get_id();
            int missing = questions;
            for (int question = 0; question < questions; ++question) {
                // libunbound knows this one by itself.
                (*opened)->ask(**home, "localhost", record_type::a, [&](const answer& got) {
                    --missing;
                    at_home += std::this_thread::get_id() == here &&
                                       got.status == answer_status::found && got.rdata.size() == 1
                                   ? 1
                                   : 0;
                });
            }
            while (missing > 0) {
                (*home)->run_once(100);
            }
            --running;
            stopped.wait(); // A reactor outlives the resolver's thread.
        });
    }
    while (running.load() > 0) {
        std::this_thread::yield();
    }
    (*opened)->stop();
    stopped.count_down();
    for (std::thread& one : threads) {
        one.join();
    }
    EXPECT_EQ(at_home.load(), thread_count * questions);
    EXPECT_EQ((*opened)->counts().found, static_cast<std::uint64_t>(thread_count * questions));
    EXPECT_EQ((*opened)->counts().unanswered, 0U);
}

TEST(Resolver, StoppingWhileThreadsAskLosesNoAnswer) {
    for (int round = 0; round < 5; ++round) {
        auto opened = resolver::open(nobody());
        ASSERT_TRUE(opened.has_value()) << opened.error().detail;
        std::atomic<int> asked = 0;
        std::latch stopped(1);
        std::thread other([&] {
            auto home = task::reactor::open({});
            ASSERT_TRUE(home.has_value());
            int missing = 300;
            for (int question = 0; question < 300; ++question) {
                (*opened)->ask(**home,
                               "n" + std::to_string(question) + ".example",
                               record_type::mx,
                               [&](const answer& got) {
                                   EXPECT_EQ(got.status, answer_status::trouble);
                                   --missing;
                               });
                ++asked;
            }
            while (missing > 0) {
                (*home)->run_once(100);
            }
            stopped.wait();
        });
        while (asked.load() < 50 * round) {
            std::this_thread::yield();
        }
        (*opened)->stop();
        stopped.count_down();
        other.join();
        EXPECT_EQ((*opened)->counts().unanswered, 0U);
    }
}

TEST(Resolver, ANameWithAZeroByteIsNotCut) {
    auto home = task::reactor::open({});
    auto opened = resolver::open(nobody());
    ASSERT_TRUE(home.has_value() && opened.has_value());
    answer got;
    got.text.clear();
    (*opened)->ask(**home, std::string("localhost\0x", 11), record_type::a, [&](const answer& one) {
        got = one;
    });
    for (int turn = 0; turn < 100 && got.text.empty(); ++turn) {
        (*home)->run_once(10);
    }
    EXPECT_EQ(got.status, answer_status::trouble);
}

TEST(Resolver, AFileThatIsNoTrustAnchorIsToldAtOnce) {
    resolver_settings settings = nobody();
    settings.context.trust_anchor = "/nowhere/root.key";
    const auto opened = resolver::open(settings);
    ASSERT_FALSE(opened.has_value());
    EXPECT_NE(opened.error().detail.find("/nowhere/root.key"), std::string::npos);
}

TEST(Resolver, OpenedAgainItReadsItsFilesAgain) {
    const std::string hosts =
        testing::TempDir() + "resolver_hosts_" + std::to_string(getpid()) + ".txt";
    resolver_settings settings = nobody();
    settings.context.hosts = hosts;
    settings.timeout = std::chrono::milliseconds(20'000);
    const auto write = [&](const char* text) { std::ofstream(hosts) << text; };
    write("192.0.2.1 one.example\n");
    auto home = task::reactor::open({});
    auto opened = resolver::open(settings);
    ASSERT_TRUE(home.has_value() && opened.has_value());
    std::vector<answer> got;
    const auto ask = [&](const char* name) {
        (*opened)->ask(
            **home, name, record_type::a, [&](const answer& one) { got.push_back(one); });
    };
    const auto wait = [&](std::size_t count) {
        for (int turn = 0; turn < 1000 && got.size() < count; ++turn) {
            (*home)->run_once(10);
        }
        return got.size() == count;
    };
    ask("one.example");
    ASSERT_TRUE(wait(1));
    EXPECT_EQ(got[0].rdata, std::vector<std::string>{std::string("\xc0\x00\x02\x01", 4)});
    write("192.0.2.2 one.example\n192.0.2.3 two.example\n");
    for (int question = 0; question < 50; ++question) {
        ask("two.example"); // Some are under way, to nobody, when the files are read again.
    }
    ASSERT_TRUE((*opened)->open_again(settings.context).has_value());
    ask("one.example");
    ASSERT_TRUE(wait(52)) << got.size();
    EXPECT_EQ(got.back().rdata, std::vector<std::string>{std::string("\xc0\x00\x02\x02", 4)});
    settings.context.trust_anchor = "/nowhere/root.key";
    EXPECT_FALSE((*opened)->open_again(settings.context).has_value());
    ask("two.example");
    ASSERT_TRUE(wait(53));
    EXPECT_EQ(got.back().status, answer_status::found);
    EXPECT_EQ((*opened)->counts().unanswered, 0U);
    (void)std::remove(hosts.c_str());
}

TEST(Resolver, AMachineWithoutResolvConfAsksItself) {
    resolver_settings settings;
    settings.context.resolv_conf = "/nowhere/resolv.conf";
    EXPECT_TRUE(resolver::open(settings).has_value());
}

} // namespace
} // namespace ebbgate::dns
