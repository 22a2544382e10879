#include "service/admin/admin_socket.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <poll.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ebbgate::admin {
namespace {

class admin_socket_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-admin-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        path_ = folder_ + "/admin.sock";
        auto opened = admin_socket::open(path_, [this](std::string_view request, const peer& from) {
            uid_ = from.uid;
            return request == "large" ? std::string(8 * mib, 'x') : std::string(request);
        });
        ASSERT_TRUE(opened);
        socket_ = std::move(*opened);
        serving_ = std::thread([this] {
            while (!stop_) {
                pollfd waiting{socket_->descriptor(), POLLIN, 0};
                wakes_ += poll(&waiting, 1, 50) > 0 ? 1 : 0;
                socket_->serve();
                clients_ = socket_->client_count();
            }
        });
    }

    void TearDown() override {
        stop_ = true;
        serving_.join();
        socket_.reset();
        EXPECT_FALSE(std::filesystem::exists(path_));
        std::filesystem::remove_all(folder_);
    }

    int connect_to() {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path_.data(), path_.size());
        EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        const timeval limit{30, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return fd;
    }

    template <typename claim>
    bool becomes(claim holds) {
        for (int tries = 0; tries < 2000 && !holds(); ++tries) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        return holds();
    }

    std::string folder_;
    std::string path_;
    std::unique_ptr<admin_socket> socket_;
    std::thread serving_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint32_t> uid_ = 0xffff'ffff;
    std::atomic<std::size_t> clients_ = 0;
    std::atomic<std::uint64_t> wakes_ = 0;
};

TEST_F(admin_socket_test, only_owner_and_group_connect_and_the_peer_is_known) {
    struct stat found{};
    ASSERT_EQ(stat(path_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777U, 0660U);
    EXPECT_EQ(ask(path_, "hello").value(), "hello");
    EXPECT_EQ(uid_, geteuid());
}

TEST_F(admin_socket_test, large_requests_and_answers_go_through_and_larger_ones_are_refused) {
    const std::string most(admin_socket::request_bytes_max, 'r');
    EXPECT_EQ(ask(path_, most).value(), most);
    const auto refused = ask(path_, most + "r");
    ASSERT_TRUE(refused);
    EXPECT_NE(refused->find("too long"), std::string::npos);
    EXPECT_EQ(ask(path_, "large").value().size(), 8 * mib);
}

TEST_F(admin_socket_test, silent_clients_hold_nobody_up) {
    std::vector<int> silent;
    for (std::size_t index = 0; index + 1 < admin_socket::clients_max; ++index) {
        silent.push_back(connect_to());
        ASSERT_EQ(send(silent.back(), "x", 1, 0), 1);
    }
    const int greedy = silent.back(); // Asks for a large answer and takes none of it.
    ASSERT_EQ(send(greedy, "\n", 1, 0), 1);
    const auto began = std::chrono::steady_clock::now();
    for (int turn = 0; turn < 20; ++turn) {
        EXPECT_EQ(ask(path_, "hello").value(), "hello");
    }
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
    for (const int fd : silent) {
        close(fd);
    }
    EXPECT_TRUE(becomes([this] { return clients_ == 0; }));
}

TEST_F(admin_socket_test, when_all_places_are_taken_the_next_waits_and_nothing_spins) {
    std::vector<int> silent;
    for (std::size_t index = 0; index < admin_socket::clients_max; ++index) {
        silent.push_back(connect_to());
    }
    ASSERT_TRUE(becomes([this] { return clients_ == admin_socket::clients_max; }));
    const int waiting = connect_to();
    ASSERT_EQ(send(waiting, "hello\n", 6, 0), 6);
    const std::uint64_t wakes = wakes_;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_LT(wakes_ - wakes, 10U);
    std::array<char, 16> answer{};
    EXPECT_EQ(recv(waiting, answer.data(), answer.size(), MSG_DONTWAIT), -1);
    close(silent.back());
    silent.pop_back();
    EXPECT_EQ(recv(waiting, answer.data(), answer.size(), 0), 6);
    EXPECT_EQ(std::string(answer.data(), 6), "hello\n");
    for (const int fd : silent) {
        close(fd);
    }
    close(waiting);
}

TEST_F(admin_socket_test, a_client_that_is_not_done_in_time_is_cut) {
    const int slow = connect_to();
    const auto began = std::chrono::steady_clock::now();
    char c = 'x';
    // It dribbles, which does not lengthen its time.
    while (send(slow, &c, 1, MSG_NOSIGNAL) == 1 &&
           std::chrono::steady_clock::now() - began < std::chrono::seconds(20)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_GE(took, std::chrono::seconds(admin_socket::client_seconds_max));
    EXPECT_LT(took, std::chrono::seconds(admin_socket::client_seconds_max + 4));
    close(slow);
}

TEST(admin_socket, says_why_it_cannot_listen_and_that_nobody_is_there) {
    EXPECT_FALSE(admin_socket::open("/none/x/admin.sock", nullptr));
    EXPECT_FALSE(admin_socket::open("/tmp/" + std::string(200, 'x'), nullptr));
    const auto asked = ask("/tmp/ebbgate-nobody.sock", "status");
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().kind, failure_kind::unavailable);
}

} // namespace
} // namespace ebbgate::admin
