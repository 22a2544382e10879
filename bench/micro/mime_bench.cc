// How many bytes a second does the MIME scan take, of text and of base64, by vector unit and with
// the visitor that only counts? And the base64 decoder, and a message of many small parts?

#include "ebbgate/mime/boundary_search.h"
#include "ebbgate/mime/embedded_files.h"
#include "ebbgate/mime/streamer.h"
#include "ebbgate/mime/transfer_decoder.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t chunk_bytes = 16 * kib; // What one receive brings.

std::string text_of(std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) {
        text += "Dear customer, your order of " + std::to_string(text.size()) +
                " pieces - paid by card - is on its way;\r\n"
                "we will tell you when it arrives.\r\n\r\n-- \r\nAcme Shop\r\n";
    }
    return text;
}

std::string base64_of(std::size_t bytes) {
    constexpr byte_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    std::uint32_t random = 1;
    while (text.size() < bytes) {
        for (int i = 0; i < 76; ++i) {
            random = random * 1664525 + 1013904223;
            text += digits[random >> 26];
        }
        text += "\r\n";
    }
    return text;
}

std::string message_of(const std::string& body, byte_view encoding, std::size_t parts) {
    std::string message =
        "From: <a@acme.example>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=\"----=_Part_0123456789\"\r\n\r\n";
    for (std::size_t i = 0; i < parts; ++i) {
        message += "------=_Part_0123456789\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Content-Disposition: attachment; filename=\"report.pdf\"\r\n"
                   "Content-Transfer-Encoding: ";
        message += encoding;
        message += "\r\n\r\n" + body + "\r\n";
    }
    return message + "------=_Part_0123456789--\r\n";
}

class counter final : public mime::visitor {
public:
    void bytes(const mime::part&, mime::region, std::uint64_t, byte_view bytes) override {
        bytes_ += bytes.size();
    }

    void part_end(const mime::part&) override { ++parts_; }

    std::uint64_t bytes_ = 0;
    std::uint64_t parts_ = 0;
};

void run(benchmark::State& state, const std::string& message) {
    counter events;
    mime::streamer streamer(events);
    for (auto _ : state) {
        for (std::size_t at = 0; at < message.size(); at += chunk_bytes) {
            streamer.push(byte_view(message).substr(at, chunk_bytes));
        }
        streamer.finish();
        streamer.clear();
    }
    if (events.bytes_ != message.size() * static_cast<std::size_t>(state.iterations())) {
        std::abort(); // The figure would be of something else.
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(events.bytes_));
}

void stream_text(benchmark::State& state) {
    run(state, message_of(text_of(static_cast<std::size_t>(state.range(0))), "7bit", 2));
}

void stream_base64(benchmark::State& state) {
    run(state, message_of(base64_of(static_cast<std::size_t>(state.range(0))), "base64", 2));
}

void stream_small_parts(benchmark::State& state) {
    run(state, message_of("short", "7bit", 500));
}

// Every line could be a boundary: the worst that a sender can do to the search.
void stream_near_boundaries(benchmark::State& state) {
    std::string body;
    while (body.size() < mib) {
        body += "------=_Part_012345678\r\n";
    }
    run(state, message_of(body, "7bit", 1));
}

void search(benchmark::State& state) {
    const auto unit = static_cast<mime::vector_unit>(state.range(0));
    if (!mime::machine_has(unit)) {
        state.SkipWithError("this machine has no such unit");
        return;
    }
    const std::string text = base64_of(chunk_bytes);
    for (auto _ : state) {
        benchmark::DoNotOptimize(mime::find_dash_line(text, unit));
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

void decode(benchmark::State& state, const std::string& text, mime::transfer_encoding encoding) {
    std::string out;
    for (auto _ : state) {
        mime::transfer_decoder decoder(encoding);
        for (std::size_t at = 0; at < text.size(); at += chunk_bytes) {
            out.clear();
            decoder.decode(byte_view(text).substr(at, chunk_bytes), out);
            benchmark::DoNotOptimize(out.data());
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

void decode_base64(benchmark::State& state) {
    decode(state, base64_of(mib), mime::transfer_encoding::base64);
}

void decode_quoted_printable(benchmark::State& state) {
    decode(state, text_of(mib), mime::transfer_encoding::quoted_printable);
}

void find_embedded(benchmark::State& state) {
    const std::string text = text_of(chunk_bytes);
    for (auto _ : state) {
        mime::embedded_files files;
        files.push(text);
        benchmark::DoNotOptimize(files.count());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

BENCHMARK(stream_text)->ArgName("body")->Arg(4000)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(stream_base64)->ArgName("body")->Arg(4000)->Arg(100'000)->Arg(4'000'000);
BENCHMARK(stream_small_parts);
BENCHMARK(stream_near_boundaries);
BENCHMARK(search)->ArgName("unit")->Arg(0)->Arg(1)->Arg(2);
BENCHMARK(decode_base64);
BENCHMARK(decode_quoted_printable);
BENCHMARK(find_embedded);

} // namespace

BENCHMARK_MAIN();
