// What does it cost to set and clear a timer while many others are set, and to let one expire?

#include "runtime/task/timer_wheel.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::uint64_t far_ms = 300'000; // An SMTP session's patience.

void set_and_clear(benchmark::State& state) {
    task::timer_wheel wheel(0);
    std::vector<task::timer> others(static_cast<std::size_t>(state.range(0)));
    std::mt19937_64 random(1);
    for (task::timer& other : others) {
        wheel.set(other, 1 + random() % far_ms);
    }
    task::timer timer;
    std::uint64_t due_ms = 1;
    for (auto _ : state) {
        wheel.set(timer, due_ms);
        wheel.clear(timer);
        due_ms = due_ms % far_ms + 1;
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(set_and_clear)->ArgName("others")->Arg(0)->Arg(10'000)->Arg(1'000'000);

// Each expiry sets its timer again, as a session does after every command.
struct again : task::timer {
    task::timer_wheel* wheel = nullptr;
    std::uint64_t every_ms = 1;
    std::uint64_t fired = 0;
};

void expire(benchmark::State& state) {
    task::timer_wheel wheel(0);
    std::vector<again> timers(static_cast<std::size_t>(state.range(0)));
    std::mt19937_64 random(1);
    for (again& timer : timers) {
        timer.wheel = &wheel;
        timer.every_ms = 1 + random() % 1000;
        timer.on_expire = [](task::timer& expired) noexcept {
            auto& self = static_cast<again&>(expired);
            ++self.fired;
            self.wheel->set(self, self.due_ms + self.every_ms);
        };
        wheel.set(timer, timer.every_ms);
    }
    std::uint64_t now_ms = 0;
    for (auto _ : state) {
        wheel.advance(++now_ms);
    }
    std::uint64_t fired = 0;
    for (const again& timer : timers) {
        fired += timer.fired;
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(fired));
}

BENCHMARK(expire)->ArgName("timers")->Arg(1'000)->Arg(100'000);

} // namespace

BENCHMARK_MAIN();
