// What does it cost to count a message: on one hot key, alone and against another thread, over a
// million keys, and against three rules at once?

#include "stage/limits/limiter.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr config::rate never_full{4'000'000'000, std::chrono::hours(24)};
constexpr limits::time_point start{std::chrono::milliseconds(1'700'000'000'000)};

// A table in a folder of its own, which goes with it.
class scratch_table {
public:
    explicit scratch_table(std::uint64_t slots) {
        char name[] = "/tmp/ebbgate-limits-XXXXXX";
        if (::mkdtemp(name) == nullptr) {
            std::abort();
        }
        folder_ = name;
        auto opened = limits::counter_table::open(folder_ + "/counters", slots, start);
        if (!opened) {
            std::fprintf(stderr, "%s\n", opened.error().detail.c_str());
            std::abort();
        }
        table_ = std::move(*opened);
    }

    ~scratch_table() { std::filesystem::remove_all(folder_); }

    [[nodiscard]] limits::counter_table& table() const { return *table_; }

private:
    std::string folder_;
    std::unique_ptr<limits::counter_table> table_;
};

std::unique_ptr<scratch_table> shared;

void take_hot_key(benchmark::State& state) {
    if (state.thread_index() == 0) {
        shared = std::make_unique<scratch_table>(1 << 16);
    }
    limits::key key;
    for (auto _ : state) {
        if (key == limits::key{}) { // The first turn of a thread comes after the table was made.
            key = shared->table().key_of("messages_per_sender", "ceo@acme.example");
        }
        const auto got = shared->table().take(key, never_full, 1, start);
        if (!got) {
            state.SkipWithError("refused");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations());
    if (state.thread_index() == 0) {
        shared.reset();
    }
}

BENCHMARK(take_hot_key)->Threads(1)->Threads(2)->UseRealTime();

// The window of each key is open: the share of slots that is live is the second number.
void take_many_keys(benchmark::State& state) {
    const auto keys = static_cast<std::size_t>(state.range(0));
    const scratch_table scratch(static_cast<std::uint64_t>(state.range(1)));
    std::vector<limits::key> all;
    all.reserve(keys);
    for (std::size_t i = 0; i < keys; ++i) {
        all.push_back(scratch.table().key_of("r", std::to_string(i)));
        if (!scratch.table().take(all.back(), never_full, 1, start)) {
            state.SkipWithError("full");
            return;
        }
    }
    std::mt19937_64 random(1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            scratch.table().take(all[random() % keys], never_full, 1, start).has_value());
    }
    state.SetItemsProcessed(state.iterations());
    state.counters["load"] = static_cast<double>(keys) / static_cast<double>(state.range(1));
}

BENCHMARK(take_many_keys)
    ->ArgNames({"keys", "slots"})
    ->Args({1'000'000, 1 << 21})
    ->Args({900'000, 1 << 20});

// Each take is the first of its window and reuses the slot of one that is over.
void open_windows(benchmark::State& state) {
    constexpr std::size_t keys = 1 << 16;
    const scratch_table scratch(1 << 17);
    std::vector<limits::key> all;
    for (std::size_t i = 0; i < 2 * keys; ++i) {
        all.push_back(scratch.table().key_of("r", std::to_string(i)));
    }
    const config::rate brief{1, std::chrono::seconds(1)};
    std::size_t turn = 0;
    std::uint64_t refused = 0;
    for (auto _ : state) {
        const auto now = start + std::chrono::milliseconds(turn / keys * 1000);
        refused += !scratch.table().take(all[turn % all.size()], brief, 1, now);
        ++turn;
    }
    state.SetItemsProcessed(state.iterations());
    state.counters["refused"] = static_cast<double>(refused);
}

BENCHMARK(open_windows);

void three_rules(benchmark::State& state) {
    const scratch_table scratch(1 << 16);
    limits::limiter limiter(scratch.table());
    const std::array<limits::rule, 3> rules{
        limits::rule{"messages_per_sender", limits::unit::messages, never_full},
        limits::rule{"messages_per_account", limits::unit::messages, never_full},
        limits::rule{"recipients_per_tenant", limits::unit::recipients, never_full}};
    const std::array<limits::charge, 3> charges{limits::charge{&rules[0], "ceo@acme.example"},
                                                limits::charge{&rules[1], "mailer@acme.example"},
                                                limits::charge{&rules[2], "acme"}};
    if (state.range(0) != 0) {
        const limits::raised other{"r", "x", never_full, start + std::chrono::hours(1)};
        if (!limiter.replace({other}, start)) {
            state.SkipWithError("replace");
        }
    }
    for (auto _ : state) {
        benchmark::DoNotOptimize(limiter.take({charges, 3, start}).has_value());
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(three_rules)->ArgName("overrides")->Arg(0)->Arg(1);

} // namespace

BENCHMARK_MAIN();
