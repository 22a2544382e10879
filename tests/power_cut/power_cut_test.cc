// Cuts the power at thousands of moments of a random workload, and asks of each disk that is left:
// is every acknowledged message there, with the bytes that were accepted, and nothing else?
//
// The seed is printed; EBBGATE_POWER_CUT_SEED runs one again.

#include "spool_harness.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <set>

namespace ebbgate::spool {
namespace {

struct known_message {
    std::string meta;
    std::string body;
    bool acknowledged = false;
    bool done_noted = false;   // mark_done() was called: it may come back as a duplicate.
    bool done_durable = false; // It must not come back.
    bool relocating = false;
    std::vector<std::string> states; // In the order noted.
    std::size_t durable_states = 0;  // So many were certainly durable.
    location where;
};

struct totals {
    std::uint64_t images = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t lost = 0;
    std::uint64_t corrupted = 0;
    std::uint64_t unknown = 0;
    std::uint64_t resurrected = 0;
    std::uint64_t duplicates = 0; // Ended, but the end was not durable.
    std::uint64_t extra = 0;      // Never acknowledged, but whole on disk.
    std::uint64_t old_states = 0;
    std::uint64_t relocated = 0;
    std::uint64_t segments_reused = 0;
    std::uint64_t faults = 0;
};

class workload {
public:
    workload(std::uint64_t seed, bool with_faults, totals& sums)
        : random_(seed), with_faults_(with_faults), sums_(sums),
          disk_(std::make_unique<simulated_disk>()) {}

    void run(int generations, int steps) {
        for (int generation = 0; generation < generations; ++generation) {
            start();
            for (int step = 0; step < steps; ++step) {
                act();
                drive();
            }
            // The next generation lives on what this cut leaves.
            std::unique_ptr<simulated_disk> after = disk_->crash(any_mode(), random_);
            check(*after);
            drain();
            disk_ = std::move(after);
        }
    }

private:
    crash_mode any_mode() { return static_cast<crash_mode>(random_() % crash_mode_count); }

    std::uint64_t below(std::uint64_t end) { return random_() % end; }

    std::string random_bytes(std::size_t bytes) {
        std::string out(bytes, '\0');
        for (std::size_t at = 0; at < bytes; at += 8) {
            const std::uint64_t word = random_();
            std::memcpy(out.data() + at, &word, std::min<std::size_t>(8, bytes - at));
        }
        return out;
    }

    void start() {
        spool_ = std::make_unique<spool_harness>(*disk_);
        ASSERT_TRUE(spool_->open());
        // What was found is durable now, acknowledged or not: from here on it must stay.
        std::set<std::uint64_t> live;
        for (const recovered_message& message : spool_->found.live) {
            known_message& known = known_[message.id];
            known.acknowledged = true;
            known.done_noted = false;
            known.relocating = false;
            known.where = message.where;
            known.durable_states = 0;
            for (std::size_t index = 0; index < known.states.size(); ++index) {
                known.durable_states =
                    known.states[index] == message.state ? index + 1 : known.durable_states;
            }
            known.states.resize(known.durable_states);
            live.insert(message.id);
        }
        std::erase_if(known_, [&](const auto& entry) { return !live.contains(entry.first); });
    }

