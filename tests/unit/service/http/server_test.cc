// The server over a real ring and loopback TCP: order, limits, deadlines and ends.

#include "../../runtime/loopback.h"
#include "service/http/server.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ebbgate::http {
namespace {

// "/later" keeps the responder, "/large" answers much, others get what they sent.
struct echo final : handler {
    std::vector<std::pair<request, responder>> kept;

    [[nodiscard]] std::size_t body_bytes_max(const request& head) const noexcept override {
        return head.path == "/small" ? 4 : 64 * kib;
    }

    void on_request(request&& asked, responder reply) noexcept override {
        if (asked.path == "/later") {
            kept.emplace_back(std::move(asked), std::move(reply));
            return;
        }
        if (asked.path == "/large") {
            reply.send(plain(200, std::string(8 * mib, 'x')));
            return;
        }
        reply.send(plain(200, asked.method + " " + asked.path + " " + asked.body));
    }
};

class http_server_test : public testing::Test {
protected:
    void open(server_settings settings = {}) {
        auto made = task::reactor::open({.buffer_count = 64});
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        reactor_ = std::move(*made);
        flusher_ = std::make_unique<net::flusher>(*reactor_);
        auto opened = server::open(*reactor_, *flusher_, {"127.0.0.1", 0}, settings, echo_);
        ASSERT_TRUE(opened.has_value()) << opened.error().detail;
        server_ = std::move(*opened);
        server_->start();
    }

    void TearDown() override {
        server_->stop();
        reactor_->settle(1000);
        EXPECT_EQ(server_->connection_count(), 0U);
        EXPECT_EQ(reactor_->io().in_flight_count(), 1U) << "only the wake read may stay in flight";
        EXPECT_EQ(reactor_->timers().count(), 0U);
        server_.reset();
        for (const int fd : clients_) {
            close(fd);
        }
    }

    int connect_to(int receive_bytes = 0) {
        clients_.push_back(net::connect_to_loopback(server_->port(), receive_bytes));
        return clients_.back();
    }

    static void say(int fd, std::string_view text) {
        ASSERT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }

    // What came until `bytes` did, or until the end; the end is "<end>", a reset "<reset>".
    std::string hear(int fd, std::size_t bytes = SIZE_MAX, int rounds = 3000) {
        std::string got;
        char buffer[65536];
        for (int round = 0; round < rounds && got.size() < bytes; ++round) {
            reactor_->run_once(1);
            const ssize_t count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (count == 0) {
                return got + "<end>";
            }
            if (count < 0 && errno != EAGAIN) {
                return got + "<reset>";
            }
            got.append(buffer, count > 0 ? static_cast<std::size_t>(count) : 0);
        }
        return got;
    }

    // Until what came holds it.
    bool hears(int fd, std::string_view part) {
        std::string got;
        for (int round = 0; round < 100 && got.find(part) == std::string::npos; ++round) {
            got += hear(fd, SIZE_MAX, 20);
        }
        return got.find(part) != std::string::npos;
    }

    void turns(int count) {
        for (int index = 0; index < count; ++index) {
            reactor_->run_once(1);
        }
    }

