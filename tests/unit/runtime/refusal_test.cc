// The kernel refuses banned clients with ECONNREFUSED, and only those. Runs in a network namespace
// of its own, which needs root.

#include "runtime/net/refusal.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ebbgate::net {
namespace {

class socket_handle {
public:
    explicit socket_handle(int fd) : fd_(fd) {}

    socket_handle(socket_handle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

    socket_handle& operator=(socket_handle&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }

    ~socket_handle() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }

    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_;
};

struct any_address {
    sockaddr_storage storage{};
    socklen_t bytes = 0;

    [[nodiscard]] const sockaddr* get() const {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
};

any_address address_of(const std::string& text, std::uint16_t port) {
    any_address made;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        made.bytes = sizeof *v4;
    } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        made.bytes = sizeof *v6;
    }
    return made;
}

source_network source(const std::string& text, int bits) {
    source_network made;
    if (inet_pton(AF_INET6, text.c_str(), made.address.data()) == 1) {
        made.prefix_bits = static_cast<std::uint8_t>(bits);
        return made;
    }
    made.address[10] = made.address[11] = 0xff;
    inet_pton(AF_INET, text.c_str(), &made.address[12]);
    made.prefix_bits = static_cast<std::uint8_t>(96 + bits);
    return made;
}

constexpr std::uint16_t port = 2525;

class refusal_test : public ::testing::Test {
protected:
    void SetUp() override {
        outside_ = socket_handle(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        if (unshare(CLONE_NEWNET) != 0) {
            outside_ = socket_handle(-1);
            GTEST_SKIP() << "a network namespace needs root: " << std::strerror(errno);
        }
        const socket_handle control(socket(AF_INET, SOCK_DGRAM, 0));
        ifreq up{};
        std::strcpy(up.ifr_name, "lo");
        up.ifr_flags = IFF_UP;
        ASSERT_EQ(ioctl(control.get(), SIOCSIFFLAGS, &up), 0);
        for (const auto* text : {"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"}) {
            add_v6(text);
        }
        auto opened = refusal::open(100'000);
        if (!opened && opened.error().kind == failure_kind::unavailable) {
            GTEST_SKIP() << opened.error().detail;
        }
        ASSERT_TRUE(opened) << opened.error().detail;
        refusal_ = std::move(*opened);
    }

    void TearDown() override {
        listeners_.clear();
        if (outside_.get() < 0) {
            return;
        }
        ASSERT_EQ(setns(outside_.get(), CLONE_NEWNET), 0) << std::strerror(errno);
    }

    static void add_v6(const char* text) {
        const socket_handle control(socket(AF_INET6, SOCK_DGRAM, 0));
        in6_ifreq request{};
        inet_pton(AF_INET6, text, &request.ifr6_addr);
        request.ifr6_prefixlen = 128;
        request.ifr6_ifindex = static_cast<int>(if_nametoindex("lo"));
        ASSERT_EQ(ioctl(control.get(), SIOCSIFADDR, &request), 0) << std::strerror(errno);
        // It is tentative for a moment.
        const any_address at = address_of(text, 0);
        for (int i = 0; i < 2000; ++i) {
            const socket_handle taker(socket(AF_INET6, SOCK_STREAM, 0));
            if (bind(taker.get(), at.get(), at.bytes) == 0) {
                return;
            }
            usleep(1000);
        }
        FAIL() << text << " cannot be used";
    }

    void listen_on(const std::string& text, int count, bool dual = false) {
        for (int i = 0; i < count; ++i) {
            const any_address at = address_of(text, port);
            socket_handle made(socket(at.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0));
            const int on = 1;
            const int only_v6 = dual ? 0 : 1;
            ASSERT_EQ(setsockopt(made.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
            if (at.storage.ss_family == AF_INET6) {
                ASSERT_EQ(
                    setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6), 0);
            }
            ASSERT_EQ(bind(made.get(), at.get(), at.bytes), 0) << std::strerror(errno);
            ASSERT_EQ(listen(made.get(), 1024), 0);
            listeners_.push_back(std::move(made));
        }
    }

    void attach_all() {
        for (const socket_handle& each : listeners_) {
            const auto attached = refusal_->attach(each.get());
            ASSERT_TRUE(attached) << attached.error().detail;
        }
    }

    // 0, or the errno of connect().
    static int connect_from(const std::string& from, const std::string& to) {
        const any_address local = address_of(from, 0);
        const any_address remote = address_of(to, port);
        const socket_handle client(socket(local.storage.ss_family, SOCK_STREAM, 0));
        if (bind(client.get(), local.get(), local.bytes) != 0) {
            return -errno;
        }
        return connect(client.get(), remote.get(), remote.bytes) == 0 ? 0 : errno;
    }

    void refuse(const source_network& network) {
        const auto done = refusal_->refuse({&network, 1});
        ASSERT_TRUE(done) << done.error().detail;
    }

    void let_through(const source_network& network) {
        ASSERT_TRUE(refusal_->let_through({&network, 1}));
    }

    void forget(const source_network& network) { ASSERT_TRUE(refusal_->forget({&network, 1})); }

    socket_handle outside_{-1}; // The namespace to go back to.
    std::unique_ptr<refusal> refusal_;
    std::vector<socket_handle> listeners_;
};

TEST_F(refusal_test, a_banned_address_is_refused_and_no_other) {
    listen_on("127.0.0.1", 4);
    listen_on("2001:db8::1", 4);
    attach_all();
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), 0);
    refuse(source("127.0.0.2", 32));
    refuse(source("2001:db8::", 64));
    // Each connection has another port, so each socket of the group is tried.
    for (int i = 0; i < 50; ++i) {
        ASSERT_EQ(connect_from("127.0.0.2", "127.0.0.1"), ECONNREFUSED) << i;
        ASSERT_EQ(connect_from("2001:db8::2", "2001:db8::1"), ECONNREFUSED) << i;
        ASSERT_EQ(connect_from("127.0.0.3", "127.0.0.1"), 0) << i;
        ASSERT_EQ(connect_from("2001:db8:0:1::1", "2001:db8::1"), 0) << i;
    }
    forget(source("127.0.0.2", 32));
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), 0) << "at once";
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), ECONNREFUSED);
    forget(source("2001:db8::", 64));
    forget(source("2001:db8::", 64));
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), 0);
}

