// ebbgate-delay: a TCP relay for tests and benches, with distance between its ends.

#include "config/address.h"
#include "program/delay/delay_relay.h"
#include "program/process/file_limit.h"
#include "program/process/run.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

// LISTEN=TARGET, each ADDRESS:PORT.
bool parse_route(const std::string& text, delay::route& route) {
    const std::size_t at = text.find('=');
    if (at == std::string::npos) {
        return false;
    }
    std::string target = text.substr(at + 1);
    const bool same = target.starts_with("same:");
    if (same) {
        target.replace(0, 4, "127.0.0.1");
    }
    const auto from = config::parse_endpoint(text.substr(0, at));
    const auto to = config::parse_endpoint(target);
    if (!from || !to) {
        return false;
    }
    route.listen = {config::to_text(from->address), from->port};
    route.target = {same ? "same" : config::to_text(to->address), to->port};
    return true;
}

// "20ms", or milliseconds.
bool parse_delay(std::string text, std::uint64_t& delay_ms) {
    if (text.ends_with("ms")) {
        text.resize(text.size() - 2);
    }
    if (text.empty() || text.size() > 5 ||
        text.find_first_not_of("0123456789") != std::string::npos) {
        return false;
    }
    delay_ms = std::stoull(text);
    return true;
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"ebbgate-delay: relays TCP connections and delays their bytes"};
    std::vector<std::string> texts;
    std::string delay = "20ms";
    double seconds = 0;
    app.add_option("--relay",
                   texts,
                   "LISTEN=TARGET, each ADDRESS:PORT; target same:PORT is the address that the "
                   "client connected to; repeatable")
        ->required();
    app.add_option("--delay", delay, "of each direction, 0ms to 99999ms");
    app.add_option("--seconds", seconds, "stop after this time");
    CLI11_PARSE(app, argc, argv);
    std::uint64_t delay_ms = 0;
    std::vector<delay::route> routes(texts.size());
    for (std::size_t index = 0; index < texts.size(); ++index) {
        if (!parse_route(texts[index], routes[index])) {
            fmt::print(stderr, "--relay {}: want LISTEN=TARGET\n", texts[index]);
            return 2;
        }
    }
    if (!parse_delay(delay, delay_ms)) {
        fmt::print(stderr, "--delay {}: want milliseconds, such as 20ms\n", delay);
        return 2;
    }
    process::raise_file_limit();
    process::catch_stop_signals();

    auto reactor = task::reactor::open({});
    if (!reactor) {
        fmt::print(stderr, "{}\n", reactor.error().detail);
        return 1;
    }
    delay::delay_relay relay(**reactor, delay_ms);
    std::string where;
    for (const delay::route& route : routes) {
        const auto port = relay.add(route);
        if (!port) {
            fmt::print(stderr, "{}\n", port.error().detail);
            return 1;
        }
        const auto address = config::parse_ip_address(route.listen.address);
        where +=
            " " + config::to_text(config::endpoint{address.value_or(config::ip_address{}), *port});
    }
    fmt::print("listening{}\n", where);
    std::fflush(stdout);
    process::run(**reactor, seconds);
    fmt::print("{{\"connections\":{},\"refused\":{},\"bytes\":{}}}\n",
               relay.totals().connections,
               relay.totals().refused,
               relay.totals().bytes);
    return 0;
}
