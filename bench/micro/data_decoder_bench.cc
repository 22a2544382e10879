// How many bytes a second does the DATA decoder pass, by line length and by chunk size?

#include "ebbgate/smtp/data_decoder.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t message_bytes = 1'000'000;

std::string lines_of(std::size_t line_bytes) {
    std::string message;
    while (message.size() < message_bytes) {
        message.append(line_bytes, 'x').append("\r\n");
    }
    return message + ".\r\n";
}

void decode(benchmark::State& state) {
    const std::string wire = lines_of(static_cast<std::size_t>(state.range(0)));
    const auto chunk_bytes = static_cast<std::size_t>(state.range(1));
    for (auto _ : state) {
        smtp::data_decoder decoder;
        std::size_t at = 0;
        bool complete = false;
        while (!complete) {
            const smtp::data_step step = decoder.feed(byte_view(wire).substr(at, chunk_bytes));
            if (step.fault) {
                std::abort(); // The input is well formed: the figure would be of something else.
            }
            benchmark::DoNotOptimize(step.message);
            at += step.consumed_bytes;
            complete = step.complete;
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
}

BENCHMARK(decode)->ArgNames({"line", "chunk"})->ArgsProduct({{1, 20, 76, 998}, {4096, 65536}});

} // namespace

BENCHMARK_MAIN();
