#include "config/server.h"

#include "config/dns_reader.h"
#include "config/reader.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>
#include <span>

namespace ebbgate::config {

namespace {

using json::value;
using std::chrono::seconds;

constexpr known_key server_keys[] = {
    {"hostname"},
    {"shards"},
    {"data_dir"},
    {"log_dir"},
    {"policy"},
    {"tls"},
    {"authorities"},
    {"mta_sts"},
    {"listeners"},
    {"admin"},
    {"dns"},
    {"limits"},
    {"spool"},
    {"io_uring"},
};
constexpr known_key tls_keys[] = {{"certificate"}, {"key"}};
constexpr known_key mta_sts_keys[] = {{"ca"}, {"connect_to"}};
constexpr known_key listener_keys[] = {
    {"name"},
    {"kind"},
    {"listen"},
    {"tenant"},
    {"proxies"},
    {"acme_webroot"},
    {"max_connections"},
    {"max_connections_per_ip"},
    {"max_requests_per_minute"},
    {"max_not_found_per_minute"},
};
// Of those above: what has a meaning for mail alone, and for files alone.
constexpr std::string_view mail_keys[] = {"proxies"};
constexpr std::string_view file_keys[] = {"acme_webroot",
                                          "max_connections",
                                          "max_connections_per_ip",
                                          "max_requests_per_minute",
                                          "max_not_found_per_minute"};
constexpr known_key admin_keys[] = {{"socket"}, {"listen"}};
constexpr known_key limit_keys[] = {
    {"max_connections"},
    {"max_connections_per_ip"},
    {"max_messages_per_connection"},
    {"max_errors_per_connection"},
    {"max_commands_per_connection"},
    {"client_timeout"},
    {"session_time"},
    {"counters"},
    {"data_processing_timeout", false},
    {"memory"},
};
constexpr known_key spool_keys[] = {{"segment_size"}, {"free_min"}, {"log_sync"}, {"inline_max"}};
constexpr known_key io_uring_keys[] = {
    {"defer_taskrun"},
    {"multishot_accept", false},
    {"multishot_recv", false},
    {"provided_buffers", false},
    {"fixed_files", false},
    {"zero_copy_send", false},
};

constexpr named_value listener_kinds[] = {
    {"smtp", static_cast<int>(listener_kind::smtp)},
    {"smtps", static_cast<int>(listener_kind::smtps)},
    {"pop3", not_built_value},
    {"pop3s", not_built_value},
    {"http", static_cast<int>(listener_kind::http)},
    {"https", static_cast<int>(listener_kind::https)},
};
constexpr named_value log_syncs[] = {
    {"auto", static_cast<int>(log_sync::automatic)},
    {"dsync", static_cast<int>(log_sync::dsync)},
    {"fsync", static_cast<int>(log_sync::fsync)},
};
constexpr named_value overrides[] = {
    {"auto", static_cast<int>(feature_override::automatic)},
    {"on", static_cast<int>(feature_override::on)},
    {"off", static_cast<int>(feature_override::off)},
};

class server_parser {
public:
    explicit server_parser(const std::string& file) : reader_(file) {
        result_.file = std::filesystem::absolute(file).lexically_normal().string();
        folder_ = folder_of(file);
    }

    std::expected<server, faults> parse(std::string_view text);

private:
    void parse_root(const value& root);
    void parse_shards(const value& at);
    void parse_tls(const value& at);
    void parse_listeners(const value& at);
    void parse_listener(const value& at);
    void parse_proxies(const value& at, listener& into);
    void parse_files(const value& at, listener& into);
    void refuse_keys(const value& at, listener_kind kind);
    std::optional<endpoint> parse_listen(const value& at);
    void parse_admin(const value& at);
    void parse_mta_sts(const value& at);
    void parse_limits(const value& at);
    void parse_spool(const value& at);
    void parse_io_uring(const value& at);
    void set_path(const value& object,
                  std::string_view key,
                  std::string_view expected,
                  std::string& into);

