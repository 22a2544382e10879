// Claims about single situations; scheduler_model_test.cc mixes them at random.

#include "stage/schedule/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <vector>

namespace ebbgate::schedule {
namespace {

constexpr std::int64_t second = 1000;
constexpr std::int64_t hour = 3600 * second;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t start = 5 * day;

delivery_item item(std::uint64_t id, std::int64_t arrived_ms = start) {
    delivery_item made;
    made.message_id = id;
    made.arrived_ms = arrived_ms;
    made.recipients.add(static_cast<std::uint32_t>(id % 3));
    return made;
}

class Schedule : public ::testing::Test {
protected:
    connection_permit open(std::int64_t now_ms) {
        const auto work = scheduler_.next_due(now_ms);
        EXPECT_TRUE(work.has_value());
        EXPECT_EQ(work->action, grant_action::open);
        return connection_permit{work->lane};
    }

    settings settings_;
    scheduler scheduler_{settings_, 1};
};

TEST_F(Schedule, ALaneGivesItsItemsInOrderToOneConnectionUntilItIsEmpty) {
    for (std::uint64_t id = 1; id <= 3; ++id) {
        scheduler_.add(item(id), "a:25", start);
    }
    connection_permit permit = open(start);
    for (std::uint64_t id = 1; id <= 3; ++id) {
        const auto taken = scheduler_.take_next(permit, start);
        ASSERT_TRUE(taken.has_value());
        EXPECT_EQ(taken->message_id, id);
        EXPECT_TRUE(taken->recipients.contains(static_cast<std::uint32_t>(id % 3)));
        scheduler_.done(*taken);
    }
    EXPECT_FALSE(scheduler_.take_next(permit, start).has_value());
    EXPECT_EQ(scheduler_.total().done_total, 3U);
    EXPECT_EQ(scheduler_.total().waiting(), 0U);
    scheduler_.close(permit);
    EXPECT_EQ(scheduler_.total().connections, 0U);
    EXPECT_FALSE(scheduler_.next_wakeup_ms(start).has_value());
}

TEST_F(Schedule, ConnectionsAreGrantedUpToTheLimitAndNotMoreThanThereAreItems) {
    settings_.connections_per_lane_max = 3;
    scheduler_.configure(settings_);
    scheduler_.add(item(1), "a:25", start);
    scheduler_.add(item(2), "a:25", start);
    EXPECT_TRUE(scheduler_.next_due(start).has_value());
    EXPECT_TRUE(scheduler_.next_due(start).has_value());
    EXPECT_FALSE(scheduler_.next_due(start).has_value());
    for (std::uint64_t id = 3; id < 10; ++id) {
        scheduler_.add(item(id), "a:25", start);
    }
    EXPECT_TRUE(scheduler_.next_due(start).has_value());
    EXPECT_FALSE(scheduler_.next_due(start).has_value());
    EXPECT_EQ(scheduler_.total().connections, 3U);
    scheduler_.set_connections_max(*scheduler_.find_lane("a:25"), 4);
    EXPECT_TRUE(scheduler_.next_due(start).has_value());
}

TEST_F(Schedule, AConnectionThatTakesNothingIsCountedAsOpen) {
    scheduler_.add(item(1), "a:25", start);
    connection_permit permit = open(start);
    EXPECT_FALSE(scheduler_.next_due(start).has_value()) << "one is on its way";
    scheduler_.opened(permit);
    scheduler_.opened(permit); // Once.
    scheduler_.park(permit);
    const auto work = scheduler_.next_due(start);
    ASSERT_TRUE(work.has_value());
    EXPECT_EQ(work->action, grant_action::wake_idle);
}

TEST_F(Schedule, LanesTakeTurns) {
    for (std::uint64_t id = 0; id < 6; ++id) {
        scheduler_.add(item(id), "a:25", start);
    }
    scheduler_.add(item(10), "b:25", start);
    const lane_id a = *scheduler_.find_lane("a:25");
    const lane_id b = *scheduler_.find_lane("b:25");
    EXPECT_EQ(scheduler_.next_due(start)->lane, a);
    EXPECT_EQ(scheduler_.next_due(start)->lane, b);
    EXPECT_EQ(scheduler_.next_due(start)->lane, a);
    EXPECT_EQ(scheduler_.destination(a), "a:25");
}

TEST_F(Schedule, AParkedConnectionIsWokenBeforeAnotherIsOpened) {
    scheduler_.add(item(1), "a:25", start);
    connection_permit permit = open(start);
    scheduler_.done(*scheduler_.take_next(permit, start));
    EXPECT_FALSE(scheduler_.take_next(permit, start).has_value());
    scheduler_.park(permit);
    EXPECT_EQ(scheduler_.total().connections_idle, 1U);
    scheduler_.add(item(2), "a:25", start);
    const auto work = scheduler_.next_due(start);
    ASSERT_TRUE(work.has_value());
    EXPECT_EQ(work->action, grant_action::wake_idle);
    scheduler_.unpark(permit);
    EXPECT_EQ(scheduler_.take_next(permit, start)->message_id, 2U);
    EXPECT_EQ(scheduler_.total().connections, 1U);
}

TEST_F(Schedule, DeferredItemsComeBackWithExponentialBackOffAndJitter) {
    scheduler_.add(item(1), "a:25", start);
    std::int64_t now = start;
    std::int64_t expected = 60 * second;
    for (std::uint16_t attempt = 0; attempt < 12; ++attempt) {
        connection_permit permit = open(now);
        const auto taken = scheduler_.take_next(permit, now);
        ASSERT_TRUE(taken.has_value());
        EXPECT_EQ(taken->attempts, attempt);
        const defer_result deferred = scheduler_.defer(*taken, now);
        scheduler_.close(permit);
        ASSERT_FALSE(deferred.expired);
        EXPECT_GE(deferred.due_ms, now + expected);
        EXPECT_LE(deferred.due_ms, now + expected + expected / 5);
        EXPECT_FALSE(scheduler_.next_due(deferred.due_ms - 1).has_value()) << "early";
        EXPECT_LE(*scheduler_.next_wakeup_ms(now), deferred.due_ms + 8);
        EXPECT_GE(*scheduler_.next_wakeup_ms(now), deferred.due_ms);
        now = *scheduler_.next_wakeup_ms(now);
        expected = std::min(2 * expected, 4 * hour);
    }
    EXPECT_EQ(scheduler_.total().deferred_total, 12U);
}

TEST_F(Schedule, AnItemIsTriedOnceMoreWhenItsAgeEndsAndThenExpires) {
    scheduler_.add(item(1), "a:25", start);
    std::int64_t now = start;
    for (int attempts = 1;; ++attempts) {
        ASSERT_LT(attempts, 100);
        connection_permit permit = open(now);
        const auto taken = scheduler_.take_next(permit, now);
        ASSERT_TRUE(taken.has_value());
        const defer_result deferred = scheduler_.defer(*taken, now);
        scheduler_.close(permit);
        if (deferred.expired) {
            scheduler_.drop(*taken);
            EXPECT_GE(now, start + 5 * day);
            EXPECT_LT(now, start + 5 * day + second);
            EXPECT_GT(attempts, 30);
            break;
        }
        now = *scheduler_.next_wakeup_ms(now);
    }
    EXPECT_EQ(scheduler_.total().waiting(), 0U);
    EXPECT_EQ(scheduler_.total().expired_total, 1U);
}

TEST_F(Schedule, AnItemWithoutAnyChanceExpiresWhileItWaits) {
    scheduler_.add(item(1), "dead:25", start);
    scheduler_.suspend(*scheduler_.find_lane("dead:25"), start + 100 * day, start);
    EXPECT_FALSE(scheduler_.next_expired(start + 5 * day - second).has_value());
    const auto expired = scheduler_.next_expired(start + 5 * day + second);
    ASSERT_TRUE(expired.has_value());
    EXPECT_EQ(expired->message_id, 1U);
    scheduler_.drop(*expired);
    EXPECT_FALSE(scheduler_.next_expired(start + 5 * day + second).has_value());
    EXPECT_FALSE(scheduler_.next_due(start + 99 * day).has_value());
    scheduler_.add(item(2, start + 99 * day), "dead:25", start + 99 * day);
    EXPECT_FALSE(scheduler_.next_due(start + 100 * day - second).has_value());
    EXPECT_TRUE(scheduler_.next_due(start + 100 * day + second).has_value());
}

TEST_F(Schedule, AnItemThatIsLateIsToldOnceWhereverItWaits) {
    settings_.notice_age_ms = 4 * hour;
    scheduler_.configure(settings_);
    scheduler_.add(item(1), "dead:25", start);
    scheduler_.suspend(*scheduler_.find_lane("dead:25"), start + 4 * day, start);
    delivery_item later = item(2);
    later.not_before_ms = start + 5 * hour;
    scheduler_.add(later, "b:25", start);
    EXPECT_FALSE(scheduler_.next_late(start + 4 * hour - second).has_value());
    EXPECT_EQ(scheduler_.next_late(start + 4 * hour + second)->message_id, 1U);
    EXPECT_FALSE(scheduler_.next_late(start + 4 * hour + second).has_value());
    const auto second_one = scheduler_.next_late(start + 5 * hour + second);
    ASSERT_TRUE(second_one.has_value());
    EXPECT_EQ(second_one->message_id, 2U);
    EXPECT_TRUE(second_one->is_noticed);
    EXPECT_FALSE(scheduler_.next_late(start + day).has_value());
    EXPECT_TRUE(scheduler_.next_expired(start + 5 * day + second).has_value());
}

TEST_F(Schedule, ADeadDestinationWaitsAsAWholeAndIsProbedByOneConnection) {
    for (std::uint64_t id = 0; id < 50; ++id) {
        scheduler_.add(item(id), "dead:25", start);
    }
    std::int64_t now = start;
    std::int64_t expected = 30 * second;
    for (int refusal = 0; refusal < 9; ++refusal) {
        std::vector<connection_permit> permits;
        while (const auto work = scheduler_.next_due(now)) {
            permits.push_back({work->lane});
        }
        EXPECT_EQ(permits.size(), refusal == 0 ? 20U : 1U);
        std::int64_t until = 0;
        for (connection_permit& permit : permits) {
            until = scheduler_.refused(permit, now);
            scheduler_.close(permit);
        }
        EXPECT_GE(until, now + expected);
        EXPECT_LE(until, now + expected + expected / 5);
        EXPECT_FALSE(scheduler_.next_due(until - 1).has_value());
        now = *scheduler_.next_wakeup_ms(until);
        expected = std::min(2 * expected, 30 * 60 * second);
    }
    connection_permit probe = open(now);
    EXPECT_FALSE(scheduler_.next_due(now).has_value());
    scheduler_.connected(probe);
    EXPECT_TRUE(scheduler_.next_due(now).has_value()) << "all connections are back";
    EXPECT_EQ(scheduler_.take_next(probe, now)->message_id, 0U) << "nothing was attempted before";
}

TEST_F(Schedule, ARefusalBesideWorkingConnectionsOnlyLimitsTheirNumber) {
    for (std::uint64_t id = 0; id < 50; ++id) {
        scheduler_.add(item(id), "a:25", start);
    }
    connection_permit first = open(start);
    connection_permit second_one = open(start);
    EXPECT_TRUE(scheduler_.take_next(first, start).has_value());
    EXPECT_TRUE(scheduler_.take_next(second_one, start).has_value());
    connection_permit third = open(start);
    const std::int64_t until = scheduler_.refused(third, start);
    scheduler_.close(third);
    EXPECT_FALSE(scheduler_.next_due(start).has_value()) << "two work, two is the limit";
    EXPECT_TRUE(scheduler_.take_next(first, start).has_value());
    EXPECT_TRUE(scheduler_.next_due(until + second).has_value());
}

TEST_F(Schedule, ARefusalWhereConnectionsOfOtherLanesWorkSetsNoTime) {
    for (std::uint64_t id = 0; id < 50; ++id) {
        scheduler_.add(item(id), "a:25", start);
    }
    for (int round = 0; round < 3; ++round) {
        connection_permit refused = open(start);
        EXPECT_EQ(scheduler_.refused(refused, start, true), 0);
        scheduler_.close(refused);
    }
    EXPECT_TRUE(scheduler_.next_due(start).has_value())
        << "the owner blocks it until there is room";
    // They are gone: the first wait is as if nothing had been.
    connection_permit alone = open(start);
    EXPECT_LE(scheduler_.refused(alone, start, false), start + 36 * second);
    scheduler_.close(alone);
    EXPECT_FALSE(scheduler_.next_due(start).has_value());
}

TEST_F(Schedule, ADeadLaneNeverSlowsALiveOne) {
    for (std::uint64_t id = 0; id < 100'000; ++id) {
        scheduler_.add(item(id), "dead:25", start);
    }
    scheduler_.suspend(*scheduler_.find_lane("dead:25"), start + hour, start);
    scheduler_.add(item(7), "live:25", start);
    connection_permit permit = open(start);
    EXPECT_EQ(scheduler_.take_next(permit, start)->message_id, 7U);
}

TEST_F(Schedule, AnItemPutBackIsFirstAgainWithItsAttemptsUnchanged) {
    delivery_item large = item(1);
    large.recipients.add(70);
    large.recipients.add(900);
    scheduler_.add(large, "a:25", start);
    scheduler_.add(item(2), "a:25", start);
    connection_permit permit = open(start);
    auto taken = scheduler_.take_next(permit, start);
    EXPECT_EQ(taken->recipients, large.recipients);
    scheduler_.put_back(*taken, start);
    taken = scheduler_.take_next(permit, start);
    EXPECT_EQ(taken->message_id, 1U);
    EXPECT_EQ(taken->attempts, 0U);
    taken->recipients.remove(70);
    taken->recipients.remove(1);
    const auto deferred = scheduler_.defer(*taken, start);
    EXPECT_EQ(scheduler_.take_next(permit, start)->message_id, 2U);
    taken = scheduler_.take_next(permit, deferred.due_ms + 8);
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->recipients.count(), 1U);
    EXPECT_TRUE(taken->recipients.contains(900));
}

TEST_F(Schedule, TenantsOfALaneTakeTurnsWhoeverHasMore) {
    for (std::uint64_t id = 0; id < 1000; ++id) {
        scheduler_.add(item(id), "a:25", start); // Of tenant 0.
    }
    for (std::uint64_t id = 2000; id < 2003; ++id) {
        delivery_item other = item(id);
        other.tenant = static_cast<std::uint32_t>(id % 2 + 1);
        scheduler_.add(other, "a:25", start);
    }
    connection_permit permit = open(start);
    std::vector<std::uint64_t> order;
    for (int taken = 0; taken < 7; ++taken) {
        order.push_back(scheduler_.take_next(permit, start)->message_id);
    }
    EXPECT_EQ(order, (std::vector<std::uint64_t>{0, 2000, 2001, 1, 2002, 2, 3}));
}

TEST_F(Schedule, UrgentMailGoesFirstAndLeavesSomeRoomToTheRest) {
    settings_.urgent_run_max = 3;
    scheduler_.configure(settings_);
    scheduler_.add(item(1), "a:25", start);
    scheduler_.add(item(2), "a:25", start);
    for (std::uint64_t id = 10; id < 15; ++id) {
        delivery_item urgent = item(id);
        urgent.is_urgent = true;
        scheduler_.add(urgent, "a:25", start);
    }
    connection_permit permit = open(start);
    std::vector<std::uint64_t> order;
    while (const auto taken = scheduler_.take_next(permit, start)) {
        EXPECT_EQ(taken->is_urgent, taken->message_id >= 10);
        order.push_back(taken->message_id);
    }
    EXPECT_EQ(order, (std::vector<std::uint64_t>{10, 11, 12, 1, 13, 14, 2}));
}

TEST_F(Schedule, NothingLeavesAPausedLaneNorASuspendedOne) {
    scheduler_.add(item(1), "a:25", start);
    scheduler_.add(item(2), "a:25", start);
    const lane_id lane = *scheduler_.find_lane("a:25");
    connection_permit permit = open(start);
    EXPECT_TRUE(scheduler_.take_next(permit, start).has_value());
    scheduler_.pause(lane, start + 10 * second, start);
    EXPECT_FALSE(scheduler_.take_next(permit, start).has_value());
    scheduler_.suspend(lane, start + hour, start);
    scheduler_.park(permit);
    EXPECT_FALSE(scheduler_.next_due(start + 11 * second).has_value());
    scheduler_.retry_now(lane, start + 11 * second); // Of its own account only.
    EXPECT_EQ(scheduler_.view(lane, start).suspended_until_ms, start + hour);
    EXPECT_EQ(scheduler_.view(lane, start).paused_until_ms, 0);
    EXPECT_FALSE(scheduler_.next_due(start + 12 * second).has_value());
    const auto work = scheduler_.next_due(start + hour + second);
    ASSERT_TRUE(work.has_value());
    EXPECT_EQ(work->action, grant_action::wake_idle);
}

TEST_F(Schedule, ABlockedLaneKeepsItsConnectionsAndGetsNoMore) {
    for (std::uint64_t id = 1; id <= 4; ++id) {
        scheduler_.add(item(id), "a:25", start);
    }
    const lane_id lane = *scheduler_.find_lane("a:25");
    connection_permit permit = open(start);
    scheduler_.block(lane);
    EXPECT_FALSE(scheduler_.next_due(start).has_value());
    EXPECT_TRUE(scheduler_.take_next(permit, start).has_value());
    scheduler_.park(permit);
    EXPECT_EQ(scheduler_.next_due(start)->action, grant_action::wake_idle);
    scheduler_.unpark(permit);
    EXPECT_FALSE(scheduler_.next_due(start).has_value());
    scheduler_.unblock(lane);
    EXPECT_EQ(scheduler_.next_due(start)->action, grant_action::open);
}

TEST_F(Schedule, ADestinationThatAsksForLessIsLeftAloneLongerEachTime) {
    scheduler_.add(item(1), "a:25", start);
    const lane_id lane = *scheduler_.find_lane("a:25");
    std::int64_t now = start;
    for (std::int64_t expected = 30 * second; expected <= 120 * second; expected *= 2) {
        const std::int64_t until = scheduler_.pushed_back(lane, now);
        EXPECT_EQ(scheduler_.pushed_back(lane, now), until) << "once for all its connections";
        EXPECT_GE(until, now + expected);
        EXPECT_LE(until, now + expected + expected / 5);
        EXPECT_FALSE(scheduler_.next_due(until - 1).has_value());
        now = until + second;
        connection_permit permit = open(now);
        scheduler_.close(permit);
    }
    (void)scheduler_.pushed_back(lane, now);
    scheduler_.retry_now(lane, now);
    EXPECT_TRUE(scheduler_.next_due(now).has_value());
}

TEST_F(Schedule, AnItemIsPutOffWithoutAnAttemptAndNeverBeyondItsAge) {
    scheduler_.add(item(1), "a:25", start);
    connection_permit permit = open(start);
    scheduler_.put_off(*scheduler_.take_next(permit, start), start + hour, start);
    EXPECT_FALSE(scheduler_.take_next(permit, start + hour - second).has_value());
    auto taken = scheduler_.take_next(permit, start + hour + second);
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->attempts, 0U);
    scheduler_.put_off(*taken, start + 100 * day, start + hour);
    EXPECT_FALSE(scheduler_.take_next(permit, start + 5 * day - second).has_value());
    EXPECT_TRUE(scheduler_.take_next(permit, start + 5 * day + second).has_value());
}

