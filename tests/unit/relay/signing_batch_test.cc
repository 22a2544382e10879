// Who waits for whom, and for how long.

#include "relay/signing_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace ebbgate::relay {
namespace {

class SigningBatch : public testing::Test {
protected:
    // Longer than a busy machine may stop us for.
    static constexpr std::uint64_t wait_ms = 500;

    struct message : signing_request {
        bool is_signed = false;
    };

    // With as many signatures.
    message& add(std::size_t signatures = 1) {
        messages_.emplace_back();
        message& made = messages_.back();
        for (std::size_t i = 0; i < signatures; ++i) {
            made.signatures.push_back({key(), {}, "b=", {}});
        }
        made.on_signed = [](signing_request& request) noexcept {
            static_cast<message&>(request).is_signed = true;
        };
        batch_.add(made);
        return made;
    }

    std::size_t signed_count() const {
        return static_cast<std::size_t>(std::ranges::count_if(messages_, [](const message& one) {
            return one.is_signed && std::ranges::none_of(one.signatures, [](const auto& signature) {
                       return signature.field().empty();
                   });
        }));
    }

    void expect(std::size_t messages) {
        for (; messages > 0; --messages) {
            batch_.expect();
        }
    }

    void turn(std::uint64_t sleep_ms = 0) { reactor_->run_once(sleep_ms); }

    // Until nothing waits any more, or the time is over.
    std::uint64_t turn_until_all_are_signed() {
        const std::uint64_t began = reactor_->now_ms();
        while (signed_count() < messages_.size() && reactor_->now_ms() - began < 10 * wait_ms) {
            turn(1);
        }
        return reactor_->now_ms() - began;
    }

    // First: it takes longer than the batch may wait.
    dkim::key_pointer warm_ = key();
    std::unique_ptr<task::reactor> reactor_ = *task::reactor::open({});
    signing_batch batch_{*reactor_, wait_ms};

private:
    static const dkim::key_pointer& key() {
        static const dkim::key_pointer made = dkim::generate_key(dkim::key_type::rsa);
        return made;
    }

    std::deque<message> messages_;
};

class SigningBatchWithVectors : public SigningBatch {
protected:
    void SetUp() override {
        if (!dkim::has_vectors()) {
            GTEST_SKIP() << "nobody waits on this machine";
        }
    }
};

TEST_F(SigningBatch, SignsAtOnceWhenNobodyElseIsOnTheWay) {
    add();
    EXPECT_EQ(signed_count(), 0U); // Not within add().
    turn();
    EXPECT_EQ(signed_count(), 1U);
    add(3);
    add(2);
    turn();
    EXPECT_EQ(signed_count(), 3U);
}

TEST_F(SigningBatch, NeverWaitsLongForWhoDoesNotCome) {
    expect(5);
    add();
    add();
    EXPECT_LE(turn_until_all_are_signed(), 4 * wait_ms);
    EXPECT_EQ(signed_count(), 2U);
}

TEST_F(SigningBatchWithVectors, WaitsForThoseOnTheWay) {
    expect(5);
    add();
    add();
    turn();
    EXPECT_EQ(signed_count(), 0U);
    for (int i = 0; i < 4; ++i) {
        batch_.arrived();
    }
    turn();
    EXPECT_EQ(signed_count(), 0U);
    batch_.arrived(); // The last one was given up.
    turn();
    EXPECT_EQ(signed_count(), 2U);
}

TEST_F(SigningBatchWithVectors, SignsEightAndKeepsTheRestForTheNext) {
    expect(1);
    for (int i = 0; i < 11; ++i) {
        add();
    }
    turn();
    EXPECT_EQ(signed_count(), 8U);
    for (int i = 0; i < 5; ++i) {
        add();
    }
    turn();
    EXPECT_EQ(signed_count(), 16U);
    add();
    (void)turn_until_all_are_signed();
    EXPECT_EQ(signed_count(), 17U);
}

TEST_F(SigningBatchWithVectors, ABusyShardWaitsThoughNobodyIsOnTheWay) {
    for (int i = 0; i < 8; ++i) {
        add();
    }
    turn();
    EXPECT_EQ(signed_count(), 8U);
    add(); // The eight clients will soon send more.
    turn();
    EXPECT_EQ(signed_count(), 8U);
    (void)turn_until_all_are_signed();
    EXPECT_EQ(signed_count(), 9U);
}

TEST_F(SigningBatch, AMessageWithMoreThanEightSignaturesIsSignedToo) {
    expect(1);
    add(11);
    add();
    (void)turn_until_all_are_signed();
    EXPECT_EQ(signed_count(), 2U);
}

} // namespace
} // namespace ebbgate::relay
