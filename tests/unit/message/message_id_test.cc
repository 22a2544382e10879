// Queue ids: never twice, in order, and readable back from their text.

#include "ebbgate/message/message_id.h"

#include <gtest/gtest.h>

#include <limits>

namespace ebbgate::message {
namespace {

TEST(MessageId, IdsGrowEvenWhenTheClockStandsStillOrJumpsBack) {
    id_source source(3, 0);
    std::uint64_t last = 0;
    for (const std::int64_t clock : {1000, 1000, 1000, 5, -7, 1001, 2000}) {
        const std::uint64_t id = source.next(clock);
        EXPECT_GT(id, last);
        EXPECT_EQ(id & 0xFF, 3U);
        last = id;
    }
    EXPECT_EQ(last >> 8, 2000U);
}

TEST(MessageId, WhatRecoveryFoundIsNotUsedAgain) {
    id_source first(1, 0);
    const std::uint64_t used = first.next(1'000'000);
    id_source second(1, used);
    EXPECT_GT(second.next(10), used);
}

TEST(MessageId, TwoShardsNeverMeet) {
    id_source a(1, 0);
    id_source b(2, 0);
    EXPECT_NE(a.next(5), b.next(5));
}

TEST(MessageId, TextComesBackAndSortsLikeTheNumber) {
    std::string last;
    for (const std::uint64_t id : {std::uint64_t{0},
                                   std::uint64_t{31},
                                   std::uint64_t{32},
                                   std::uint64_t{1} << 40,
                                   std::numeric_limits<std::uint64_t>::max()}) {
        const std::string text = to_text(id);
        EXPECT_EQ(text.size(), 13U);
        EXPECT_EQ(from_text(text), id);
        EXPECT_GT(text, last);
        last = text;
    }
    EXPECT_EQ(last, "FZZZZZZZZZZZZ");
}

TEST(MessageId, OtherTextIsRefused) {
    for (const char* text : {"",
                             "0000000000000x",
                             "000000000000",
                             "000000000000I",
                             "00000000000 0",
                             "G000000000000",
                             "ZZZZZZZZZZZZZ",
                             "fzzzzzzzzzzzz"}) {
        EXPECT_FALSE(from_text(text).has_value()) << text;
    }
}

} // namespace
} // namespace ebbgate::message
