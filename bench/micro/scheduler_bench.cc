// What does a message cost the scheduler and the memory, however long the queue is? (TARGETS.md E1)
//
// A queue of N deferred messages in 1,000 lanes. Each turn the one that is due is taken and
// deferred again, as a dead internet would have it: bytes_each is all that a waiting message keeps
// in memory.

#include "relay/cold_messages.h"
#include "stage/schedule/scheduler.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::int64_t start_ms = 1'000'000'000;
constexpr std::int64_t spread_ms = 3'600'000;

void take_and_defer(benchmark::State& state) {
    const auto count = static_cast<std::uint64_t>(state.range(0));
    schedule::settings settings;
    settings.retry.first_ms = spread_ms;
    settings.retry.max_ms = spread_ms;
    settings.retry.max_age_ms = 60LL * 24 * 3'600'000; // The short queue's clock runs far.
    schedule::scheduler scheduler(settings, 1);
    relay::cold_messages cold;
    scheduler.set_soon_due([&cold](std::span<const std::uint64_t> ids) { cold.ask_for(ids); });
    std::vector<std::string> lanes;
    for (int lane = 0; lane < 1000; ++lane) {
        lanes.push_back("domain" + std::to_string(lane) + ".example/opportunistic");
    }
    for (std::uint64_t id = 0; id < count; ++id) {
        schedule::delivery_item item;
        item.message_id = 1'700'000'000'000'000 + id * 16;
        item.arrived_ms = start_ms;
        item.not_before_ms = start_ms + 1 + static_cast<std::int64_t>(id * 7919 % spread_ms);
        item.tenant = static_cast<std::uint32_t>(id % 50);
        item.recipients.add(0);
        relay::cold_message waiting;
        waiting.id = item.message_id;
        waiting.first_slot = scheduler.add(item, lanes[id % lanes.size()], start_ms);
        waiting.items = 1;
        cold.add(waiting);
    }
    std::int64_t now_ms = start_ms;
    for (auto _ : state) {
        now_ms = *scheduler.next_wakeup_ms(now_ms);
        while (const auto work = scheduler.next_due(now_ms)) {
            schedule::connection_permit permit{work->lane};
            while (const auto item = scheduler.take_next(permit, now_ms)) {
                benchmark::DoNotOptimize(cold.find(item->message_id)->where.lsn);
                if (scheduler.defer(*item, now_ms).expired) {
                    state.SkipWithError("the clock has run too far");
                    return;
                }
            }
            scheduler.close(permit);
        }
    }
    const auto deferred = static_cast<double>(scheduler.total().deferred_total);
    state.counters["messages"] = benchmark::Counter(deferred, benchmark::Counter::kIsRate);
    state.counters["ns_each"] = benchmark::Counter(
        deferred / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    state.counters["bytes_each"] =
        static_cast<double>(scheduler.footprint_bytes() + cold.footprint_bytes()) /
        static_cast<double>(count);
}

BENCHMARK(take_and_defer)
    ->Arg(10'000)
    ->Arg(1'000'000)
    ->Arg(10'000'000)
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(1.0);

} // namespace

BENCHMARK_MAIN();
