// Asks as the gateway does and prints what comes.
//
//   dns_ask [--server IP:PORT]... [--anchor FILE] [--timeout-ms N] [--family F] [--private]
//           [--own NAME] [--own-address IP] [--asked-max N] [--waiting-max N] [--hosts FILE]
//
// Input   A line in standard input: questions that are asked at once, each KIND:NAME. A KIND is
//         route, host, or a type of record: mx, a, aaaa, txt, tlsa, ptr, cname. "KIND:NAME*9" is
//         asked nine times. "probe:NAME" asks whether the servers pass DNSSEC on. "counts:" and
//         "forget:" and "stop:" are answered at once.
// Output  A line of JSON for each answer, as they come, then an empty line.

#include "codec/dns/rdata.h"
#include "codec/json/writer.h"
#include "runtime/resolve/address_rules.h"
#include "runtime/resolve/dnssec_probe.h"
#include "runtime/resolve/mail_hosts.h"
#include "runtime/resolve/resolver.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

struct named_type {
    std::string_view name;
    dns::record_type type;
};

constexpr named_type types[] = {
    {"mx", dns::record_type::mx},
    {"a", dns::record_type::a},
    {"aaaa", dns::record_type::aaaa},
    {"txt", dns::record_type::txt},
    {"tlsa", dns::record_type::tlsa},
    {"ptr", dns::record_type::ptr},
    {"cname", dns::record_type::cname},
};

constexpr named_type families[] = {
    {"any", static_cast<dns::record_type>(config::address_family::any)},
    {"ipv4", static_cast<dns::record_type>(config::address_family::ipv4)},
    {"ipv6", static_cast<dns::record_type>(config::address_family::ipv6)},
    {"prefer_ipv4", static_cast<dns::record_type>(config::address_family::prefer_ipv4)},
};

std::string_view name_of(dns::answer_status status) {
    constexpr std::string_view names[] = {"found", "no_data", "no_name", "trouble"};
    return names[static_cast<std::size_t>(status)];
}

