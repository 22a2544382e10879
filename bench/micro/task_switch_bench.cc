// What does a coroutine cost: a child that does not wait, and a switch between two that do?

#include "runtime/task/flow.h"
#include "runtime/task/reactor.h"
#include "runtime/task/scope.h"

#include <benchmark/benchmark.h>

#include <cstdint>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

task::flow<std::int64_t> child(std::int64_t value) {
    co_return value + 1;
}

task::flow<> parent(benchmark::State& state) {
    std::int64_t value = 0;
    for (auto _ : state) {
        task::flow<std::int64_t> made = child(value);
        value = co_await made;
    }
    benchmark::DoNotOptimize(value);
}

void call_a_child(benchmark::State& state) {
    auto loop = task::reactor::open({});
    if (!loop) {
        state.SkipWithError(loop.error().detail.c_str());
        return;
    }
    task::scope owner(**loop);
    owner.start(parent(state));
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(call_a_child);

task::flow<> player(task::signal& mine, task::signal& other, const bool& over) {
    while (!over) {
        co_await mine;
        other.set();
    }
}

// Each resumption goes through the ready list, as one that a completion causes does.
void switch_between_two(benchmark::State& state) {
    auto loop = task::reactor::open({});
    if (!loop) {
        state.SkipWithError(loop.error().detail.c_str());
        return;
    }
    task::scope owner(**loop);
    task::ready_list ready;
    task::signal left(ready);
    task::signal right(ready);
    bool over = false;
    owner.start(player(left, right, over));
    owner.start(player(right, left, over));
    left.set();
    for (auto _ : state) {
        benchmark::DoNotOptimize(ready.run());
    }
    over = true;
    while (ready.run() && owner.count() > 0) {
    }
    left.set();
    right.set();
    while (ready.run()) {
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(switch_between_two);

} // namespace

BENCHMARK_MAIN();
