// What does an attachment cost: its names, its first block, a listing of it, and the search for a
// zip at its end?

#include "stage/content/attachment_judge.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t chunk_bytes = 16 * kib;

policy::attachment_settings office() {
    policy::attachment_settings settings;
    settings.allow = std::vector<std::string>{"gif", "jpg", "pdf", "png", "tar", "txt", "zip"};
    return settings;
}

std::string little(std::size_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) {
        out += static_cast<char>(value >> (8 * i));
    }
    return out;
}

std::string random_bytes(std::size_t bytes) {
    std::mt19937 random(1);
    std::string out(bytes, '\0');
    for (char& c : out) {
        c = static_cast<char>(random());
    }
    return out;
}

// With `behind`, the sizes stand behind the data, which then has to be searched.
std::string zip_of(std::size_t members, std::size_t member_bytes, bool behind) {
    const std::string data = random_bytes(member_bytes);
    std::string out;
    std::string central;
    for (std::size_t i = 0; i < members; ++i) {
        const std::string name = "folder/report-" + std::to_string(i) + ".pdf";
        const std::string size = little(data.size(), 4) + little(data.size(), 4);
        const std::string flags = little(behind ? 8 : 0, 2);
        central += "PK\x01\x02" + little(20, 2) + little(20, 2) + flags + little(0, 10) + size +
                   little(name.size(), 2) + little(0, 12) + little(out.size(), 4) + name;
        out += "PK\x03\x04" + little(20, 2) + flags + little(0, 10) +
               (behind ? little(0, 8) : size) + little(name.size(), 2) + little(0, 2) + name + data;
        out += behind ? "PK\x07\x08" + little(0, 4) + size : "";
    }
    return out + central + "PK\x05\x06" + little(0, 4) + little(members, 2) + little(members, 2) +
           little(central.size(), 4) + little(out.size(), 4) + little(0, 2);
}

void judge(benchmark::State& state, const std::string& name, const std::string& bytes) {
    const auto settings = office();
    const std::vector<std::string> names = {name};
    for (auto _ : state) {
        content::attachment_judge one(settings);
        one.begin({names, "application/octet-stream", true});
        for (std::size_t at = 0; at < bytes.size(); at += chunk_bytes) {
            one.feed(byte_view(bytes).substr(at, chunk_bytes));
        }
        one.end();
        if (one.refusal()) {
            std::abort(); // The figure would be of something else.
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

void names(benchmark::State& state) {
    const auto settings = office();
    const std::vector<std::string> list = {"Quarterly report (final).pdf",
                                           "Quarterly report (final).pdf"};
    for (auto _ : state) {
        auto judged = content::judge_names(settings, {list, "application/pdf", true});
        if (judged.refusal) {
            std::abort();
        }
        benchmark::DoNotOptimize(judged);
    }
}

void first_block_binary(benchmark::State& state) {
    const std::string block = "%PDF-1.7\n" + random_bytes(content::sniff_bytes);
    for (auto _ : state) {
        benchmark::DoNotOptimize(content::sniff(block));
    }
}

void first_block_text(benchmark::State& state) {
    const std::string block(content::sniff_bytes, 'x');
    for (auto _ : state) {
        benchmark::DoNotOptimize(content::sniff(block));
    }
}

void picture(benchmark::State& state) {
    judge(state, "a.jpg", "\xff\xd8\xff\xe0" + random_bytes(4 * mib));
}

void zip_with_sizes(benchmark::State& state) {
    judge(state, "a.zip", zip_of(100, 40 * kib, false));
}

void zip_with_sizes_behind(benchmark::State& state) {
    judge(state, "a.zip", zip_of(100, 40 * kib, true));
}

void zip_of_many(benchmark::State& state) {
    judge(state, "a.zip", zip_of(10'000, 10, false));
}

BENCHMARK(names);
BENCHMARK(first_block_binary);
BENCHMARK(first_block_text);
BENCHMARK(picture);
BENCHMARK(zip_with_sizes);
BENCHMARK(zip_with_sizes_behind);
BENCHMARK(zip_of_many);

} // namespace

BENCHMARK_MAIN();