TEST_F(Schedule, ItemsOfAMessageKnowEachOtherAndCanBeTakenOutOfTheQueue) {
    const std::uint32_t a = scheduler_.add(item(1), "a:25", start);
    const std::uint32_t b = scheduler_.add(item(1), "b:25", start, a);
    const std::uint32_t c = scheduler_.hold(item(1), b);
    std::set<std::uint32_t> ring;
    for (std::uint32_t at = a; ring.insert(at).second; at = scheduler_.sibling_of(at)) {
    }
    EXPECT_EQ(ring, (std::set<std::uint32_t>{a, b, c}));
    EXPECT_FALSE(scheduler_.withdraw(c).has_value()) << "held";
    const auto taken = scheduler_.withdraw(a);
    ASSERT_TRUE(taken.has_value());
    EXPECT_FALSE(scheduler_.withdraw(a).has_value()) << "in hand";
    const std::uint32_t left = scheduler_.drop(*taken);
    EXPECT_TRUE(left == b || left == c);
    EXPECT_EQ(scheduler_.sibling_of(b), c);
    EXPECT_EQ(scheduler_.sibling_of(c), b);
    EXPECT_EQ(scheduler_.release(1)->sibling, b);
    EXPECT_EQ(scheduler_.sibling_of(b), b);
    EXPECT_EQ(scheduler_.total().waiting(), 1U);
    EXPECT_EQ(scheduler_.total().done_total, 0U);
}

