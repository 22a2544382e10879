// Lanes in line, and lanes and messages that wait for a time.

#include "relay/waiting_lanes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace ebbgate::relay {
namespace {

TEST(WaitingLanes, StandOnceInALineHoweverOftenTheyCome) {
    lane_line line;
    for (int again = 0; again < 1000; ++again) {
        line.add(7);
        line.add(8);
        line.add(7);
    }
    EXPECT_TRUE(line.has_others(7));
    EXPECT_TRUE(line.has_others(9));
    EXPECT_EQ(line.take(), 7U);
    EXPECT_FALSE(line.has_others(8)) << "it is alone";
    line.add(7);
    EXPECT_EQ(line.take(), 8U);
    EXPECT_EQ(line.take(), 7U);
    EXPECT_TRUE(line.empty());
    EXPECT_FALSE(line.has_others(7));
    line.add(1);
    line.add(2);
    line.remove(1);
    line.remove(1);
    line.add(3);
    EXPECT_EQ(line.take(), 2U);
    EXPECT_EQ(line.take(), 3U);
    EXPECT_TRUE(line.empty());
}

TEST(WaitingLanes, ComeWhenTheirTimeHasCome) {
    timed<schedule::lane_id> lanes;
    EXPECT_FALSE(lanes.next_ms().has_value());
    lanes.add(1, 300);
    lanes.add(2, 100);
    lanes.add(3, 200);
    EXPECT_EQ(lanes.next_ms(), 100);
    EXPECT_FALSE(lanes.take(99).has_value());
    EXPECT_EQ(lanes.take(250), 2U);
    EXPECT_EQ(lanes.take(250), 3U);
    EXPECT_FALSE(lanes.take(250).has_value());
    EXPECT_EQ(lanes.take(300), 1U);
}

TEST(WaitingLanes, StandInTheLineOfEachSite) {
    site_lines lines;
    lines.add("a", 1);
    lines.add("a", 2);
    lines.add("b", 1);
    EXPECT_TRUE(lines.has_others("a", 1));
    EXPECT_FALSE(lines.has_others("b", 1));
    EXPECT_FALSE(lines.has_others("c", 1));
    lines.time("b", 100);
    lines.time("b", 150); // It has a time already.
    EXPECT_EQ(lines.next_ms(), 100);
    using lanes = std::vector<schedule::lane_id>;
    EXPECT_EQ(lines.first("b", 8), lanes{1});
    EXPECT_EQ(lines.count("b"), 1U) << "who is told stays";
    lines.remove("b", 1);
    EXPECT_EQ(lines.count("b"), 0U);
    EXPECT_EQ(lines.take_due(100), "b");
    EXPECT_FALSE(lines.take_due(100).has_value());
    lines.add("a", 3);
    EXPECT_EQ(lines.first("a", 2), (lanes{1, 2}));
    lines.add("a", 1); // It found no room, and keeps its place.
    lines.add_first("a", 3);
    EXPECT_EQ(lines.first("a", 8), (lanes{3, 1, 2}));
    lines.add_first("a", 2);
    EXPECT_EQ(lines.first("a", 8), (lanes{2, 3, 1}));
    lines.remove("a", 3);
    lines.remove("c", 1);
    EXPECT_EQ(lines.count("a"), 2U);
    EXPECT_TRUE(lines.first("c", 8).empty());
}

TEST(WaitingLanes, LookAtASiteWhoseRateIsUsedUpWhenItIsNotAnyMore) {
    site_lines lines;
    lines.add("a", 1);
    lines.use_up("a", 100);
    EXPECT_TRUE(lines.is_used_up("a", 99));
    lines.use_up("a", 150); // Somebody else took the place in between.
    EXPECT_FALSE(lines.take_due(99).has_value());
    EXPECT_FALSE(lines.take_due(149).has_value());
    ASSERT_EQ(lines.next_ms(), 150);
    EXPECT_EQ(lines.take_due(150), "a");
    EXPECT_FALSE(lines.is_used_up("a", 150));
    lines.use_up("a", 1000);
    lines.look_at_all(200);
    EXPECT_EQ(lines.take_due(200), "a");
    EXPECT_EQ(lines.count("a"), 1U);
    EXPECT_FALSE(lines.take_due(5000).has_value());
}

TEST(TimedMessages, HaveOneTimeEach) {
    timed_messages messages;
    EXPECT_FALSE(messages.next_ms().has_value());
    messages.add(7, 300);
    messages.add(8, 100);
    messages.add(7, 200);
    messages.add(9, 150);
    messages.erase(9);
    messages.erase(10);
    EXPECT_TRUE(messages.contains(7));
    EXPECT_FALSE(messages.contains(9));
    EXPECT_EQ(messages.next_ms(), 100);
    EXPECT_FALSE(messages.take_due(99).has_value());
    std::vector<std::uint64_t> seen;
    messages.for_each([&](std::uint64_t id) { seen.push_back(id); });
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{8, 7}));
    EXPECT_EQ(messages.take_due(300), 8U);
    EXPECT_EQ(messages.take_due(300), 7U);
    EXPECT_FALSE(messages.take_due(300).has_value());
    EXPECT_FALSE(messages.next_ms().has_value());
}

} // namespace
} // namespace ebbgate::relay