std::uint64_t number_in(std::string_view text) {
    std::uint64_t value = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string shown(dns::record_type type, const std::string& rdata) {
    std::optional<std::string> text;
    switch (type) {
    case dns::record_type::mx:
        if (const auto one = dns::read_mx(rdata)) {
            text = std::to_string(one->preference) + " " + one->host;
        }
        break;
    case dns::record_type::a:
    case dns::record_type::aaaa: {
        const auto one = type == dns::record_type::a ? dns::read_a(rdata) : dns::read_aaaa(rdata);
        text = one ? std::optional(config::to_text(*one)) : std::nullopt;
        break;
    }
    case dns::record_type::txt:
        text = dns::read_txt(rdata);
        break;
    case dns::record_type::tlsa:
        if (const auto one = dns::read_tlsa(rdata)) {
            text = std::to_string(one->usage) + " " + std::to_string(one->selector) + " " +
                   std::to_string(one->matching) + " " + std::to_string(one->data.size());
        }
        break;
    case dns::record_type::ptr:
    case dns::record_type::cname:
        text = dns::read_name(rdata);
        break;
    }
    return text.value_or("(malformed)");
}

void print(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

void print_answer(const std::string& question, dns::record_type type, const dns::answer& found) {
    std::string line;
    json::writer out(line);
    out.begin_object().member("question", question).member("status", name_of(found.status));
    out.member("secure", found.secure)
        .member("bogus", found.bogus)
        .member("ttl", found.ttl_seconds);
    out.member("canonical", found.canonical_name).member("text", found.text);
    out.key("records").begin_array();
    for (const std::string& rdata : found.rdata) {
        out.string(shown(type, rdata));
    }
    out.end_array().end_object();
    print(line);
}

void put_addresses(json::writer& out, const std::vector<config::ip_address>& addresses) {
    out.key("addresses").begin_array();
    for (const config::ip_address& address : addresses) {
        out.string(config::to_text(address));
    }
    out.end_array();
}

void print_host(const std::string& question, const dns::host_addresses& host) {
    std::string line;
    json::writer out(line);
    out.begin_object().member("question", question).member("status", name_of(host.status));
    out.member("canonical", host.canonical_name).member("secure", host.secure);
    out.member("text", host.text);
    put_addresses(out, host.addresses);
    out.end_object();
    print(line);
}

void print_route(const std::string& question,
                 const dns::mail_route& route,
                 std::uint64_t now_ms,
                 std::uint64_t seed) {
    std::string line;
    json::writer out(line);
    const dns::refusal refusal = dns::refusal_of(route.verdict);
    out.begin_object().member("question", question).member("verdict", name_of(route.verdict));
    out.member("code", refusal.code).member("status", refusal.status);
    out.member("mx_secure", route.mx_secure).member("implicit", route.implicit);
    out.member("canonical", route.canonical_domain).member("lane", route.lane_key);
    out.member("text", route.text).member("for_ms", route.until_ms - now_ms);
    out.key("hosts").begin_array();
    for (const dns::mail_host& host : route.hosts) {
        out.begin_object().member("name", host.name).member("preference", host.preference);
        out.member("canonical", host.canonical_name).member("secure", host.secure);
        put_addresses(out, host.addresses);
        out.end_object();
    }
    out.end_array().key("order").begin_array();
    for (const dns::route_target& target : dns::in_order(route, seed)) {
        out.string(target.host->name + " " + config::to_text(target.address));
    }
    out.end_array().end_object();
    print(line);
}

class program {
public:
    int run(const std::vector<std::string_view>& arguments);

private:
    bool read(const std::vector<std::string_view>& arguments);
    void ask(const std::string& question);
    bool answer_at_once(const std::string& question);

    void one_answered() { --missing_; }

    dns::resolver_settings settings_;
    dns::mail_hosts_settings hosts_settings_;
    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<dns::resolver> resolver_;
    std::unique_ptr<dns::mail_hosts> hosts_;
    std::uint64_t seed_ = 0;
    std::size_t missing_ = 0;
};

bool program::read(const std::vector<std::string_view>& arguments) {
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        const std::string_view name = arguments[i];
        if (name == "--private") {
            hosts_settings_.rules.allow_private = true;
            continue;
        }
        if (++i == arguments.size()) {
            return false;
        }
        const std::string value(arguments[i]);
        if (name == "--server") {
            settings_.context.servers.push_back(config::parse_endpoint(value).value());
        } else if (name == "--anchor") {
            settings_.context.trust_anchor = value;
        } else if (name == "--hosts") {
            settings_.context.hosts = value;
        } else if (name == "--timeout-ms") {
            settings_.timeout = std::chrono::milliseconds(number_in(value));
        } else if (name == "--asked-max") {
            settings_.asked_max = number_in(value);
        } else if (name == "--waiting-max") {
            settings_.waiting_max = number_in(value);
        } else if (name == "--lifetime-min-ms") {
            hosts_settings_.lifetime_min_ms = number_in(value);
        } else if (name == "--own") {
            hosts_settings_.rules.own_names.push_back(value);
        } else if (name == "--own-address") {
            hosts_settings_.rules.own_addresses.push_back(config::parse_ip_address(value).value());
        } else if (name == "--family") {
            for (const named_type& family : families) {
                if (family.name == value) {
                    hosts_settings_.rules.family = static_cast<config::address_family>(family.type);
                }
            }
        } else {
            return false;
        }
    }
    return true;
}

bool program::answer_at_once(const std::string& question) {
    if (question == "stop:") {
        resolver_->stop();
    } else if (question == "forget:") {
        hosts_->forget();
    } else if (question.starts_with("probe:")) {
        constexpr std::string_view names[] = {"passed", "dropped", "unknown"};
        const auto support =
            dns::probe_dnssec(settings_.context, question.substr(6), settings_.timeout);
        print(fmt::format("\"{}\"", names[static_cast<std::size_t>(support)]));
    } else if (question == "counts:") {
        const dns::resolver_counts counts = resolver_->counts();
        std::string line;
        json::writer out(line);
        out.begin_object().member("asked", counts.asked).member("found", counts.found);
        out.member("nothing", counts.nothing).member("trouble", counts.trouble);
        out.member("bogus", counts.bogus).member("timed_out", counts.timed_out);
        out.member("refused", counts.refused).member("unanswered", counts.unanswered);
        out.end_object();
        print(line);
    } else {
        return false;
    }
    return true;
}

void program::ask(const std::string& question) {
    const std::size_t colon = question.find(':');
    const std::string kind = question.substr(0, colon);
    const std::string name = question.substr(std::min(colon, question.size() - 1) + 1);
    if (answer_at_once(question)) {
        return;
    }
    ++missing_;
    if (kind == "route") {
        hosts_->find(name, [this, question](const dns::route_pointer& route) {
            print_route(question, *route, reactor_->now_ms(), ++seed_);
            one_answered();
        });
        return;
    }
    if (kind == "host") {
        hosts_->find_host(name, [this, question](const dns::host_pointer& host) {
            print_host(question, *host);
            one_answered();
        });
        return;
    }
    for (const named_type& one : types) {
        if (one.name == kind) {
            resolver_->ask(
                *reactor_, name, one.type, [this, question, one](const dns::answer& found) {
                    print_answer(question, one.type, found);
                    one_answered();
                });
            return;
        }
    }
    one_answered();
}

int program::run(const std::vector<std::string_view>& arguments) {
    if (!read(arguments)) {
        std::fputs("dns_ask: an option that it does not know, or without a value\n", stderr);
        return 2;
    }
    auto reactor = task::reactor::open({});
    auto resolver = dns::resolver::open(settings_);
    if (!reactor || !resolver) {
        const std::string& why = reactor ? resolver.error().detail : reactor.error().detail;
        std::fprintf(stderr, "dns_ask: %s\n", why.c_str());
        return 1;
    }
    reactor_ = std::move(*reactor);
    resolver_ = std::move(*resolver);
    hosts_ = std::make_unique<dns::mail_hosts>(*reactor_, *resolver_, hosts_settings_);
    std::string line;
    while (std::getline(std::cin, line)) {
        reactor_->run_once(0);
        std::istringstream questions(line);
        std::string question;
        while (questions >> question) {
            const std::size_t star = std::min(question.find('*'), question.size());
            const std::uint64_t times =
                star == question.size() ? 1
                                        : number_in(std::string_view(question).substr(star + 1));
            for (std::uint64_t i = 0; i < times; ++i) {
                ask(question.substr(0, star));
            }
        }
        while (missing_ > 0) {
            reactor_->run_once(1000);
        }
        print("");
    }
    resolver_->stop();
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    return program().run({argv, argv + argc});
}