TEST_F(Schedule, TheNextItemOfALaneIsToldBeforeItIsTaken) {
    for (std::uint64_t id = 1; id <= 40; ++id) {
        delivery_item made = item(id);
        made.tenant = static_cast<std::uint32_t>(id % 3);
        made.is_urgent = id % 4 == 0;
        scheduler_.add(made, "a:25", start);
    }
    connection_permit permit = open(start);
    for (int taken = 0; taken < 40; ++taken) {
        const std::uint32_t next = scheduler_.next_ready(permit.lane);
        const auto got = scheduler_.take_next(permit, start);
        ASSERT_TRUE(got.has_value());
        EXPECT_EQ(got->slot, next);
        scheduler_.done(*got);
    }
    EXPECT_EQ(scheduler_.next_ready(permit.lane), no_slot);
}

TEST_F(Schedule, AllItemsCanBeGoneThroughByNumberWhileTheyChange) {
    const std::uint32_t a = scheduler_.add(item(1), "a:25", start);
    const std::uint32_t b = scheduler_.add(item(2), "b:25", start);
    const std::uint32_t c = scheduler_.hold(item(3));
    EXPECT_EQ(scheduler_.slots_made(), 3U);
    EXPECT_EQ(scheduler_.waiting_at(b, start)->lane, *scheduler_.find_lane("b:25"));
    EXPECT_TRUE(scheduler_.waiting_at(c, start)->is_held);
    EXPECT_EQ(scheduler_.waiting_at(c, start)->lane, no_lane);
    scheduler_.drop(*scheduler_.withdraw(a));
    EXPECT_FALSE(scheduler_.waiting_at(a, start).has_value());
    EXPECT_FALSE(scheduler_.make_due(c, start)) << "held";
    EXPECT_FALSE(scheduler_.make_due(b, start)) << "due already";
    scheduler_.put_off(*scheduler_.withdraw(b), start + hour, start);
    EXPECT_TRUE(scheduler_.waiting_at(b, start)->is_put_off);
    EXPECT_EQ(scheduler_.waiting_at(b, start)->attempts, 0U);
    EXPECT_TRUE(scheduler_.make_due(b, start));
    EXPECT_FALSE(scheduler_.waiting_at(b, start)->is_put_off);
    EXPECT_EQ(scheduler_.lanes_made(), 2U);
    EXPECT_EQ(scheduler_.lane_at(1, start)->destination, "b:25");
    EXPECT_EQ(scheduler_.total().ready, 1U);
    EXPECT_FALSE(scheduler_.is_expired(b, start + 4 * day));
    EXPECT_TRUE(scheduler_.is_expired(b, start + 6 * day));
    connection_permit permit = open(start);
    auto tried = scheduler_.take_next(permit, start);
    ASSERT_TRUE(tried.has_value());
    scheduler_.defer(*tried, start);
    EXPECT_FALSE(scheduler_.waiting_at(b, start)->is_put_off) << "it was tried";
}

