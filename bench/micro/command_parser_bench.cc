// How long does it take to read one command line, by kind of command?

#include "ebbgate/smtp/command_parser.h"

#include <benchmark/benchmark.h>

#include <cstdlib>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

void parse(benchmark::State& state, byte_view line) {
    for (auto _ : state) {
        const auto command = smtp::parse_command(line, false);
        if (!command) {
            std::abort(); // A refusal is cheaper: the figure would be of something else.
        }
        benchmark::DoNotOptimize(command->verb);
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(parse, ehlo, "EHLO client.example.com");
BENCHMARK_CAPTURE(parse, mail, "MAIL FROM:<mailer@acme.example> SIZE=4096 BODY=8BITMIME");
BENCHMARK_CAPTURE(parse, rcpt, "RCPT TO:<somebody@destination.example>");
BENCHMARK_CAPTURE(
    parse,
    rcpt_dsn,
    "RCPT TO:<somebody@destination.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;some@body.example");
BENCHMARK_CAPTURE(parse, bdat, "BDAT 65536 LAST");
BENCHMARK_CAPTURE(parse, data, "DATA");

} // namespace

BENCHMARK_MAIN();
