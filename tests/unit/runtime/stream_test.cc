// Streams over a real ring and loopback TCP: order, back-pressure, exhaustion and the end.

#include "loopback.h"
#include "runtime/net/stream.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <string>
#include <unistd.h>

namespace ebbgate::net {
namespace {

struct taker final : stream_observer {
    std::string got;
    std::size_t take_max = SIZE_MAX; // Per call; 0: nothing now.
    int closed = 0;
    close_reason reason{};

    std::size_t on_input(byte_view bytes) noexcept override {
        const std::size_t taken = std::min(take_max, bytes.size());
        got.append(bytes.substr(0, taken));
        return taken;
    }

    void on_closed(close_reason why) noexcept override {
        ++closed;
        reason = why;
    }
};

class StreamTest : public testing::Test {
protected:
    void open(ring::options options = {}) {
        auto made = task::reactor::open(options);
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        reactor_ = std::move(*made);
        flusher_ = std::make_unique<flusher>(*reactor_);
        // TCP, as in life: a multishot receive on a socket pair misses an end that was already
        // there when the data was read (kernel 6.18).
        const connected_sockets ends = connect_on_loopback();
        peer_ = ends.client;
        stream_ = new stream(*reactor_, *flusher_, ends.server, taker_);
    }

    void turns(int count) {
        for (int index = 0; index < count; ++index) {
            reactor_->run_once(1);
        }
    }

    void TearDown() override {
        if (taker_.closed == 0 && stream_ != nullptr) {
            stream_->abort();
        }
        turns(10);
        EXPECT_EQ(reactor_->io().in_flight_count(), 1U) << "only the wake read may stay in flight";
        EXPECT_EQ(reactor_->io().statistics().stale_completions, 0U);
        if (peer_ >= 0) {
            close(peer_);
        }
    }

    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<flusher> flusher_;
    taker taker_;
    stream* stream_ = nullptr;
    int peer_ = -1;
};

TEST_F(StreamTest, BytesArriveInOrder) {
    open();
    stream_->start_input();
    std::string sent;
    for (int index = 0; index < 200; ++index) {
        const std::string piece = "piece " + std::to_string(index) + ";";
        ASSERT_EQ(write(peer_, piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
        sent += piece;
        if (index % 10 == 0) {
            turns(1);
        }
    }
    turns(20);
    EXPECT_EQ(taker_.got, sent);
}

TEST_F(StreamTest, InputThatIsNotTakenIsKeptAndOfferedAgain) {
    open();
    taker_.take_max = 0;
    stream_->start_input();
    ASSERT_EQ(write(peer_, "hello", 5), 5);
    turns(5);
    EXPECT_EQ(taker_.got, "");
    EXPECT_TRUE(stream_->has_kept_input());
    taker_.take_max = SIZE_MAX;
    stream_->resume_input();
    EXPECT_EQ(taker_.got, "hello");
    EXPECT_FALSE(stream_->has_kept_input());
}

TEST_F(StreamTest, APausedReaderHoldsTheSenderAndLosesNothing) {
    open();
    taker_.take_max = 0;
    stream_->start_input();
    std::string sent(32 * mib, 'x'); // More than the kernel's socket buffers take.
    for (std::size_t index = 0; index < sent.size(); ++index) {
        sent[index] = static_cast<char>('a' + index * 7 % 26);
    }
    std::size_t written = 0;
    const auto push = [&] {
        const ssize_t count =
            send(peer_, sent.data() + written, sent.size() - written, MSG_DONTWAIT);
        written += count > 0 ? static_cast<std::size_t>(count) : 0;
    };
    for (int round = 0; round < 200; ++round) {
        push();
        turns(1);
    }
    EXPECT_LT(written, sent.size() / 2) << "the sender was never held";
    taker_.take_max = SIZE_MAX;
    for (int round = 0; round < 20'000 && taker_.got.size() < sent.size(); ++round) {
        push();
        stream_->resume_input();
        turns(1);
    }
    EXPECT_TRUE(taker_.got == sent);
}

TEST_F(StreamTest, ExhaustedReceiveBuffersPauseAndResume) {
    open({.buffer_count = 2, .buffer_bytes = 512});
    stream_->start_input();
    const std::string sent(60'000, 'y');
    ASSERT_EQ(write(peer_, sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
    turns(600);
    EXPECT_EQ(taker_.got.size(), sent.size());
    EXPECT_GT(reactor_->io().statistics().buffers_exhausted, 0U) << "the test did not exhaust them";
}

TEST_F(StreamTest, OutputIsSentInOrderTextAndBody) {
    open();
    chunks body;
    const std::string large(300'000, 'b');
    body.append(large);
    stream_->write("head;");
    stream_->write(body);
    stream_->write(";tail");
    std::string got;
    char buffer[65536];
    for (int round = 0; round < 2000 && got.size() < large.size() + 10; ++round) {
        turns(1);
        const ssize_t count = recv(peer_, buffer, sizeof buffer, MSG_DONTWAIT);
        got.append(buffer, count > 0 ? static_cast<std::size_t>(count) : 0);
    }
    EXPECT_TRUE(got == "head;" + large + ";tail");
}

TEST_F(StreamTest, CloseSendsWhatWasWritten) {
    open();
    stream_->start_input();
    stream_->write("221 Bye\r\n");
    stream_->close();
    stream_ = nullptr;
    turns(10);
    char buffer[64];
    EXPECT_EQ(recv(peer_, buffer, sizeof buffer, MSG_DONTWAIT), 9);
    EXPECT_EQ(recv(peer_, buffer, sizeof buffer, MSG_DONTWAIT), 0) << "not closed";
    EXPECT_EQ(taker_.closed, 0);
}

TEST_F(StreamTest, ThePeersEndIsToldOnce) {
    open();
    stream_->start_input();
    ASSERT_EQ(write(peer_, "bye", 3), 3);
    close(peer_);
    peer_ = -1;
    turns(10);
    EXPECT_EQ(taker_.got, "bye");
    EXPECT_EQ(taker_.closed, 1);
    EXPECT_EQ(taker_.reason, close_reason::peer_closed);
}

TEST_F(StreamTest, AbortWithASlowReaderFreesEverything) {
    open();
    stream_->start_input();
    chunks body;
    body.append(std::string(4 * mib, 'z'));
    stream_->write(body);
    turns(5);
    EXPECT_FALSE(stream_->can_write());
    stream_->abort();
    stream_ = nullptr;
    turns(10);
    EXPECT_EQ(taker_.closed, 0);
}

} // namespace
} // namespace ebbgate::net
