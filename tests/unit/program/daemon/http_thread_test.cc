// The way between the listener's thread and the management thread: bounded, and over when stopped.

#include "../../runtime/loopback.h"
#include "program/daemon/http_thread.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace ebbgate::program {
namespace {

constexpr auto no_body = [](const http::request&) -> std::size_t { return 0; };

class http_thread_test : public testing::Test {
protected:
    void SetUp() override {
        auto made = http_thread::start(*config::parse_endpoint("127.0.0.1:0"), no_body);
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        http_ = std::move(*made);
    }

    void TearDown() override {
        for (const int fd : clients_) {
            close(fd);
        }
    }

    int ask(std::string_view path) {
        const int fd = net::connect_to_loopback(http_->port());
        const timeval limit{30, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        const std::string text = "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n";
        EXPECT_EQ(send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
        clients_.push_back(fd);
        return fd;
    }

    static std::string hear(int fd) {
        char buffer[4096];
        const ssize_t count = recv(fd, buffer, sizeof buffer, 0);
        return count <= 0 ? std::string("end")
                          : std::string(buffer, static_cast<std::size_t>(count));
    }

    bool is_readable(int wait_ms) const {
        pollfd waiting{http_->descriptor(), POLLIN, 0};
        return poll(&waiting, 1, wait_ms) == 1;
    }

    std::unique_ptr<http_thread> http_;
    std::vector<int> clients_;
};

TEST_F(http_thread_test, requests_are_served_here_and_answered_there) {
    const int fd = ask("/x");
    ASSERT_TRUE(is_readable(10'000));
    http_->serve([](const http::request& asked) { return http::plain(200, asked.path); });
    EXPECT_TRUE(hear(fd).ends_with("\r\n\r\n/x\n"));
    EXPECT_FALSE(is_readable(0));
}

TEST_F(http_thread_test, a_burst_is_served_in_turns_and_none_is_forgotten) {
    constexpr std::size_t burst = 2 * http_thread::requests_at_once + 3;
    for (std::size_t index = 0; index < burst; ++index) {
        ask("/" + std::to_string(index));
    }
    std::size_t served = 0;
    while (served < burst && is_readable(10'000)) {
        std::size_t in_turn = 0;
        http_->serve([&](const http::request& asked) {
            ++in_turn;
            return http::plain(200, asked.path);
        });
        EXPECT_LE(in_turn, http_thread::requests_at_once);
        served += in_turn;
    }
    EXPECT_EQ(served, burst);
    for (std::size_t index = 0; index < burst; ++index) {
        EXPECT_TRUE(hear(clients_[index]).ends_with("\r\n\r\n/" + std::to_string(index) + "\n"));
    }
}

TEST_F(http_thread_test, when_nobody_serves_the_queue_is_full_at_its_bound) {
    // As many connections as may be: each has one request waiting, and one more each is not looked
    // at. So the bound is met by connections that go and leave their requests behind.
    for (std::size_t index = 0; index < http_thread::requests_waiting_max; ++index) {
        const int fd = ask("/");
        pollfd closing{fd, POLLIN, 0};
        EXPECT_EQ(poll(&closing, 1, 5), 0);
        const linger reset{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    clients_.clear();
    std::string got;
    for (int tries = 0; tries < 100 && got.find("too busy") == std::string::npos; ++tries) {
        const int fd = ask("/");
        pollfd answered{fd, POLLIN, 0};
        got = poll(&answered, 1, 100) == 1 ? hear(fd) : "";
    }
    EXPECT_TRUE(got.starts_with("HTTP/1.1 503 Service Unavailable\r\n")) << got;
    EXPECT_NE(got.find("Retry-After: 1\r\n"), std::string::npos) << got;
    std::size_t served = 0;
    while (is_readable(50)) {
        http_->serve([&](const http::request&) {
            ++served;
            return http::plain(200, "");
        });
    }
    EXPECT_EQ(served, http_thread::requests_waiting_max);
}

TEST_F(http_thread_test, stopping_cuts_connections_and_drops_what_waits) {
    const int waiting = ask("/");
    ASSERT_TRUE(is_readable(10'000));
    http_->stop();
    EXPECT_EQ(hear(waiting), "end");
    http_->serve([](const http::request&) {
        ADD_FAILURE() << "served after the end";
        return http::plain(200, "");
    });
    http_->stop(); // Again: nothing.
}

TEST(http_thread, says_why_it_cannot_start) {
    const auto started = http_thread::start(*config::parse_endpoint("192.0.2.1:1"), no_body);
    ASSERT_FALSE(started.has_value());
    EXPECT_NE(started.error().detail.find("192.0.2.1:1"), std::string::npos);
}

} // namespace
} // namespace ebbgate::program
