// Random operations against a model that is too simple to be wrong: a map of items with their
// state. What the scheduler does must be allowed by the model, and the counters must agree.
// A failure prints its seed.

#include "stage/schedule/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace ebbgate::schedule {
namespace {

struct model_item {
    std::string destination;
    recipient_set recipients;
    std::int64_t arrived_ms = 0;
    std::int64_t due_ms = 0;
    std::uint16_t attempts = 0;
    slot_state state = slot_state::deferred; // Deferred means waiting: due when due_ms says.
};

class Model {
public:
    explicit Model(std::uint32_t seed) : random_(seed), scheduler_(settings_of(), seed) {}

    void run(int steps) {
        for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
            switch (random_() % 12) {
            case 0:
            case 1:
            case 2:
                add();
                break;
            case 3:
                now_ms_ += static_cast<std::int64_t>(random_() % 90'000);
                break;
            case 4:
                hold_or_release();
                break;
            case 5:
                grant();
                break;
            case 6:
                park_or_close();
                break;
            case 7:
                suspend_or_flush();
                break;
            case 8:
                drain_expired();
                break;
            default:
                grant();
                take_and_settle();
            }
            check_totals();
        }
        finish();
    }

private:
    struct connection {
        connection_permit permit;
        std::string destination;
    };

    static settings settings_of() {
        settings made;
        made.connections_per_lane_max = 3;
        made.retry.max_age_ms = 3'600'000;
        made.retry.max_ms = 600'000;
        made.lanes_idle_max = 2;
        return made;
    }

    delivery_item value_of(std::uint64_t id) const {
        const model_item& from = items_.at(id);
        delivery_item made;
        made.message_id = id;
        made.recipients = from.recipients;
        made.arrived_ms = from.arrived_ms;
        made.not_before_ms = from.due_ms;
        made.attempts = from.attempts;
        made.tenant = static_cast<std::uint32_t>(id % 5);
        made.is_urgent = id % 3 == 0;
        return made;
    }

    void add() {
        const std::uint64_t id = ++last_id_;
        model_item made;
        made.destination = std::string(1, static_cast<char>('a' + random_() % 8));
        for (int i = 0; i < 3; ++i) {
            made.recipients.add(static_cast<std::uint32_t>(random_() % 100));
        }
        made.arrived_ms = now_ms_ / 1000 * 1000 - static_cast<std::int64_t>(random_() % 4) * 1000;
        made.due_ms =
            random_() % 3 == 0 ? now_ms_ + static_cast<std::int64_t>(random_() % 200'000) : 0;
        items_[id] = made;
        scheduler_.add(value_of(id), made.destination, now_ms_);
    }

    void hold_or_release() {
        if (random_() % 2 == 0) {
            const std::uint64_t id = ++last_id_;
            items_[id].state = slot_state::held;
            items_[id].arrived_ms = now_ms_ / 1000 * 1000;
            items_[id].recipients.add(7);
            scheduler_.hold(value_of(id));
            return;
        }
        if (const auto released = scheduler_.release_next()) {
            ASSERT_EQ(items_.at(released->message_id).state, slot_state::held);
            items_.erase(released->message_id);
        }
    }

    void grant() {
        const auto work = scheduler_.next_due(now_ms_);
        if (!work) {
            return;
        }
        const std::string destination(scheduler_.destination(work->lane));
        ASSERT_FALSE(suspended(destination));
        ASSERT_TRUE(std::any_of(items_.begin(), items_.end(), [&](const auto& entry) {
            return entry.second.destination == destination && waits_ready(entry.second);
        }));
        const auto parked = std::find_if(connections_.begin(), connections_.end(), [&](auto& one) {
            return one.permit.lane == work->lane &&
                   one.permit.stage == connection_permit::stage_type::parked;
        });
        ASSERT_EQ(work->action == grant_action::wake_idle, parked != connections_.end());
        if (parked != connections_.end()) {
            scheduler_.unpark(parked->permit);
            return;
        }
        connections_.push_back({connection_permit{work->lane}, destination});
        ASSERT_LE(std::count_if(connections_.begin(),
                                connections_.end(),
                                [&](auto& one) { return one.destination == destination; }),
                  3);
    }

    void park_or_close() {
        if (connections_.empty()) {
            return;
        }
        const std::size_t index = random_() % connections_.size();
        connection& one = connections_[index];
        if (one.permit.stage == connection_permit::stage_type::active && random_() % 2 == 0) {
            scheduler_.park(one.permit);
            return;
        }
        if (one.permit.stage == connection_permit::stage_type::opening && random_() % 2 == 0) {
            scheduler_.refused(one.permit, now_ms_, random_() % 4 == 0);
        }
        scheduler_.close(one.permit);
        connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(index));
    }

    void take_and_settle() {
        for (connection& one : connections_) {
            if (one.permit.stage == connection_permit::stage_type::parked) {
                continue;
            }
            const auto taken = scheduler_.take_next(one.permit, now_ms_);
            if (!taken) {
                continue;
            }
            model_item& known = items_.at(taken->message_id);
            ASSERT_EQ(known.destination, one.destination);
            ASSERT_EQ(known.state, slot_state::deferred);
            ASSERT_LE(known.due_ms, now_ms_) << "early";
            ASSERT_EQ(known.recipients, taken->recipients);
            ASSERT_EQ(known.attempts, taken->attempts);
            ASSERT_EQ(known.arrived_ms, taken->arrived_ms);
            ASSERT_FALSE(suspended(one.destination));
            if (random_() % 2 == 0) {
                scheduler_.connected(one.permit);
            }
            settle(*taken, known);
        }
    }

