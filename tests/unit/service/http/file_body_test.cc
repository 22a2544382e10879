// Bodies that are files: whole, in parts, slowly, cut short, and each descriptor closed once; the
// same through TLS.

#include "../../runtime/loopback.h"
#include "service/http/server.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

namespace ebbgate::http {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t file_bytes = 5 * mib + 77;

std::string content_of_file() {
    std::string text;
    while (text.size() < file_bytes) {
        text += std::to_string(text.size()) + ' ';
    }
    return text.substr(0, file_bytes);
}

std::size_t open_files() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& one : fs::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

int file_with(std::string_view text) {
    const int fd = memfd_create("body", MFD_CLOEXEC);
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    return fd;
}

struct ending {
    std::uint64_t body_bytes = 0;
    bool whole = false;
    int calls = 0;
};

// "/" is all of the file, "/part" a part, "/none" no byte of it, "/short" more than there is.
struct file_server final : handler {
    std::string content = content_of_file();
    ending last;
    int connected = 0;
    int disconnected = 0;
    bool refuses = false;

    [[nodiscard]] std::size_t body_bytes_max(const request&) const noexcept override { return 0; }

    bool on_connected(const std::string& client) noexcept override {
        EXPECT_EQ(client, "127.0.0.1");
        connected += refuses ? 0 : 1;
        return !refuses;
    }

    void on_disconnected(const std::string&) noexcept override { ++disconnected; }

    void on_request(request&& asked, responder reply) noexcept override {
        EXPECT_EQ(asked.client, "127.0.0.1");
        std::uint64_t offset = 0;
        std::uint64_t bytes = content.size();
        if (asked.path == "/part") {
            offset = 1'000'003;
            bytes = 300'001;
        } else if (asked.path == "/none") {
            bytes = 0;
        } else if (asked.path == "/short") {
            bytes += 1;
        }
        response given;
        given.content_type = "application/octet-stream";
        given.file = std::make_shared<file_body>(file_with(content), offset, bytes);
        given.closes = asked.path == "/closes";
        given.on_end = [this](std::uint64_t body_bytes, bool whole) {
            last = {body_bytes, whole, last.calls + 1};
        };
        reply.send(std::move(given));
    }
};

// A cut connection ends early: as the end or as a reset, whichever the client meets first.
bool is_cut(std::string_view heard) {
    return heard.ends_with("<end>") || heard.ends_with("<reset>");
}

class http_file_test : public testing::Test {
protected:
    void SetUp() override {
        files_before_ = open_files();
        auto made = task::reactor::open({.buffer_count = 64});
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        reactor_ = std::move(*made);
        flusher_ = std::make_unique<net::flusher>(*reactor_);
    }

    void open(server_settings settings = {},
              std::shared_ptr<const tls::server_identities> identities = nullptr) {
        auto opened = server::open(*reactor_, *flusher_, {"127.0.0.1", 0}, settings, handler_);
        ASSERT_TRUE(opened.has_value()) << opened.error().detail;
        server_ = std::move(*opened);
        server_->set_tls(std::move(identities));
        server_->start();
    }

    void TearDown() override {
        server_->stop();
        reactor_->settle(1000);
        EXPECT_EQ(server_->connection_count(), 0U);
        EXPECT_EQ(reactor_->io().in_flight_count(), 1U) << "only the wake read may stay in flight";
        EXPECT_EQ(reactor_->timers().count(), 0U);
        EXPECT_EQ(handler_.connected, handler_.disconnected);
        server_.reset();
        for (const int fd : clients_) {
            close(fd);
        }
        flusher_.reset();
        reactor_.reset();
        EXPECT_EQ(open_files(), files_before_);
    }

    int connect_to(int receive_bytes = 0) {
        clients_.push_back(net::connect_to_loopback(server_->port(), receive_bytes));
        return clients_.back();
    }

    static void ask(int fd, std::string_view path, std::string_view method = "GET") {
        const std::string text =
            std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n";
        ASSERT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }

    // What came until `bytes` did, or until the end; the end is "<end>", a reset "<reset>".
    std::string hear(int fd, std::size_t bytes = SIZE_MAX, int quiet_rounds = 300) {
        std::string got;
        std::vector<char> buffer(256 * kib);
        for (int quiet = 0; quiet < quiet_rounds && got.size() < bytes; ++quiet) {
            reactor_->run_once(1);
            const ssize_t count = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (count == 0) {
                return got + "<end>";
            }
            if (count < 0 && errno != EAGAIN) {
                return got + "<reset>";
            }
            if (count > 0) {
                got.append(buffer.data(), static_cast<std::size_t>(count));
                quiet = 0;
            }
        }
        return got;
    }

    // The body of a whole response, whose header must hold `part`.
    std::string body_of(int fd, std::string_view part, std::size_t body_bytes) {
        std::string got = hear(fd, 200);
        const std::size_t end = got.find("\r\n\r\n");
        EXPECT_NE(got.find(part), std::string::npos) << got.substr(0, end);
        if (end == std::string::npos) {
            return "<no header>";
        }
        got.erase(0, end + 4);
        if (got.size() < body_bytes) {
            got += hear(fd, body_bytes - got.size());
        }
        return got;
    }