TEST_F(refusal_test, a_listener_that_joins_later_refuses_too) {
    listen_on("0.0.0.0", 1);
    attach_all();
    refuse(source("127.0.0.2", 32));
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), ECONNREFUSED);
    listen_on("0.0.0.0", 3);
    for (int i = 0; i < 50; ++i) {
        ASSERT_EQ(connect_from("127.0.0.2", "127.0.0.1"), ECONNREFUSED);
    }
    EXPECT_EQ(connect_from("127.0.0.3", "127.0.0.1"), 0);
}

TEST_F(refusal_test, an_ipv4_client_of_an_ipv6_socket) {
    listen_on("::", 2, true);
    attach_all();
    refuse(source("127.0.0.2", 32));
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("127.0.0.3", "127.0.0.1"), 0);
    EXPECT_EQ(connect_from("2001:db8::1", "2001:db8::1"), 0);
}

TEST_F(refusal_test, the_most_specific_entry_decides) {
    listen_on("127.0.0.1", 1);
    listen_on("2001:db8::1", 1);
    attach_all();
    refuse(source("127.0.0.0", 8));
    refuse(source("::", 0));
    let_through(source("127.0.0.16", 28));
    let_through(source("2001:db8::2", 128));
    refuse(source("127.0.0.18", 32));
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("127.0.0.17", "127.0.0.1"), 0);
    EXPECT_EQ(connect_from("127.0.0.18", "127.0.0.1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("2001:db8::1", "2001:db8::1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), 0);
    refuse(source("2001:db8::2", 128));
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), ECONNREFUSED);
}

TEST_F(refusal_test, connections_spread_over_the_group_as_without_us) {
    constexpr int members = 4;
    constexpr int connections = 400;
    listen_on("127.0.0.1", members);
    attach_all();
    for (int i = 0; i < connections; ++i) {
        ASSERT_EQ(connect_from("127.0.0.3", "127.0.0.1"), 0);
    }
    int all = 0;
    for (const socket_handle& each : listeners_) {
        int got = 0;
        for (;;) {
            const socket_handle accepted(accept(each.get(), nullptr, nullptr));
            if (accepted.get() < 0) {
                break;
            }
            ++got;
        }
        EXPECT_GT(got, connections / members / 2);
        all += got;
    }
    EXPECT_EQ(all, connections);
}