    void settle(delivery_item taken, model_item& known) {
        switch (random_() % 4) {
        case 0:
            scheduler_.done(taken);
            items_.erase(taken.message_id);
            return;
        case 1:
            scheduler_.put_back(taken, now_ms_);
            return;
        case 2:
            scheduler_.drop(taken);
            items_.erase(taken.message_id);
            return;
        default:
            break;
        }
        taken.recipients.add(64 + static_cast<std::uint32_t>(random_() % 64));
        const defer_result deferred = scheduler_.defer(taken, now_ms_);
        const bool old = now_ms_ >= known.arrived_ms + 3'600'000;
        ASSERT_EQ(deferred.expired, old);
        if (deferred.expired) {
            scheduler_.drop(taken);
            items_.erase(taken.message_id);
            return;
        }
        known.recipients = taken.recipients;
        known.due_ms = deferred.due_ms;
        ++known.attempts;
    }

    void suspend_or_flush() {
        const std::string destination(1, static_cast<char>('a' + random_() % 8));
        const auto lane = scheduler_.find_lane(destination);
        if (!lane) {
            return;
        }
        if (random_() % 3 == 0) {
            scheduler_.suspend(
                *lane, now_ms_ + static_cast<std::int64_t>(random_() % 600'000), now_ms_);
        } else if (random_() % 2 == 0) {
            scheduler_.resume(*lane, now_ms_);
            scheduler_.retry_now(*lane, now_ms_);
        } else {
            scheduler_.flush(*lane, 1'000'000, now_ms_);
            for (auto& [id, known] : items_) {
                if (known.destination == destination && known.state == slot_state::deferred) {
                    known.due_ms = std::min(known.due_ms, now_ms_);
                }
            }
        }
    }

    void drain_expired() {
        while (const auto expired = scheduler_.next_expired(now_ms_)) {
            const model_item& known = items_.at(expired->message_id);
            ASSERT_EQ(known.state, slot_state::deferred);
            ASSERT_GE(now_ms_, known.arrived_ms + 3'600'000);
            ASSERT_EQ(known.recipients, expired->recipients);
            scheduler_.drop(*expired);
            items_.erase(expired->message_id);
        }
    }

    bool waits_ready(const model_item& known) const {
        return known.state == slot_state::deferred && known.due_ms <= now_ms_;
    }

    bool suspended(const std::string& destination) const {
        const auto lane = scheduler_.find_lane(destination);
        return lane && scheduler_.view(*lane, now_ms_).suspended_until_ms > now_ms_;
    }

    void check_totals() {
        drain_expired();
        const counters& total = scheduler_.total();
        const auto held = std::count_if(items_.begin(), items_.end(), [](const auto& entry) {
            return entry.second.state == slot_state::held;
        });
        ASSERT_EQ(total.held, static_cast<std::uint64_t>(held));
        ASSERT_EQ(total.waiting(), items_.size() - static_cast<std::size_t>(held));
        ASSERT_EQ(total.connections, connections_.size());
        counters sum;
        scheduler_.for_each_lane(now_ms_, [&sum](const lane_view& view) {
            sum.ready += view.counters.ready;
            sum.deferred += view.counters.deferred;
            sum.in_flight += view.counters.in_flight;
            sum.connections_idle += view.counters.connections_idle;
        });
        ASSERT_EQ(sum.ready, total.ready);
        ASSERT_EQ(sum.deferred, total.deferred);
        ASSERT_EQ(sum.in_flight, total.in_flight);
        ASSERT_EQ(sum.connections_idle, total.connections_idle);
        std::int64_t oldest = 0;
        for (const auto& [id, known] : items_) {
            if (known.state != slot_state::held) {
                oldest = std::max(oldest, now_ms_ - known.arrived_ms);
            }
        }
        ASSERT_GE(scheduler_.oldest_age_ms(now_ms_), oldest);
    }

    // Whatever the state was, everything leaves: nothing is stuck in a list.
    void finish() {
        while (!connections_.empty()) {
            scheduler_.close(connections_.back().permit);
            connections_.pop_back();
        }
        while (scheduler_.release_next()) {
        }
        for (int round = 0; scheduler_.total().waiting() > 0; ++round) {
            ASSERT_LT(round, 100'000);
            const auto wakeup = scheduler_.next_wakeup_ms(now_ms_);
            ASSERT_TRUE(wakeup.has_value());
            now_ms_ = *wakeup;
            while (const auto expired = scheduler_.next_expired(now_ms_)) {
                scheduler_.drop(*expired);
            }
            while (const auto work = scheduler_.next_due(now_ms_)) {
                connection_permit permit{work->lane};
                while (const auto taken = scheduler_.take_next(permit, now_ms_)) {
                    scheduler_.done(*taken);
                }
                scheduler_.connected(permit);
                scheduler_.close(permit);
            }
        }
        ASSERT_EQ(scheduler_.total().connections, 0U);
    }

    std::mt19937 random_;
    scheduler scheduler_;
    std::map<std::uint64_t, model_item> items_;
    std::vector<connection> connections_;
    std::uint64_t last_id_ = 0;
    std::int64_t now_ms_ = 1'000'000;
};

TEST(ScheduleModel, RandomOperationsAgreeWithTheModel) {
    for (std::uint32_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Model model(seed);
        model.run(3000);
        if (HasFailure()) {
            break;
        }
    }
}

} // namespace
} // namespace ebbgate::schedule
