// What does the header scanner cost a message, and what a byte, by header and body size? And what
// does it cost to read the From field?

#include "ebbgate/mail/authors.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t chunk_bytes = 16 * kib; // What one receive brings.

// About 600 bytes, as a mailing program sends it, then `more` bytes of fields it does not need.
std::string message_of(std::size_t more_header_bytes, std::size_t body_bytes) {
    std::string message =
        "Message-ID: <0102018f2c3a4b5c-6d7e8f90-1234-5678-9abc-def012345678@acme.example>\r\n"
        "Date: Tue, 24 Nov 2026 15:56:53 +0000\r\n"
        "Subject: Your order 4711 is on its way\r\n"
        "From: \"Acme Shop\" <orders@acme.example>\r\n"
        "To: Jane Doe <jane.doe@customer.example>\r\n"
        "Reply-To: support@acme.example\r\n"
        "List-Unsubscribe: <https://acme.example/unsubscribe/0123456789abcdef>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/alternative;\r\n boundary=\"----=_Part_0123456789\"\r\n";
    for (const std::size_t end = message.size() + more_header_bytes; message.size() < end;) {
        message += "X-Custom-Field: " + std::string(58, 'x') + "\r\n";
    }
    message += "\r\n";
    while (body_bytes >= 78) {
        message.append(76, 'b').append("\r\n");
        body_bytes -= 78;
    }
    return message;
}

void feed(mail::header_scanner& scanner, byte_view wire) {
    for (std::size_t at = 0; at < wire.size(); at += chunk_bytes) {
        scanner.feed(wire.substr(at, chunk_bytes));
    }
}

void scan(benchmark::State& state) {
    const std::string wire = message_of(static_cast<std::size_t>(state.range(0)),
                                        static_cast<std::size_t>(state.range(1)));
    mail::header_scanner scanner;
    for (auto _ : state) {
        scanner.clear();
        feed(scanner, wire);
        if (!scanner.complete()) {
            std::abort(); // The figure would be of something else.
        }
        benchmark::DoNotOptimize(scanner.fields().data());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
    state.counters["header_bytes"] = static_cast<double>(scanner.header_wire_bytes());
}

void scan_with_a_new_scanner(benchmark::State& state) {
    const std::string wire = message_of(0, 4000);
    for (auto _ : state) {
        mail::header_scanner scanner;
        feed(scanner, wire);
        benchmark::DoNotOptimize(scanner.fields().data());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wire.size()));
}

void judge_from(benchmark::State& state) {
    mail::header_scanner scanner;
    scanner.feed(message_of(0, 0));
    for (auto _ : state) {
        const auto authors = mail::authors_of(scanner);
        if (!authors) {
            std::abort();
        }
        benchmark::DoNotOptimize(authors->data());
    }
}

BENCHMARK(scan)
    ->ArgNames({"more", "body"})
    ->Args({0, 0})
    ->Args({0, 4000})
    ->Args({0, 1'000'000})
    ->Args({4000, 0})
    ->Args({60'000, 0});
BENCHMARK(scan_with_a_new_scanner);
BENCHMARK(judge_from);

} // namespace

BENCHMARK_MAIN();
