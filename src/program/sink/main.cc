// ebbgate-sink: receives mail for tests, counts it, finds what is missing or doubled.

#include "config/address.h"
#include "program/process/file_limit.h"
#include "program/process/run.h"
#include "program/sink/sink.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

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

template <typename map, typename shown>
std::string counts_json(const map& counts, shown show) {
    std::string out;
    for (const auto& [key, count] : counts) {
        out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", show(key), count);
    }
    return "{" + out + "}";
}

// A name as a peer gave it, within quotes.
std::string quotable(const std::string& name) {
    std::string out = name;
    for (char& c : out) {
        c = c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
    }
    return out;
}

std::string totals_json(const sink::sink& sink, bool at_end) {
    const sink::sink_totals& totals = sink.totals();
    std::string out =
        fmt::format("{{\"messages\":{},\"unique\":{},\"duplicates\":{},\"missing\":{},"
                    "\"unnumbered\":{},\"recipients\":{},\"bytes\":{},\"connections\":{},"
                    "\"misdeeds\":{},\"handshakes\":{},\"by_bdat\":{},\"source_count\":{},"
                    "\"destination_count\":{},\"turned_away\":{},\"open_most\":{}",
                    totals.messages,
                    totals.ids.size(),
                    totals.duplicates,
                    sink.missing(),
                    totals.unnumbered,
                    totals.recipients,
                    totals.bytes,
                    totals.connections,
                    totals.misdeeds,
                    totals.handshakes,
                    totals.by_bdat,
                    totals.sources.size(),
                    totals.destinations.size(),
                    totals.turned_away,
                    totals.open_most);
    if (at_end) { // There may be many: not several times a second.
        out += ",\"sources\":" + counts_json(totals.sources, [](const auto& address) {
                   return config::to_text(address);
               });
        out += ",\"open_most_by_source\":" +
               counts_json(totals.open_most_by_source,
                           [](const auto& address) { return config::to_text(address); });
        out += ",\"destinations\":" + counts_json(totals.destinations, [](const auto& endpoint) {
                   return config::to_text(endpoint);
               });
        out += ",\"ehlo\":" + counts_json(totals.names, quotable);
    }
    return out + "}";
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
    std::vector<std::string> listen;
    std::vector<std::string> offers;
    std::string certificate;
    std::string key;
    std::uint32_t port_count = 1;
    bool everywhere = false;
    std::string ready_file;
    std::string json_file;
    std::string ids_file;
    std::vector<std::string> rules;
    double seconds = 0;
    bool no_pipelining = false;
    app.add_option("--listen",
                   listen,
                   "ADDRESS:PORT, an IPv6 address in brackets; port 0 for any; repeatable. With "
                   "0.0.0.0 only what comes to 127.0.0.0/8 is taken");
    app.add_flag("--everywhere", everywhere, "take what comes to other addresses too");
    app.add_option("--port-count", port_count, "so many ports from each --listen on");
    app.add_option("--offer", offers, "EHLO keywords instead of the usual ones, A,B or repeated")
        ->delimiter(',');
    app.add_option("--tls-certificate", certificate, "PEM file; STARTTLS is then offered");
    app.add_option("--tls-key", key, "PEM file");
    app.add_option("--messages-per-connection",
                   options.messages_per_connection,
                   "then MAIL is answered with 421");
    app.add_option("--connections-at-once",
                   options.connections_at_once,
                   "of one source; further ones are answered with 421");
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
    if (listen.empty()) {
        listen.emplace_back("127.0.0.1:0");
    }
    std::vector<config::endpoint> endpoints;
    for (const std::string& text : listen) {
        const auto endpoint = config::parse_endpoint(text);
        if (!endpoint || endpoint->port + port_count > 65'536) {
            fmt::print(stderr, "--listen wants ADDRESS:PORT, an IPv6 address in brackets\n");
            return 2;
        }
        for (std::uint32_t more = 0; more < port_count; ++more) {
            endpoints.push_back(*endpoint);
            endpoints.back().port += static_cast<std::uint16_t>(endpoint->port == 0 ? 0 : more);
            options.listen.push_back({config::to_text(endpoint->address), endpoints.back().port});
        }
    }
    options.only_loopback =
        !everywhere && std::any_of(endpoints.begin(), endpoints.end(), [](const auto& one) {
            return one.address == *config::parse_ip_address("0.0.0.0");
        });
    options.offers = offers;
    if (offers.empty()) {
        options.offers = {
            "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "SIZE 2147483648"};
        if (no_pipelining) {
            options.offers = {"8BITMIME"};
        }
    }
    if (!certificate.empty()) {
        tls::initialise();
        auto made = tls::context::for_server(certificate, key);
        if (!made) {
            fmt::print(stderr, "{}\n", made.error().detail);
            return 2;
        }
        options.tls = std::move(*made);
    }
    process::raise_file_limit();
    process::catch_stop_signals();

    auto reactor = task::reactor::open({});
    if (!reactor) {
        fmt::print(stderr, "{}\n", reactor.error().detail);
        return 1;
    }
    sink::sink sink(**reactor, options);
    const auto ports = sink.start();
    if (!ports) {
        fmt::print(stderr, "{}\n", ports.error().detail);
        return 1;
    }
    std::string where;
    for (std::size_t index = 0; index < endpoints.size(); ++index) {
        endpoints[index].port = (*ports)[index];
        where += (index > 0 ? " " : "") + config::to_text(endpoints[index]);
    }
    fmt::print("listening {}\n", where);
    std::fflush(stdout);
    write_file(ready_file, where);

    std::uint64_t written_ms = 0;
    process::run(**reactor, seconds, [&](std::uint64_t now_ms) {
        if (!json_file.empty() && now_ms - written_ms > 200) {
            written_ms = now_ms;
            write_file(json_file, totals_json(sink, false));
        }
    });
    if (!ids_file.empty()) {
        std::ofstream out(ids_file);
        for (const std::string& id : sink.totals().ids) {
            out << id << "\n";
        }
    }
    const std::string totals = totals_json(sink, true);
    write_file(json_file, totals);
    fmt::print("{}\n", totals);
    return options.expected > 0 && !sink.complete() ? 1 : 0;
}