TEST_F(Schedule, ALaneWhoseConnectionsAreAllInUseIsFull) {
    scheduler_.add(item(1), "a:25", start);
    scheduler_.add(item(2), "a:25", start);
    const lane_id lane = *scheduler_.find_lane("a:25");
    scheduler_.set_connections_max(lane, 1);
    EXPECT_FALSE(scheduler_.view(lane, start).is_full);
    connection_permit permit = open(start);
    EXPECT_TRUE(scheduler_.view(lane, start).is_full);
    scheduler_.close(permit);
    EXPECT_FALSE(scheduler_.view(lane, start).is_full);
}

TEST_F(Schedule, AnItemIsShownAsItWaits) {
    delivery_item shown = item(1);
    shown.tenant = 9;
    shown.is_urgent = true;
    shown.attempts = 3;
    shown.not_before_ms = start + hour;
    scheduler_.add(shown, "a:25", start);
    scheduler_.add(item(2), "a:25", start);
    std::vector<waiting_item> seen;
    scheduler_.for_each_item(
        *scheduler_.find_lane("a:25"), start, [&seen](const waiting_item& one) {
            seen.push_back(one);
            return true;
        });
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_TRUE(seen[0].is_deferred && seen[0].is_urgent);
    EXPECT_EQ(seen[0].tenant, 9U);
    EXPECT_EQ(seen[0].attempts, 3U);
    EXPECT_EQ(seen[0].due_ms, start + hour);
    EXPECT_EQ(seen[1].message_id, 2U);
    EXPECT_FALSE(seen[1].is_deferred);
}