    echo echo_;
    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<net::flusher> flusher_;
    std::unique_ptr<server> server_;
    std::vector<int> clients_;
};

std::string get(std::string_view path, std::string_view more = "") {
    return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(more) + "\r\n";
}

std::size_t count_of(std::string_view text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string_view::npos;
         at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

TEST_F(http_server_test, pipelined_requests_are_answered_in_order_and_the_last_closes) {
    open();
    const int fd = connect_to();
    say(fd,
        get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
            "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n" + get("/4", "Connection: close\r\n") + get("/5"));
    const std::string got = hear(fd);
    EXPECT_EQ(count_of(got, "HTTP/1.1 200 OK\r\n"), 4U) << got;
    const std::size_t first = got.find("\r\n\r\nGET /1 \n");
    const std::size_t second = got.find("\r\n\r\nPOST /2 abc\n");
    const std::size_t fourth = got.find("\r\n\r\nGET /4 \n<end>");
    EXPECT_LT(first, second);
    EXPECT_LT(second, fourth);
    EXPECT_NE(fourth, std::string::npos) << got;
    EXPECT_EQ(got.find("HEAD /3"), std::string::npos) << "a body for HEAD";
    EXPECT_EQ(got.find("/5"), std::string::npos);
    EXPECT_NE(got.find("Content-Length: 9\r\n"), std::string::npos) << "HEAD has GET's length";
}

TEST_F(http_server_test, every_cut_of_a_request_is_answered) {
    open();
    const int fd = connect_to();
    const std::string text = "POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        say(fd, text.substr(0, cut));
        turns(2);
        say(fd, text.substr(cut));
        ASSERT_TRUE(hears(fd, "\r\n\r\nPOST /x hi\n")) << cut;
    }
}

TEST_F(http_server_test, a_fault_is_answered_and_ends_the_connection_without_a_reset) {
    open();
    const std::pair<std::string, std::string> faults[] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {get("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "HTTP/1.1 400 "},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" +
             std::string(90'000, 'x'),
         "HTTP/1.1 413 Payload Too Large\r\n"},
        {get("/", "X: " + std::string(17 * kib, 'x') + "\r\n"), "HTTP/1.1 431 "},
    };
    for (const auto& [text, status] : faults) {
        const int fd = connect_to();
        say(fd, text);
        const std::string got = hear(fd);
        EXPECT_TRUE(got.starts_with(status)) << got;
        EXPECT_TRUE(got.ends_with("\n<end>")) << got;
        EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos);
        EXPECT_EQ(count_of(got, "HTTP/1.1 "), 1U) << "what follows a fault was read";
    }
}

TEST_F(http_server_test, who_expects_100_continue_gets_it_before_the_body) {
    open();
    const int fd = connect_to();
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(hear(fd, 25), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hi");
    EXPECT_TRUE(hears(fd, "POST / hi\n"));
    const int large = connect_to();
    say(large,
        "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_TRUE(hear(large).starts_with("HTTP/1.1 413 "));
}

TEST_F(http_server_test, a_client_that_half_closes_gets_its_answers) {
    open();
    const int fd = connect_to();
    say(fd, get("/1") + get("/2") + "GET /half");
    shutdown(fd, SHUT_WR);
    const std::string got = hear(fd);
    EXPECT_EQ(count_of(got, "200 OK"), 2U) << got;
    EXPECT_TRUE(got.ends_with("GET /2 \n<end>")) << got;
}

TEST_F(http_server_test, an_answer_may_come_late_from_any_thread_and_once) {
    open();
    const int fd = connect_to();
    say(fd, get("/later") + get("/next"));
    turns(20);
    ASSERT_EQ(echo_.kept.size(), 1U);
    EXPECT_EQ(hear(fd, 1, 20), "") << "the next was answered first";
    const responder& reply = echo_.kept.front().second;
    std::thread other([&reply] {
        reply.send(plain(200, "first"));
        reply.send(plain(200, "second"));
    });
    other.join();
    EXPECT_TRUE(hears(fd, "/next"));
    reply.send(plain(200, "third"));
    EXPECT_EQ(hear(fd, 1, 50), "");
    // The connection goes, and its number is nobody's.
    const int gone = connect_to();
    say(gone, get("/later"));
    turns(20);
    ASSERT_EQ(echo_.kept.size(), 2U);
    const linger reset{1, 0};
    setsockopt(gone, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(gone);
    std::erase(clients_, gone);
    turns(20);
    EXPECT_EQ(server_->connection_count(), 1U);
    echo_.kept.back().second.send(plain(200, "nobody"));
    turns(20);
}

TEST_F(http_server_test, each_phase_has_its_deadline) {
    open({.idle_ms_max = 100,
          .request_ms_max = 150,
          .answer_ms_max = 200,
          .send_ms_max = 300,
          .linger_ms_max = 100});
    const int idle = connect_to();
    EXPECT_EQ(hear(idle), "<end>");
    const int slow = connect_to();
    say(slow, "GET / HTTP/1.1\r\n");
    EXPECT_TRUE(hear(slow).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    const int unanswered = connect_to();
    say(unanswered, get("/later"));
    EXPECT_TRUE(hear(unanswered).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    echo_.kept.front().second.send(plain(200, "too late"));
    const int greedy = connect_to(4096); // Takes none of its answer.
    say(greedy, get("/large"));
    turns(600);
    EXPECT_EQ(server_->connection_count(), 0U);
}

TEST_F(http_server_test, a_dribbling_client_does_not_lengthen_its_time) {
    open({.request_ms_max = 200, .linger_ms_max = 50});
    const int fd = connect_to();
    const std::uint64_t begun_ms = reactor_->now_ms();
    say(fd, "GET / HTTP/1.1\r\nHost: a\r\n");
    std::string got;
    while (got.empty() && reactor_->now_ms() < begun_ms + 5000) {
        (void)!send(fd, "A: b\r\n", 6, MSG_NOSIGNAL);
        got = hear(fd, 1, 10);
    }
    EXPECT_TRUE(got.starts_with("HTTP/1.1 408 ")) << got;
    EXPECT_LT(reactor_->now_ms(), begun_ms + 2000);
}

TEST_F(http_server_test, too_many_connections_are_told_and_then_reset) {
    open({.connections_max = 2});
    const int first = connect_to();
    const int second = connect_to();
    turns(20);
    const int third = connect_to();
    EXPECT_TRUE(hear(third).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    say(first, get("/1"));
    say(second, get("/2"));
    EXPECT_TRUE(hears(first, "/1"));
    EXPECT_TRUE(hears(second, "/2"));
    std::vector<int> many;
    for (std::size_t count = 0; count < server::refusals_max + 3; ++count) {
        many.push_back(connect_to());
    }
    turns(30);
    EXPECT_LE(server_->connection_count(), 2 + server::refusals_max);
    EXPECT_EQ(hear(many.back()), "<reset>");
}

TEST_F(http_server_test, a_client_that_only_asks_is_held_and_nothing_piles_up) {
    open();
    const int fd = connect_to(4096);
    std::size_t sent = 0;
    const std::string asked = get("/large");
    for (int round = 0; round < 500; ++round) {
        const ssize_t count = send(fd, asked.data(), asked.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? static_cast<std::size_t>(count) : 0;
        turns(1);
    }
    EXPECT_GT(sent, 100 * asked.size() / 2);
    EXPECT_EQ(server_->connection_count(), 1U);
    EXPECT_TRUE(hears(fd, "HTTP/1.1 200 OK\r\n"));
}

TEST(http_server, says_why_it_cannot_listen) {
    auto reactor = task::reactor::open({.buffer_count = 64});
    ASSERT_TRUE(reactor.has_value());
    net::flusher flusher(**reactor);
    echo echo;
    EXPECT_FALSE(server::open(**reactor, flusher, {"192.0.2.1", 1}, {}, echo).has_value());
    EXPECT_FALSE(server::open(**reactor, flusher, {"nowhere", 1}, {}, echo).has_value());
}

} // namespace
} // namespace ebbgate::http