TEST_F(refusal_test, many_at_once_and_a_full_map) {
    std::vector<source_network> many;
    for (int i = 0; i < 100'000; ++i) {
        source_network each = source(i % 2 == 0 ? "10.0.0.0" : "2001:db8::", i % 2 == 0 ? 32 : 64);
        const std::size_t at = i % 2 == 0 ? 13 : 5;
        each.address[at] = static_cast<std::uint8_t>(i >> 16);
        each.address[at + 1] = static_cast<std::uint8_t>(i >> 8);
        each.address[at + 2] = static_cast<std::uint8_t>(i);
        many.push_back(each);
    }
    ASSERT_TRUE(refusal_->refuse(many));
    EXPECT_EQ(refusal_->count_entries(), many.size());
    ASSERT_TRUE(refusal_->refuse(many)) << "again is no fault";
    EXPECT_EQ(refusal_->count_entries(), many.size());
    ASSERT_TRUE(refusal_->forget(std::span(many).subspan(0, 99'990)));
    EXPECT_EQ(refusal_->count_entries(), 10U);
    ASSERT_TRUE(refusal_->refuse({}));
    auto small = refusal::open(100, 50);
    ASSERT_TRUE(small);
    const auto full = (*small)->refuse(many);
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().kind, failure_kind::no_space);
    EXPECT_EQ((*small)->count_entries(), 250U) << "fifty clients, a hundred of each family";
}

TEST_F(refusal_test, clients_for_which_the_hash_has_no_room) {
    auto small = refusal::open(100, 1);
    ASSERT_TRUE(small);
    refusal_ = std::move(*small);
    listen_on("127.0.0.1", 1);
    listen_on("2001:db8::1", 1);
    attach_all();
    const source_network clients[] = {
        source("127.0.0.2", 32), source("127.0.0.3", 32), source("2001:db8::", 64)};
    ASSERT_TRUE(refusal_->refuse(clients));
    EXPECT_EQ(refusal_->count_entries(), 3U);
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("127.0.0.3", "127.0.0.1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), ECONNREFUSED);
    EXPECT_EQ(connect_from("127.0.0.4", "127.0.0.1"), 0);
    EXPECT_EQ(connect_from("2001:db8:0:1::1", "2001:db8::1"), 0);
    // Now there is room: an entry may be in both, and goes from both.
    forget(clients[0]);
    refuse(clients[1]);
    EXPECT_EQ(connect_from("127.0.0.3", "127.0.0.1"), ECONNREFUSED);
    ASSERT_TRUE(refusal_->forget(clients));
    EXPECT_EQ(refusal_->count_entries(), 0U);
    EXPECT_EQ(connect_from("127.0.0.3", "127.0.0.1"), 0);
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), 0);
}

TEST_F(refusal_test, a_client_and_what_is_larger_or_smaller_than_it) {
    listen_on("2001:db8::1", 1);
    listen_on("127.0.0.1", 1);
    attach_all();
    refuse(source("2001:db8::", 32));
    let_through(source("2001:db8::", 64));
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), 0);
    EXPECT_EQ(connect_from("2001:db8:0:1::1", "2001:db8::1"), ECONNREFUSED);
    refuse(source("2001:db8::", 64));
    let_through(source("2001:db8::2", 128));
    EXPECT_EQ(connect_from("2001:db8::2", "2001:db8::1"), 0);
    EXPECT_EQ(connect_from("2001:db8::1", "2001:db8::1"), ECONNREFUSED);
    let_through(source("127.0.0.2", 32));
    refuse(source("127.0.0.0", 24));
    EXPECT_EQ(connect_from("127.0.0.2", "127.0.0.1"), 0);
    EXPECT_EQ(connect_from("127.0.0.3", "127.0.0.1"), ECONNREFUSED);
}

TEST_F(refusal_test, a_socket_without_reuseport_is_told) {
    const socket_handle plain(socket(AF_INET, SOCK_STREAM, 0));
    const auto attached = refusal_->attach(plain.get());
    ASSERT_FALSE(attached);
    EXPECT_NE(attached.error().detail.find("attaching"), std::string::npos);
}

TEST(Refusal, SaysWhichPrivilegeIsMissing) {
    if (geteuid() != 0) {
        const auto opened = refusal::open(100);
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().kind, failure_kind::unavailable);
        EXPECT_NE(opened.error().detail.find("CAP_BPF"), std::string::npos);
        return;
    }
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const bool told = [] {
            if (setresuid(65'534, 65'534, 65'534) != 0) {
                return false;
            }
            const auto opened = refusal::open(100);
            return !opened && opened.error().kind == failure_kind::unavailable &&
                   opened.error().detail.find("CAP_BPF") != std::string::npos;
        }();
        _exit(told ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

} // namespace
} // namespace ebbgate::net
