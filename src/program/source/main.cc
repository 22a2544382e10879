// ebbgate-source: sends many messages over many sessions and says how it went.

#include "config/address.h"
#include "program/process/file_limit.h"
#include "program/source/load.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

float percentile(std::vector<float>& sorted, double share) {
    if (sorted.empty()) {
        return 0;
    }
    const auto last = static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<std::size_t>(share * last)];
}

// CRLF line ends, dots stuffed: the form in which DATA wants it, without the end mark.
std::string wire_form(const std::string& text) {
    std::string wire;
    bool line_start = true;
    for (const char c : text) {
        if (c == '\r') {
            continue;
        }
        if (c == '\n') {
            wire += "\r\n";
            line_start = true;
            continue;
        }
        if (line_start && c == '.') {
            wire += '.';
        }
        wire += c;
        line_start = false;
    }
    if (!wire.ends_with("\r\n")) {
        wire += "\r\n";
    }
    return wire;
}

bool read_folder(const std::string& folder, std::vector<std::string>& bodies) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.is_regular_file()) {
            std::ifstream in(entry.path(), std::ios::binary);
            std::string text((std::istreambuf_iterator<char>(in)), {});
            bodies.push_back(wire_form(text));
        }
    }
    return !error && !bodies.empty();
}

void print(source::load_result& result, const source::load_options& options, bool as_json) {
    std::sort(result.latency_ms.begin(), result.latency_ms.end());
    const double rate = static_cast<double>(result.acknowledged) / result.seconds;
    std::string refusals;
    for (const auto& [code, count] : result.refusals) {
        refusals += fmt::format("{}\"{}\":{}", refusals.empty() ? "" : ",", code, count);
    }
    const float p50 = percentile(result.latency_ms, 0.5);
    const float p99 = percentile(result.latency_ms, 0.99);
    const float max = percentile(result.latency_ms, 1);
    if (as_json) {
        fmt::print("{{\"messages\":{},\"acknowledged\":{},\"seconds\":{:.3f},\"rate\":{:.1f},"
                   "\"connections\":{},\"network_errors\":{},\"bytes\":{},"
                   "\"latency_ms\":{{\"p50\":{:.2f},\"p99\":{:.2f},\"max\":{:.2f}}},"
                   "\"refusals\":{{{}}}}}\n",
                   options.messages,
                   result.acknowledged,
                   result.seconds,
                   rate,
                   result.connections,
                   result.network_errors,
                   result.bytes,
                   p50,
                   p99,
                   max,
                   refusals);
    } else {
        fmt::print("acknowledged {} of {} in {:.2f} s: {:.0f} messages/s, {:.1f} MB/s\n"
                   "latency p50 {:.2f} ms, p99 {:.2f} ms, max {:.2f} ms; {} connections\n",
                   result.acknowledged,
                   options.messages,
                   result.seconds,
                   rate,
                   static_cast<double>(result.bytes) / 1e6 / result.seconds,
                   p50,
                   p99,
                   max,
                   result.connections);
    }
    if (!result.last_refusal.empty()) {
        fmt::print(stderr, "last refusal: {:?}\n", result.last_refusal);
    }
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"ebbgate-source: an SMTP load generator"};
    source::load_options options;
    std::string target;
    std::string size = "4096";
    std::string tls_name = "off";
    std::string password_file;
    std::string folder;
    std::string ids_file;
    bool as_json = false;
    bool no_pipelining = false;
    app.add_option("--target", target, "ADDRESS:PORT, an IPv6 address in brackets")->required();
    app.add_option("--sessions", options.sessions, "sessions at once")
        ->check(CLI::Range(1, 100000));
    app.add_option("--messages", options.messages, "messages in all");
    app.add_option("--per-connection", options.per_connection, "messages a connection");
    app.add_option("--size", size, "body bytes: N, or A-B");
    app.add_option("--folder", folder, "send the messages in this folder in turn");
    app.add_option("--recipients", options.recipients, "recipients a message")
        ->check(CLI::Range(1, 10000));
    app.add_option("--domains", options.domains, "recipient domains")
        ->check(CLI::Range(1, 1000000));
    app.add_option("--tls", tls_name, "off, starttls or implicit")
        ->check(CLI::IsMember({"off", "starttls", "implicit"}));
    app.add_option("--user", options.user, "login for AUTH PLAIN");
    app.add_option("--password-file", password_file, "file with the password");
    app.add_option("--sender", options.sender, "envelope sender");
    app.add_option("--run", options.run, "name of this run, in each Message-ID");
    app.add_option("--acknowledged-ids", ids_file, "write each acknowledged Message-ID there");
    app.add_option("--rate", options.rate_per_second, "messages a second at most");
    app.add_option("--duration", options.duration_seconds, "seconds after which to stop");
    app.add_flag("--no-pipelining", no_pipelining, "wait for each reply");
    app.add_flag("--json", as_json, "result as one JSON object");
    CLI11_PARSE(app, argc, argv);

    const auto where = config::parse_endpoint(target);
    if (!where) {
        fmt::print(stderr, "--target wants ADDRESS:PORT, an IPv6 address in brackets\n");
        return 2;
    }
    options.target = {config::to_text(where->address), where->port};
    const std::size_t dash = size.find('-');
    options.size_min = std::strtoull(size.c_str(), nullptr, 10);
    options.size_max = dash == std::string::npos
                           ? options.size_min
                           : std::strtoull(size.c_str() + dash + 1, nullptr, 10);
    if (options.size_max < options.size_min) {
        fmt::print(stderr, "--size wants N, or A-B with A not above B\n");
        return 2;
    }
    options.pipelining = !no_pipelining;
    options.tls = tls_name == "off"        ? source::tls_use::off
                  : tls_name == "starttls" ? source::tls_use::starttls
                                           : source::tls_use::implicit;
    if (!password_file.empty()) {
        std::ifstream in(password_file);
        std::getline(in, options.password);
    }
    if (!folder.empty() && !read_folder(folder, options.bodies)) {
        fmt::print(stderr, "no messages in {}\n", folder);
        return 2;
    }
    if (!ids_file.empty()) {
        options.acknowledged_ids = std::fopen(ids_file.c_str(), "ae");
        if (options.acknowledged_ids == nullptr) {
            fmt::print(stderr, "{} cannot be written\n", ids_file);
            return 2;
        }
    }
    process::raise_file_limit();

    tls::initialise();
    auto context = tls::context::for_client();
    auto reactor = task::reactor::open({});
    if (!context || !reactor) {
        fmt::print(stderr, "{}\n", context ? reactor.error().detail : context.error().detail);
        return 1;
    }
    source::load_result result;
    const bool complete = [&] {
        source::load load(**reactor, options, *context);
        result = load.run(!as_json);
        return result.acknowledged == options.messages;
    }();
    print(result, options, as_json);
    return complete ? 0 : 1;
}