TEST_F(Schedule, AnItemInFlightStillHasAllItsRecipients) {
    delivery_item large = item(1);
    large.recipients.add(70);
    large.recipients.add(900);
    const std::uint32_t slot = scheduler_.add(large, "a:25", start);
    connection_permit permit = open(start);
    auto taken = scheduler_.take_next(permit, start);
    EXPECT_EQ(scheduler_.item_at(slot).recipients, large.recipients)
        << "somebody may ask meanwhile";
    taken->recipients.remove(900);
    scheduler_.keep(*taken);
    EXPECT_EQ(scheduler_.item_at(slot).recipients, taken->recipients);
    scheduler_.put_back(*taken, start);
    EXPECT_EQ(scheduler_.take_next(permit, start)->recipients, taken->recipients);
}

TEST_F(Schedule, AnItemThatExpiresAfterItsLastAttemptKeepsOnlyThoseThatAreLeft) {
    delivery_item two = item(1);
    two.recipients.add(5);
    two.recipients.add(6);
    const std::uint32_t slot = scheduler_.add(two, "a:25", start);
    connection_permit permit = open(start + 5 * day - second);
    auto taken = scheduler_.take_next(permit, start + 5 * day - second);
    taken->recipients.remove(5);
    EXPECT_TRUE(scheduler_.defer(*taken, start + 5 * day).expired);
    EXPECT_EQ(scheduler_.item_at(slot).recipients, taken->recipients);
}

