// ebbgate-sink: receives mail for tests, counts it, finds what is missing or doubled.

#include "config/address.h"
#include "program/sink/sink.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <fstream>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

volatile std::sig_atomic_t stop_asked = 0;

// COMMAND:WHAT[/N][@PATTERN], for instance rcpt:defer/10@d3.test.
bool parse_rule(std::string text, sink::rule& rule) {
    if (const std::size_t at = text.find('@'); at != std::string::npos) {
        rule.pattern = text.substr(at + 1);
        text.resize(at);
    }
    if (const std::size_t slash = text.find('/'); slash != std::string::npos) {
        rule.one_in = static_cast<std::uint32_t>(std::max(1, std::atoi(text.c_str() + slash + 1)));
        text.resize(slash);
    }
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) {
        return false;
    }
    rule.command = text.substr(0, colon);
    const std::string what = text.substr(colon + 1);
    if (what == "defer") {
        rule.what = sink::misdeed::defer;
    } else if (what == "refuse") {
        rule.what = sink::misdeed::refuse;
    } else if (what == "drop") {
        rule.what = sink::misdeed::drop;
    } else if (what == "delay") {
        rule.what = sink::misdeed::delay;
    } else {
        return false;
    }
    for (const char* known : {"connect", "ehlo", "mail", "rcpt", "data", "dot"}) {
        if (rule.command == known) {
            return true;
        }
    }
    return false;
}

std::string totals_json(const sink::sink& sink) {
    const sink::sink_totals& totals = sink.totals();
    return fmt::format("{{\"messages\":{},\"unique\":{},\"duplicates\":{},\"missing\":{},"
                       "\"unnumbered\":{},\"recipients\":{},\"bytes\":{},\"connections\":{},"
                       "\"misdeeds\":{}}}",
                       totals.messages,
                       totals.ids.size(),
                       totals.duplicates,
                       sink.missing(),
                       totals.unnumbered,
                       totals.recipients,
                       totals.bytes,
                       totals.connections,
                       totals.misdeeds);
}

void write_file(const std::string& path, const std::string& text) {
    if (!path.empty()) {
        const std::string made = path + ".new";
        std::ofstream(made) << text << "\n";
        (void)std::rename(made.c_str(), path.c_str());
    }
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"ebbgate-sink: an SMTP server that counts"};
    sink::sink_options options;
    std::string listen = "127.0.0.1:0";
    std::string ready_file;
    std::string json_file;
    std::string ids_file;
    std::vector<std::string> rules;
    double seconds = 0;
    bool no_pipelining = false;
    app.add_option("--listen", listen, "ADDRESS:PORT, an IPv6 address in brackets; port 0 for any");
    app.add_option("--expect", options.expected, "how many different messages will come");
    app.add_option("--rule", rules, "COMMAND:defer|refuse|drop|delay[/N][@PATTERN], repeatable");
    app.add_option("--delay", options.delay_ms, "milliseconds, for rules with delay");
    app.add_option("--maildir", options.maildir, "write each message there");
    app.add_option("--ready-file", ready_file, "written with ADDRESS:PORT when listening");
    app.add_option("--json", json_file, "totals, kept up to date");
    app.add_option("--ids", ids_file, "at the end, every Message-ID that came, one a line");
    app.add_option("--seconds", seconds, "stop after this time");
    app.add_flag("--no-pipelining", no_pipelining, "do not offer PIPELINING");
    CLI11_PARSE(app, argc, argv);
    for (const std::string& text : rules) {
        options.rules.emplace_back();
        if (!parse_rule(text, options.rules.back())) {
            fmt::print(stderr, "--rule {}: want COMMAND:WHAT[/N][@PATTERN]\n", text);
            return 2;
        }
    }
    const auto endpoint = config::parse_endpoint(listen);
    if (!endpoint) {
        fmt::print(stderr, "--listen wants ADDRESS:PORT, an IPv6 address in brackets\n");
        return 2;
    }
    options.listen = {config::to_text(endpoint->address), endpoint->port};
    options.offer_pipelining = !no_pipelining;
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    std::signal(SIGTERM, [](int) { stop_asked = 1; });
    std::signal(SIGINT, [](int) { stop_asked = 1; });

    auto reactor = task::reactor::open({});
    if (!reactor) {
        fmt::print(stderr, "{}\n", reactor.error().detail);
        return 1;
    }
    sink::sink sink(**reactor, options);
    const auto port = sink.start();
    if (!port) {
        fmt::print(stderr, "{}\n", port.error().detail);
        return 1;
    }
    const std::string where = config::to_text(config::endpoint{endpoint->address, *port});
    fmt::print("listening {}\n", where);
    std::fflush(stdout);
    write_file(ready_file, where);

    const std::uint64_t begun_ms = (*reactor)->now_ms();
    std::uint64_t written_ms = 0;
    while (stop_asked == 0) {
        (*reactor)->run_once(100);
        const std::uint64_t now_ms = (*reactor)->now_ms();
        if (!json_file.empty() && now_ms - written_ms > 200) {
            written_ms = now_ms;
            write_file(json_file, totals_json(sink));
        }
        if (seconds > 0 && static_cast<double>(now_ms - begun_ms) > seconds * 1e3) {
            break;
        }
    }
    if (!ids_file.empty()) {
        std::ofstream out(ids_file);
        for (const std::string& id : sink.totals().ids) {
            out << id << "\n";
        }
    }
    const std::string totals = totals_json(sink);
    write_file(json_file, totals);
    fmt::print("{}\n", totals);
    return options.expected > 0 && !sink.complete() ? 1 : 0;
}
