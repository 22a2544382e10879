// What does the class of a refusal cost, with the shipped rules: for a text seen before, for texts
// that are all different, and for one that no rule knows? And what does it cost to ask whether a
// recipient is suppressed, when a million are?

#include "stage/bounces/classifier.h"
#include "stage/bounces/suppressed_set.h"

#include <benchmark/benchmark.h>

#include <iterator>
#include <string>

namespace ebbgate {
namespace {

const bounces::classifier& shipped() {
    static const auto made = bounces::classifier::make_default();
    return *made;
}

void known_text(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            shipped().classify(550,
                               {5, 1, 1},
                               "<someone@example.org>: Recipient address rejected: User unknown in "
                               "virtual mailbox table"));
    }
}

BENCHMARK(known_text);

void other_recipient_each_time(benchmark::State& state) {
    std::uint64_t number = 88172645463325252ULL;
    for (auto _ : state) {
        number ^= number << 13U;
        number ^= number >> 7U;
        number ^= number << 17U;
        benchmark::DoNotOptimize(
            shipped().classify(550,
                               {5, 1, 1},
                               "<user" + std::to_string(number) +
                                   "@example.org>: Recipient address rejected: User unknown in "
                                   "virtual mailbox table"));
    }
}

BENCHMARK(other_recipient_each_time);

void unknown_text(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(shipped().classify(550, {5, 0, 0}, "We would rather not. Bye."));
    }
}

BENCHMARK(unknown_text);

// The worst that a peer can send: as long as is looked at, never the same, of words that rules
// begin with.
void hostile_text(benchmark::State& state) {
    constexpr std::string_view words[] = {"user ",
                                          "mailbox ",
                                          "message ",
                                          "content ",
                                          "spam ",
                                          "sender ",
                                          "server ",
                                          "domain ",
                                          "quota ",
                                          "SPF ",
                                          "address ",
                                          "policy ",
                                          "relay ",
                                          "5.7.1 ",
                                          "your "};
    std::uint64_t number = 88172645463325252ULL;
    for (auto _ : state) {
        state.PauseTiming();
        std::string text;
        while (text.size() < bounces::text_bytes_max) {
            number ^= number << 13U;
            number ^= number >> 7U;
            number ^= number << 17U;
            text += words[number % std::size(words)];
        }
        state.ResumeTiming();
        benchmark::DoNotOptimize(shipped().classify(550, {5, 0, 0}, text));
    }
}

BENCHMARK(hostile_text);

void load_shipped_rules(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(bounces::classifier::make_default());
    }
}

BENCHMARK(load_shipped_rules)->Unit(benchmark::kMillisecond);

void is_suppressed(benchmark::State& state) {
    static bounces::suppressed_set* const million = [] {
        auto* made = new bounces::suppressed_set(1'000'000);
        for (int number = 0; number < 1'000'000; ++number) {
            (void)made->insert("acme", "user" + std::to_string(number) + "@example.org");
        }
        return made;
    }();
    std::uint64_t number = 88172645463325252ULL;
    for (auto _ : state) {
        number ^= number << 13U;
        number ^= number >> 7U;
        number ^= number << 17U;
        const std::string address = "user" + std::to_string(number % 2'000'000) + "@example.org";
        benchmark::DoNotOptimize(million->contains("acme", address));
    }
}

BENCHMARK(is_suppressed)->ThreadRange(1, 2);

} // namespace
} // namespace ebbgate

BENCHMARK_MAIN();