TEST_F(Schedule, WhatIsPutAsideWaitsWhateverItsAge) {
    scheduler_.add(item(1), "a:25", start);
    connection_permit permit = open(start);
    scheduler_.put_aside(*scheduler_.take_next(permit, start), start + 10 * day, start);
    EXPECT_FALSE(scheduler_.next_expired(start + 9 * day).has_value());
    EXPECT_FALSE(scheduler_.take_next(permit, start + 9 * day).has_value());
    EXPECT_TRUE(scheduler_.take_next(permit, start + 10 * day + second).has_value());
}

TEST_F(Schedule, ALaneThatIsForgottenCanBeBlockedAndUnblockedInVain) {
    settings_.lanes_idle_max = 0;
    scheduler_.configure(settings_);
    scheduler_.add(item(1), "a:25", start);
    const lane_id lane = *scheduler_.find_lane("a:25");
    connection_permit permit = open(start);
    scheduler_.done(*scheduler_.take_next(permit, start));
    scheduler_.close(permit);
    scheduler_.add(item(2), "b:25", start); // It goes.
    scheduler_.block(lane);
    scheduler_.unblock(lane);
    scheduler_.block(lane_id{1'000'000});
}

TEST_F(Schedule, HeldMessagesWaitForTheirRelease) {
    for (std::uint64_t id = 1; id <= 3; ++id) {
        scheduler_.hold(item(id));
    }
    delivery_item more = item(2);
    more.recipients.add(99);
    scheduler_.hold(more);
    EXPECT_EQ(scheduler_.total().held, 3U);
    EXPECT_FALSE(scheduler_.next_due(start + 100 * day).has_value());
    EXPECT_FALSE(scheduler_.next_expired(start + 100 * day).has_value());
    EXPECT_EQ(scheduler_.oldest_age_ms(start + hour), hour);
    const auto second_item = scheduler_.release(2);
    ASSERT_TRUE(second_item.has_value());
    EXPECT_TRUE(second_item->recipients.contains(99));
    EXPECT_TRUE(second_item->recipients.contains(2));
    EXPECT_FALSE(scheduler_.release(2).has_value());
    EXPECT_EQ(scheduler_.release_next()->message_id, 1U);
    EXPECT_EQ(scheduler_.release_next()->message_id, 3U);
    EXPECT_FALSE(scheduler_.release_next().has_value());
    EXPECT_EQ(scheduler_.total().held, 0U);
}