    void act() {
        switch (below(10)) {
        case 0:
        case 1:
        case 2:
        case 3:
            append(below(8) == 0 ? below(6000) : below(1500));
            break;
        case 4:
            append_large(7000 + below(20000));
            break;
        case 5:
        case 6:
        case 7:
            end_one();
            break;
        case 8:
            note_state();
            break;
        case 9:
            relocate();
            break;
        }
        if (with_faults_ && !disk_->fault_is_armed() && below(40) == 0) {
            disk_->fail_after(below(12), static_cast<disk_fault>(below(4)), random_());
            ++sums_.faults;
        }
        if (!spool_->log->intake_open()) {
            spool_->turn(1'000); // Closed by faults: the next try is a second away.
        }
    }

    void append(std::size_t bytes) {
        const std::uint64_t id = ++next_id_;
        known_message& known = known_[id];
        known.meta = random_bytes(below(300));
        known.body = random_bytes(bytes);
        watch(spool_->append(id, known.meta, known.body));
    }

    void append_large(std::size_t bytes) {
        const std::uint64_t id = ++next_id_;
        known_message known;
        known.meta = random_bytes(below(300));
        known.body = random_bytes(bytes);
        if (test_append* request = spool_->append_large(id, known.meta, known.body)) {
            known_[id] = known;
            watch(*request);
        }
    }

    void watch(test_append& request) {
        request.when_settled = [this](test_append& settled) {
            known_message& known = known_[settled.message_id];
            known.acknowledged = settled.status == append_status::durable;
            known.where = settled.where;
            if (!known.acknowledged && settled.large != nullptr) {
                spool_->log->release_body_file(settled.large->file_number(), true);
            }
        };
    }

    std::uint64_t pick_live() {
        if (known_.empty()) {
            return 0;
        }
        auto at = known_.lower_bound(1 + below(next_id_));
        for (std::size_t tried = 0; tried < known_.size(); ++tried) {
            if (at == known_.end()) {
                at = known_.begin();
            }
            const known_message& known = at->second;
            if (known.acknowledged && !known.done_noted && !known.relocating) {
                return at->first;
            }
            ++at;
        }
        return 0;
    }

    void end_one() {
        if (const std::uint64_t id = pick_live()) {
            known_[id].done_noted = true;
            spool_->log->mark_done(id, known_[id].where);
        }
    }

    void note_state() {
        if (const std::uint64_t id = pick_live()) {
            known_[id].states.push_back(random_bytes(1 + below(60)));
            spool_->log->note_state(id, known_[id].states.back());
        }
    }

    void relocate() {
        const std::uint64_t segment = spool_->log->relocation_segment();
        if (segment == 0) {
            return;
        }
        const auto ids = spool_->log->relocation_candidates();
        for (const std::uint64_t id : std::vector<std::uint64_t>(ids.begin(), ids.end())) {
            const auto at = known_.find(id);
            if (at == known_.end() || !at->second.acknowledged || at->second.done_noted ||
                at->second.relocating || at->second.where.segment_id != segment) {
                continue;
            }
            move_one(id, at->second);
        }
    }

    void move_one(std::uint64_t id, known_message& known) {
        const read_result stored = spool_->read(id, known.where);
        ASSERT_EQ(stored.status, read_status::ready);
        ASSERT_EQ(stored.body, known.body);
        ++sums_.relocated;
        known.relocating = true;
        test_append& request = spool_->add(
            id, known.meta, known.body, known.states.empty() ? std::string() : known.states.back());
        request.old = known.where;
        if (known.where.body_file != no_body_file) {
            request.relocated = &request.old;
            request.relocated_seed = stored.body_seed;
            request.relocated_hash = stored.body_hash;
        } else {
            request.raw_body = request.body_bytes;
        }
        request.when_settled = [this](test_append& settled) {
            known_message& moved = known_[settled.message_id];
            moved.relocating = false;
            if (settled.status == append_status::durable) {
                moved.where = settled.where;
                spool_->log->mark_moved(settled.old);
            }
        };
        spool_->log->append(request);
    }

    // One turn of the loop, with cuts before, within and after the disk's work.
    void drive() {
        spool_->turn(1 + static_cast<std::int64_t>(below(8)));
        if (below(3) == 0) {
            cut();
        }
        spool_->device().begin_one();
        if (below(2) == 0) {
            cut();
        }
        const bool ran = spool_->device().run_one();
        if (ran && below(2) == 0) {
            cut();
        }
        while (spool_->device().complete_one()) {
        }
        if (spool_->log->idle()) {
            for (auto& [id, known] : known_) {
                known.done_durable = known.done_noted;
                known.durable_states = known.states.size();
            }
        }
    }

    void cut() {
        std::unique_ptr<simulated_disk> image = disk_->crash(any_mode(), random_);
        check(*image);
    }

    void drain() {
        sums_.segments_reused += spool_->log->counters().retired_segments;
        for (int round = 0; round < 1000 && (spool_->log->group_under_way() ||
                                             spool_->streams_are_open() || round == 0);
             ++round) {
            spool_->turn(25);
            spool_->device().poll();
        }
        spool_.reset();
    }

    void check(simulated_disk& image) {
        ++sums_.images;
        spool_harness after(image);
        ASSERT_TRUE(after.open());
        EXPECT_TRUE(after.found.damaged.empty());
        sums_.corrupted += after.found.counts.corrupt_records + after.found.damaged.size() +
                           after.found.counts.missing_body_files +
                           after.found.counts.damaged_segments;
        std::set<std::uint64_t> live;
        for (const recovered_message& message : after.found.live) {
            live.insert(message.id);
            check_message(after, message);
        }
        for (const auto& [id, known] : known_) {
            if (known.acknowledged && !known.done_noted) {
                ++sums_.acknowledged;
                sums_.lost += live.contains(id) ? 0 : 1;
            }
        }
    }

    void check_message(spool_harness& after, const recovered_message& message) {
        const auto at = known_.find(message.id);
        if (at == known_.end()) {
            ++sums_.unknown;
            return;
        }
        const known_message& known = at->second;
        const read_result stored = after.read(message.id, message.where);
        const bool is_right = stored.status == read_status::ready && stored.meta == known.meta &&
                              stored.body == known.body && after.meta_of(message) == known.meta;
        sums_.corrupted += is_right ? 0 : 1;
        sums_.resurrected += known.done_durable ? 1 : 0;
        sums_.duplicates += known.done_noted && !known.done_durable ? 1 : 0;
        sums_.extra += known.acknowledged ? 0 : 1;
        std::size_t state_number = 0; // 0: none.
        for (std::size_t index = 0; index < known.states.size(); ++index) {
            state_number = known.states[index] == message.state ? index + 1 : state_number;
        }
        sums_.old_states += state_number < known.durable_states ? 1 : 0;
        sums_.corrupted += state_number == 0 && !message.state.empty() ? 1 : 0;
    }

    std::mt19937_64 random_;
    bool with_faults_;
    totals& sums_;
    std::unique_ptr<simulated_disk> disk_;
    std::unique_ptr<spool_harness> spool_;
    std::map<std::uint64_t, known_message> known_;
    std::uint64_t next_id_ = 0;
};

std::uint64_t chosen_seed() {
    const char* given = std::getenv("EBBGATE_POWER_CUT_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

void run_and_judge(bool with_faults, int workloads, int generations, int steps) {
    const std::uint64_t seed = chosen_seed();
    totals sums;
    for (int index = 0; index < workloads; ++index) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", workload " + std::to_string(index));
        workload(seed + static_cast<std::uint64_t>(index), with_faults, sums)
            .run(generations, steps);
        if (::testing::Test::HasFatalFailure()) {
            return;
        }
    }
    std::printf("seed %llu: %llu disks after a cut, %llu acknowledged messages looked for: "
                "%llu lost, %llu corrupted, %llu duplicates, %llu not acknowledged but whole; "
                "%llu relocated, %llu segments reclaimed, %llu faults\n",
                static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(sums.images),
                static_cast<unsigned long long>(sums.acknowledged),
                static_cast<unsigned long long>(sums.lost),
                static_cast<unsigned long long>(sums.corrupted),
                static_cast<unsigned long long>(sums.duplicates),
                static_cast<unsigned long long>(sums.extra),
                static_cast<unsigned long long>(sums.relocated),
                static_cast<unsigned long long>(sums.segments_reused),
                static_cast<unsigned long long>(sums.faults));
    EXPECT_GE(sums.images, 2000U);
    EXPECT_GT(sums.acknowledged, sums.images);
    EXPECT_GT(sums.segments_reused, 0U);
    EXPECT_EQ(sums.lost, 0U) << "seed " << seed;
    EXPECT_EQ(sums.corrupted, 0U) << "seed " << seed;
    EXPECT_EQ(sums.unknown, 0U) << "seed " << seed;
    EXPECT_EQ(sums.resurrected, 0U) << "seed " << seed;
    EXPECT_EQ(sums.old_states, 0U) << "seed " << seed;
}

TEST(PowerCut, NoAcknowledgedMessageIsLostOrChanged) {
    run_and_judge(false, 10, 4, 60);
}

TEST(PowerCut, NorWhenTheDiskFailsOperationsBeforeTheCut) {
    run_and_judge(true, 10, 4, 60);
}

} // namespace
} // namespace ebbgate::spool
