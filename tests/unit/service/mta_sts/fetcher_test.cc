// Policy hosts that take the connection and say nothing: how long anybody waits for them.

#include "../../runtime/loopback.h"
#include "service/mta_sts/fetcher.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>

namespace ebbgate::mta_sts {
namespace {

using std::chrono::steady_clock;

class FetcherTest : public testing::Test {
protected:
    void SetUp() override {
        silent_ = net::listen_on_loopback();
        settings_.connect_to = "127.0.0.1:" + std::to_string(silent_.port);
    }

    void TearDown() override { close(silent_.fd); }

    void ask(fetcher& from, int count) {
        began_ = steady_clock::now();
        for (int n = 0; n < count; ++n) {
            from.fetch("d" + std::to_string(n) + ".test", [this](const fetch_answer& answer) {
                const std::lock_guard held(lock_);
                ++(answer ? failed_ : not_asked_);
                EXPECT_TRUE(!answer || !*answer);
                changed_.notify_all();
            });
        }
    }

    // Seconds until so many were answered.
    double wait_for(int count) {
        std::unique_lock held(lock_);
        EXPECT_TRUE(changed_.wait_for(held, std::chrono::seconds(20), [this, count] {
            return failed_ + not_asked_ >= count;
        }));
        return std::chrono::duration<double>(steady_clock::now() - began_).count();
    }

    net::listening_socket silent_;
    fetch_settings settings_;
    std::mutex lock_;
    std::condition_variable changed_;
    int failed_ = 0;
    int not_asked_ = 0;
    steady_clock::time_point began_;
};

TEST_F(FetcherTest, silent_hosts_are_waited_for_all_at_once) {
    settings_.timeout_s = 1;
    fetcher from(settings_);
    ask(from, 100);
    EXPECT_LT(wait_for(100), 4) << "not one after another";
    EXPECT_EQ(failed_, 100);
    EXPECT_EQ(not_asked_, 0);
}

TEST_F(FetcherTest, nobody_waits_for_a_place_longer_than_was_said) {
    settings_.timeout_s = 3;
    settings_.transfers_max = 10;
    settings_.queue_s_max = 1;
    settings_.queue_max = 40;
    fetcher from(settings_);
    ask(from, 100);
    EXPECT_LT(wait_for(90), 2.5) << "those without a place, before those with one";
    wait_for(100);
    EXPECT_EQ(failed_, 10);
    EXPECT_EQ(not_asked_, 90);
}

TEST_F(FetcherTest, it_stops_amid_transfers) {
    settings_.timeout_s = 60;
    fetcher from(settings_);
    ask(from, 300);
    usleep(200'000);
    from.stop();
    EXPECT_LT(std::chrono::duration<double>(steady_clock::now() - began_).count(), 5);
    EXPECT_EQ(failed_ + not_asked_, 0);
    ask(from, 1);
    EXPECT_EQ(failed_ + not_asked_, 0) << "as what was under way";
}

} // namespace
} // namespace ebbgate::mta_sts