    reader reader_;
    std::string folder_;
    server result_;
    std::set<std::string, std::less<>> listener_names_;
    std::set<endpoint> endpoints_;
};

std::expected<server, faults> server_parser::parse(std::string_view text) {
    const auto document = json::document::parse(text);
    if (!document) {
        reader_.add_fault(document.error());
        return std::unexpected(reader_.take_faults());
    }
    parse_root(document->root());
    if (!reader_.found().empty()) {
        return std::unexpected(reader_.take_faults());
    }
    return std::move(result_);
}

void server_parser::parse_root(const value& root) {
    if (!reader_.object(root, server_keys)) {
        return;
    }
    if (const value* at = reader_.required(root, "hostname", "the name of this host in SMTP")) {
        const auto name = reader_.string(*at, "a host name");
        if (name && !is_host_name(*name)) {
            reader_.add_fault(*at,
                              fmt::format("expected a host name such as \"gate.example.net\", "
                                          "found \"{}\"",
                                          *name));
        } else if (name) {
            result_.hostname = lower_ascii(*name);
        }
    }
    if (const value* at = root.find("shards")) {
        parse_shards(*at);
    }
    set_path(root, "data_dir", "the folder of the spool", result_.data_dir);
    set_path(root, "log_dir", "the folder of the logs", result_.log_dir);
    set_path(root, "policy", "the policy file", result_.policy);
    if (const value* at = root.find("tls")) {
        parse_tls(*at);
    }
    if (root.find("authorities") != nullptr) {
        set_path(root,
                 "authorities",
                 "a PEM bundle of certificate authorities, or a folder of them",
                 result_.authorities);
    }
    if (const value* at = root.find("mta_sts")) {
        parse_mta_sts(*at);
    }
    if (const value* at = reader_.required(root, "listeners", "an array of listeners")) {
        parse_listeners(*at);
    }
    if (const value* at = root.find("admin")) {
        parse_admin(*at);
    }
    if (const value* at = root.find("dns")) {
        read_dns(reader_, *at, folder_, result_.dns);
    }
    if (const value* at = root.find("limits")) {
        parse_limits(*at);
    }
    if (const value* at = root.find("spool")) {
        parse_spool(*at);
    }
    if (const value* at = root.find("io_uring")) {
        parse_io_uring(*at);
    }
}

void server_parser::parse_shards(const value& at) {
    if (at.is_string() && at.text() == "auto") {
        result_.shards = 0;
    } else if (at.is(json::kind::integer) && at.integer() >= 1 && at.integer() <= shards_max) {
        result_.shards = static_cast<std::uint32_t>(at.integer());
    } else {
        reader_.add_fault(
            at, fmt::format("expected \"auto\" or a whole number from 1 to {}", shards_max));
    }
}

void server_parser::parse_tls(const value& at) {
    if (reader_.object(at, tls_keys)) {
        set_path(
            at, "certificate", "the PEM file of the certificate chain", result_.tls.certificate);
        set_path(at, "key", "the PEM file of the private key", result_.tls.key);
    }
}

void server_parser::parse_mta_sts(const value& at) {
    if (!reader_.object(at, mta_sts_keys)) {
        return;
    }
    if (at.find("ca") != nullptr) {
        set_path(at, "ca", "a PEM bundle of certificate authorities", result_.mta_sts.ca);
    }
    if (const value* to = at.find("connect_to")) {
        const auto text = reader_.string(*to, "\"IP:PORT\" or \"[IPV6]:PORT\"");
        result_.mta_sts.connect_to = text ? parse_endpoint(*text) : std::nullopt;
        if (text && !result_.mta_sts.connect_to) {
            reader_.add_fault(
                *to, fmt::format("expected \"IP:PORT\" or \"[IPV6]:PORT\", found \"{}\"", *text));
        }
    }
}

// Each port once, but for 0.
std::optional<endpoint> server_parser::parse_listen(const value& at) {
    const auto text = reader_.string(at, "\"IP:PORT\" or \"[IPV6]:PORT\"");
    const auto parsed = text ? parse_endpoint(*text) : std::nullopt;
    if (text && !parsed) {
        reader_.add_fault(
            at, fmt::format("expected \"IP:PORT\" or \"[IPV6]:PORT\", found \"{}\"", *text));
    } else if (parsed && parsed->port != 0 && !endpoints_.insert(*parsed).second) {
        reader_.add_fault(at, "another listener has this address; expected one of its own");
    }
    return parsed;
}

void server_parser::parse_listeners(const value& at) {
    if (!reader_.array(at, listeners_max)) {
        return;
    }
    if (at.children().empty()) {
        reader_.add_fault(at, "expected at least one listener");
    }
    for (const value& item : at.children()) {
        parse_listener(item);
    }
}

void server_parser::parse_listener(const value& at) {
    if (!reader_.object(at, listener_keys)) {
        return;
    }
    listener made;
    if (const value* name = reader_.required(at, "name", "a name for logs and status")) {
        made.name = reader_.string(*name, "a name for logs and status").value_or("");
        if (!made.name.empty() && !listener_names_.insert(made.name).second) {
            reader_.add_fault(*name,
                              fmt::format("the name \"{}\" is used by another listener; "
                                          "expected a name of its own",
                                          made.name));
        }
    }
    bool is_known = false;
    if (const value* kind =
            reader_.required(at, "kind", "\"smtp\", \"smtps\", \"http\" or \"https\"")) {
        const auto chosen = reader_.choice(*kind, listener_kinds);
        is_known = chosen.has_value();
        made.kind = static_cast<listener_kind>(chosen.value_or(0));
        const bool is_secure =
            made.kind == listener_kind::smtps || made.kind == listener_kind::https;
        if (is_known && is_secure && result_.tls.certificate.empty()) {
            reader_.add_fault(*kind,
                              fmt::format("{} needs a certificate; expected \"tls\": "
                                          "{{\"certificate\": ..., \"key\": ...}} in this file",
                                          name_of(made.kind)));
        }
    }
    if (const value* listen = reader_.required(at, "listen", "\"IP:PORT\" or \"[IPV6]:PORT\"")) {
        if (const auto parsed = parse_listen(*listen)) {
            made.listen = *parsed;
        }
    }
    if (const value* tenant = at.find("tenant")) {
        made.tenant = reader_.string(*tenant, "the name of a tenant").value_or("");
    }
    if (is_known) {
        refuse_keys(at, made.kind);
    }
    if (is_for_files(made.kind)) {
        parse_files(at, made);
    } else {
        parse_proxies(at, made);
    }
    result_.listeners.push_back(std::move(made));
}

void server_parser::refuse_keys(const value& at, listener_kind kind) {
    const std::span<const std::string_view> meaningless =
        is_for_files(kind) ? std::span<const std::string_view>(mail_keys)
                           : std::span<const std::string_view>(file_keys);
    for (const std::string_view key : meaningless) {
        if (const value* found = at.find(key)) {
            reader_.add_fault(
                *found, fmt::format("has no meaning for a listener of kind \"{}\"", name_of(kind)));
        }
    }
}

void server_parser::parse_files(const value& at, listener& into) {
    constexpr std::uint32_t count_max = 1'000'000;
    constexpr std::uint32_t connections_max = 50'000; // The table of clients holds more.
    file_limits& limits = into.files;
    reader_.set(at, "max_connections", limits.max_connections, 1, connections_max);
    reader_.set(at, "max_connections_per_ip", limits.max_connections_per_ip, 1, connections_max);
    reader_.set(at, "max_requests_per_minute", limits.max_requests_per_minute, 1, count_max);
    reader_.set(at, "max_not_found_per_minute", limits.max_not_found_per_minute, 1, count_max);
    if (at.find("acme_webroot") != nullptr) {
        set_path(at, "acme_webroot", "the webroot of an ACME client", into.acme_webroot);
    }
}

void server_parser::parse_proxies(const value& at, listener& into) {
    const value* proxies = at.find("proxies");
    if (proxies == nullptr || !reader_.array(*proxies, proxies_max)) {
        return;
    }
    for (const value& item : proxies->children()) {
        const auto text = reader_.string(item, "an address or a network");
        const auto network = text ? parse_ip_network(*text) : std::nullopt;
        if (network) {
            into.proxies.push_back(*network);
        } else if (text) {
            reader_.add_fault(item,
                              "expected an address or a network such as \"192.0.2.0/24\" "
                              "without host bits");
        }
    }
}

void server_parser::parse_admin(const value& at) {
    if (!reader_.object(at, admin_keys)) {
        return;
    }
    if (at.find("socket") != nullptr) {
        set_path(at, "socket", "the path of the admin socket", result_.admin_socket);
        // 107: sun_path holds 108 bytes with its end mark.
        constexpr std::size_t socket_path_max = 107;
        if (result_.admin_socket.size() > socket_path_max) {
            reader_.add_fault(*at.find("socket"),
                              fmt::format("the path has {} bytes; expected at most {}",
                                          result_.admin_socket.size(),
                                          socket_path_max));
        }
    }
    if (const value* listen = at.find("listen")) {
        result_.admin_listen = parse_listen(*listen);
        if (result_.admin_listen && !result_.admin_listen->address.is_loopback()) {
            reader_.add_fault(*listen,
                              "the admin listener speaks HTTP in clear text; expected a loopback "
                              "address such as \"127.0.0.1:8025\"");
        }
    }
}

void server_parser::parse_limits(const value& at) {
    if (!reader_.object(at, limit_keys)) {
        return;
    }
    constexpr std::uint32_t count_max = 1'000'000'000;
    connection_limits& limits = result_.limits;
    reader_.set(at, "max_connections", limits.max_connections, 1, 10'000'000);
    reader_.set(at, "max_connections_per_ip", limits.max_connections_per_ip, 1, 10'000'000);
    reader_.set(
        at, "max_messages_per_connection", limits.max_messages_per_connection, 1, count_max);
    reader_.set(at, "max_errors_per_connection", limits.max_errors_per_connection, 1, count_max);
    reader_.set(
        at, "max_commands_per_connection", limits.max_commands_per_connection, 1, count_max);
    reader_.set_duration(at, "client_timeout", limits.client_timeout, seconds(1), seconds(86'400));
    reader_.set_duration(at, "session_time", limits.session_time_max, seconds(1), seconds(86'400));
    reader_.set(at, "counters", limits.counters, 1024, 1U << 28);
    reader_.set_size(at, "memory", limits.memory_bytes, 16 * mib, std::uint64_t{1} << 50);
}

void server_parser::parse_spool(const value& at) {
    if (!reader_.object(at, spool_keys)) {
        return;
    }
    constexpr std::uint64_t segment_alignment = 4 * kib;
    spool_settings& spool = result_.spool;
    reader_.set_size(at, "segment_size", spool.segment_bytes, 4 * mib, 2 * gib);
    if (spool.segment_bytes % segment_alignment != 0) {
        reader_.add_fault(*at.find("segment_size"), "expected a multiple of 4KiB");
    }
    reader_.set_size(at, "free_min", spool.free_bytes_min, 0, std::uint64_t{1} << 50);
    if (const value* sync = at.find("log_sync")) {
        spool.log_sync = static_cast<log_sync>(reader_.choice(*sync, log_syncs).value_or(0));
    }
    const value* inline_max = at.find("inline_max");
    reader_.set_size(at, "inline_max", spool.inline_bytes_max, 0, 16 * mib);
    if (spool.inline_bytes_max > spool.segment_bytes / 4) {
        reader_.add_fault(inline_max == nullptr ? at : *inline_max,
                          "inline_max is too large; expected at most a quarter of segment_size");
    }
}

void server_parser::parse_io_uring(const value& at) {
    if (!reader_.object(at, io_uring_keys)) {
        return;
    }
    if (const value* found = at.find("defer_taskrun")) {
        result_.io_uring.defer_taskrun =
            static_cast<feature_override>(reader_.choice(*found, overrides).value_or(0));
    }
}

void server_parser::set_path(const value& object,
                             std::string_view key,
                             std::string_view expected,
                             std::string& into) {
    if (const value* at = reader_.required(object, key, expected)) {
        if (const auto path = reader_.string(*at, expected)) {
            into = resolve_path(*path, folder_);
        }
    }
}

} // namespace

std::string_view name_of(listener_kind kind) noexcept {
    for (const named_value& one : listener_kinds) {
        if (one.value == static_cast<int>(kind)) {
            return one.name;
        }
    }
    return {};
}

std::expected<server, faults> parse(std::string_view text, const std::string& file) {
    return server_parser(file).parse(text);
}

std::expected<server, faults> load(const std::string& path) {
    const auto text = read_file(path);
    if (!text) {
        return std::unexpected(text.error());
    }
    return parse(*text, path);
}

} // namespace ebbgate::config