    file_server handler_;
    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<net::flusher> flusher_;
    std::unique_ptr<server> server_;
    std::vector<int> clients_;
    std::size_t files_before_ = 0;
};

TEST_F(http_file_test, a_file_arrives_whole_and_the_connection_goes_on) {
    open();
    const int fd = connect_to();
    for (int round = 0; round < 2; ++round) {
        ask(fd, "/");
        EXPECT_TRUE(body_of(fd, "Content-Length: 5242957\r\n", file_bytes) == handler_.content);
    }
    EXPECT_EQ(handler_.last.calls, 2);
    EXPECT_EQ(handler_.last.body_bytes, file_bytes);
    EXPECT_TRUE(handler_.last.whole);
}

TEST_F(http_file_test, pipelined_parts_come_in_order) {
    open();
    const int fd = connect_to();
    ask(fd, "/part");
    ask(fd, "/", "HEAD");
    ask(fd, "/none");
    ask(fd, "/part");
    const std::string part = handler_.content.substr(1'000'003, 300'001);
    const std::string got = hear(fd, SIZE_MAX, 50);
    const std::size_t first = got.find("\r\n\r\n" + part + "HTTP/1.1 200 OK\r\n");
    ASSERT_NE(first, std::string::npos);
    const std::string_view rest = std::string_view(got).substr(first + 4 + part.size());
    EXPECT_EQ(rest.find("HTTP/1.1"), 0U);
    EXPECT_NE(rest.find("Content-Length: 5242957\r\n"), std::string_view::npos) << "HEAD";
    EXPECT_NE(rest.find("Content-Length: 0\r\n"), std::string_view::npos);
    EXPECT_TRUE(rest.ends_with("\r\n\r\n" + part));
    EXPECT_EQ(rest.size() - part.size(), rest.find("\r\n\r\n" + part) + 4);
    EXPECT_EQ(handler_.last.calls, 4);
}

TEST_F(http_file_test, a_handler_may_close_the_connection) {
    open();
    const int fd = connect_to();
    ask(fd, "/closes");
    const std::string got = hear(fd);
    EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(got.ends_with(handler_.content + "<end>"));
}

TEST_F(http_file_test, a_file_that_is_too_short_cuts_the_connection_and_never_ends_in_other_bytes) {
    open();
    const int fd = connect_to();
    ask(fd, "/short");
    const std::string got = hear(fd);
    EXPECT_TRUE(is_cut(got));
    EXPECT_NE(got.find("Content-Length: 5242958\r\n"), std::string::npos);
    EXPECT_LT(got.size() - got.find("\r\n\r\n"), file_bytes + 20);
    EXPECT_FALSE(handler_.last.whole);
    EXPECT_EQ(handler_.last.calls, 1);
}

TEST_F(http_file_test, a_client_that_goes_amid_the_body_costs_no_descriptor) {
    open();
    for (const bool with_reset : {false, true}) {
        for (std::size_t heard = 1; heard < file_bytes; heard = heard * 7 + 1) {
            const int fd = connect_to();
            ask(fd, "/");
            (void)hear(fd, heard);
            if (with_reset) {
                const linger reset{1, 0};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            }
            close(fd);
            clients_.pop_back();
        }
    }
    for (int turn = 0; turn < 500 && server_->connection_count() > 0; ++turn) {
        reactor_->run_once(5);
    }
    EXPECT_EQ(server_->connection_count(), 0U);
    EXPECT_EQ(handler_.last.calls, handler_.connected);
    EXPECT_FALSE(handler_.last.whole);
}

TEST_F(http_file_test, a_slow_reader_outlives_the_time_and_a_dead_one_does_not) {
    open({.send_ms_max = 300, .send_bytes_min = 4 * kib});
    const int slow = connect_to(64 * 1024);
    const int dead = connect_to(64 * 1024);
    ask(slow, "/");
    ask(dead, "/");
    const std::uint64_t begun_ms = reactor_->now_ms();
    std::string got;
    std::vector<char> buffer(16 * kib);
    std::uint64_t read_at_ms = begun_ms;
    while (reactor_->now_ms() < begun_ms + 1500) {
        reactor_->run_once(20);
        if (reactor_->now_ms() < read_at_ms + 20) {
            continue;
        }
        read_at_ms = reactor_->now_ms();
        const ssize_t count = recv(slow, buffer.data(), buffer.size(), MSG_DONTWAIT);
        ASSERT_TRUE(count > 0 || errno == EAGAIN)
            << "cut after " << reactor_->now_ms() - begun_ms << " ms";
        got.append(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    }
    EXPECT_EQ(server_->connection_count(), 1U) << "the dead one is gone";
    EXPECT_LT(got.size(), file_bytes) << "it was no slow reader";
    got += hear(slow, file_bytes);
    EXPECT_TRUE(got.ends_with(handler_.content.substr(got.size() / 2)));
    const std::string last = hear(dead);
    EXPECT_TRUE(is_cut(last)) << last.size();
    EXPECT_LT(last.size(), file_bytes);
}

TEST_F(http_file_test, readers_that_stand_still_hold_a_bounded_part_of_the_file) {
    open({.connections_max = 300});
    for (int count = 0; count < 100; ++count) {
        ask(connect_to(8 * 1024), "/");
    }
    const auto resident_kib = [] {
        std::size_t pages = 0;
        std::size_t resident = 0;
        std::FILE* file = std::fopen("/proc/self/statm", "r");
        EXPECT_EQ(std::fscanf(file, "%zu %zu", &pages, &resident), 2);
        std::fclose(file);
        return resident * 4;
    };
    const std::size_t before = resident_kib();
    for (int turn = 0; turn < 200; ++turn) {
        reactor_->run_once(2);
    }
    // The memfds of the test are 5 MiB each, and are not resident in this process.
    if (std::getenv("EBBGATE_SANITIZED") == nullptr) { // It keeps memory of its own.
        EXPECT_LT(resident_kib() - before, 100 * 640U) << "KiB for 100 connections";
    }
}

TEST_F(http_file_test, clients_that_are_refused_are_reset_and_others_can_be_cut) {
    open();
    handler_.refuses = true;
    EXPECT_EQ(hear(connect_to()), "<reset>");
    handler_.refuses = false;
    const int kept = connect_to();
    ask(kept, "/part");
    (void)hear(kept, 1000);
    server_->cut([](const std::string& client) { return client != "127.0.0.1"; });
    EXPECT_EQ(server_->connection_count(), 1U);
    server_->cut([](const std::string& client) { return client == "127.0.0.1"; });
    EXPECT_TRUE(is_cut(hear(kept)));
}

class https_file_test : public http_file_test {
protected:
    static std::shared_ptr<const tls::server_identities> identities() {
        tls::initialise();
        char name[] = "/tmp/ebbgate-https-XXXXXX";
        EXPECT_NE(mkdtemp(name), nullptr);
        const std::string folder = name;
        const std::string command =
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            "-subj /CN=files.test -keyout " +
            folder + "/key.pem -out " + folder + "/cert.pem 2>/dev/null";
        EXPECT_EQ(std::system(command.c_str()), 0) << "openssl is needed for this test";
        auto made = tls::context::for_server(folder + "/cert.pem", folder + "/key.pem");
        fs::remove_all(folder);
        EXPECT_TRUE(made.has_value()) << made.error().detail;
        return std::make_shared<tls::server_identities>(*made);
    }

    void turn_until(const std::function<bool()>& done) {
        for (int turn = 0; turn < 3000 && !done(); ++turn) {
            reactor_->run_once(1);
        }
    }
};

TEST_F(https_file_test, a_file_arrives_whole_and_its_end_is_said) {
    open({}, identities());
    const auto context = tls::context::for_client();
    ASSERT_TRUE(context.has_value());
    net::recording_observer end;
    const int fd = connect_to();
    clients_.clear(); // The stream closes it.
    auto* stream = new net::stream(*reactor_, *flusher_, fd, end);
    bool is_established = false;
    stream->set_filter((*context)->make_filter(
        "files.test", [&is_established](const std::string&) { is_established = true; }));
    stream->start_input();
    ASSERT_TRUE(tls::begin_handshake(*stream->get_filter(), *stream));
    turn_until([&] { return is_established; });
    ASSERT_TRUE(is_established);
    stream->write("GET /part HTTP/1.1\r\nHost: a\r\n\r\nGET /closes HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until([&] { return end.closed > 0; });
    EXPECT_EQ(end.closed, 1);
    EXPECT_EQ(end.reason, net::close_reason::peer_closed);
    EXPECT_NE(end.got.find("\r\n\r\n" + handler_.content.substr(1'000'003, 300'001) + "HTTP/1.1 "),
              std::string::npos);
    EXPECT_TRUE(end.got.ends_with("\r\n\r\n" + handler_.content));
    EXPECT_TRUE(handler_.last.whole);
}

TEST_F(https_file_test, a_client_that_says_nothing_or_no_tls_is_cut) {
    open({.handshake_ms_max = 200}, identities());
    const int silent = connect_to();
    const int clear = connect_to();
    ask(clear, "/");
    const std::string heard = hear(clear);
    EXPECT_EQ(heard.find("HTTP/1.1"), std::string::npos) << "an answer in clear text";
    EXPECT_TRUE(is_cut(heard));
    EXPECT_TRUE(is_cut(hear(silent)));
    turn_until([this] { return server_->connection_count() == 0; });
    EXPECT_EQ(server_->connection_count(), 0U);
}

TEST_F(https_file_test, too_many_connections_are_reset_before_any_handshake) {
    open({.connections_max = 1}, identities());
    const int first = connect_to();
    (void)hear(first, 1, 20);
    EXPECT_EQ(hear(connect_to()), "<reset>");
    EXPECT_EQ(server_->connection_count(), 1U);
}

} // namespace
} // namespace ebbgate::http
