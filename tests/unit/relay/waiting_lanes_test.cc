// Lanes in line, and lanes that wait for a time.

#include "relay/waiting_lanes.h"

#include <gtest/gtest.h>

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

} // namespace
} // namespace ebbgate::relay