TEST_F(Schedule, FlushMakesDeferredItemsDueInBoundedSteps) {
    for (std::uint64_t id = 0; id < 10; ++id) {
        delivery_item later = item(id);
        later.not_before_ms = start + hour;
        scheduler_.add(later, "a:25", start);
    }
    const lane_id lane = *scheduler_.find_lane("a:25");
    EXPECT_EQ(scheduler_.total().deferred, 10U);
    EXPECT_FALSE(scheduler_.next_due(start).has_value());
    EXPECT_EQ(scheduler_.flush(lane, 4, start), 4U);
    EXPECT_EQ(scheduler_.total().ready, 4U);
    EXPECT_TRUE(scheduler_.next_due(start).has_value());
    EXPECT_EQ(scheduler_.flush(lane, 100, start), 6U);
    EXPECT_EQ(scheduler_.flush(lane, 100, start), 0U);
}

TEST_F(Schedule, TheOldestMessageIsKnownWhateverItsState) {
    scheduler_.add(item(1, start - 7 * second), "a:25", start);
    scheduler_.add(item(2, start), "a:25", start);
    scheduler_.add(item(3, start - 90 * second), "a:25", start);
    const lane_id lane = *scheduler_.find_lane("a:25");
    EXPECT_EQ(scheduler_.view(lane, start).oldest_age_ms, 90 * second);
    EXPECT_EQ(scheduler_.oldest_age_ms(start), 90 * second);
    connection_permit permit = open(start);
    scheduler_.done(*scheduler_.take_next(permit, start));
    const auto in_flight = scheduler_.take_next(permit, start);
    EXPECT_EQ(in_flight->message_id, 2U);
    EXPECT_EQ(scheduler_.view(lane, start).counters.in_flight, 1U);
    scheduler_.done(*scheduler_.take_next(permit, start));
    EXPECT_EQ(scheduler_.oldest_age_ms(start + second), second) << "in flight counts";
    scheduler_.done(*in_flight);
    EXPECT_EQ(scheduler_.oldest_age_ms(start + second), 0);
}

TEST_F(Schedule, IdleLanesAreForgottenBeyondTheirNumber) {
    settings_.lanes_idle_max = 2;
    scheduler_.configure(settings_);
    for (std::uint64_t id = 0; id < 10; ++id) {
        scheduler_.add(item(id), "lane" + std::to_string(id), start);
        connection_permit permit = open(start);
        scheduler_.done(*scheduler_.take_next(permit, start));
        scheduler_.close(permit);
    }
    EXPECT_LE(scheduler_.lane_count(), 4U);
    EXPECT_FALSE(scheduler_.find_lane("lane0").has_value());
    EXPECT_TRUE(scheduler_.find_lane("lane9").has_value());
    std::size_t seen = 0;
    scheduler_.for_each_lane(start, [&seen](const lane_view& view) {
        EXPECT_EQ(view.counters.done_total, 1U);
        ++seen;
    });
    EXPECT_EQ(seen, scheduler_.lane_count());
}

// They wait where nobody is reached, so their next stage is what was reckoned before.
TEST_F(Schedule, WhatMayStayLongerBySettingsThatAreNewDoesNotExpire) {
    settings_.notice_age_ms = hour;
    scheduler_.configure(settings_);
    scheduler_.add(item(1), "dead", start);
    scheduler_.block(*scheduler_.find_lane("dead"));
    settings_.notice_age_ms = 4 * hour;
    scheduler_.configure(settings_);
    (void)scheduler_.next_due(start + 2 * hour);
    EXPECT_FALSE(scheduler_.next_expired(start + 2 * hour).has_value());
    const std::int64_t old_end = start + settings_.retry.max_age_ms;
    settings_.notice_age_ms = 0;
    settings_.retry.max_age_ms *= 2;
    scheduler_.configure(settings_);
    (void)scheduler_.next_due(old_end + hour);
    EXPECT_FALSE(scheduler_.next_expired(old_end + hour).has_value());
    const std::int64_t end = start + settings_.retry.max_age_ms + hour;
    (void)scheduler_.next_due(end);
    EXPECT_TRUE(scheduler_.next_expired(end).has_value());
}

TEST_F(Schedule, AMillionItemsFitInSixtyFourBytesEachAndStayFast) {
    constexpr std::uint64_t items = 1'048'576;
    const auto before = std::chrono::steady_clock::now();
    for (std::uint64_t id = 0; id < items; ++id) {
        delivery_item later = item(id);
        later.not_before_ms = start + static_cast<std::int64_t>(id * 7919 % hour);
        scheduler_.add(later, "lane" + std::to_string(id % 1000), start);
    }
    EXPECT_LE(scheduler_.footprint_bytes(), items * 65 + 1000 * 512);
    std::int64_t now = start;
    std::uint64_t taken_total = 0;
    while (const auto wakeup = scheduler_.next_wakeup_ms(now)) {
        now = *wakeup;
        while (const auto work = scheduler_.next_due(now)) {
            connection_permit permit{work->lane};
            while (const auto taken = scheduler_.take_next(permit, now)) {
                scheduler_.done(*taken);
                ++taken_total;
            }
            scheduler_.close(permit);
        }
    }
    EXPECT_EQ(taken_total, items);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    RecordProperty("seconds", std::to_string(took.count()));
}

} // namespace
} // namespace ebbgate::schedule
