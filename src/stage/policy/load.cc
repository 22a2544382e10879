#include "config/reader.h"
#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <map>

namespace ebbgate::policy {

using config::known_key;
using config::named_value;
using config::not_built_value;
using json::value;
using std::chrono::seconds;

namespace {

constexpr known_key policy_keys[] = {
    {"tenants"},
    {"routes"},
    {"delivery"},
    {"bans", false},
    {"defaults", false},
};
constexpr known_key delivery_keys[] = {
    {"retry"},
    {"connections_per_destination"},
    {"messages_per_connection"},
    {"idle_timeout"},
};
constexpr known_key retry_keys[] = {
    {"first"},
    {"factor"},
    {"max"},
    {"max_age"},
    {"delay_notice", false},
};
constexpr known_key route_keys[] = {{"match"}, {"relay"}, {"tls"}, {"source", false}};
constexpr known_key tenant_keys[] = {
    {"name"},
    {"company"},
    {"hostname"},
    {"accounts"},
    {"relay_hosts"},
    {"limits"},
    {"tls", false},
    {"egress", false},
    {"authorized_senders", false},
    {"domains", false},
    {"attachments", false},
    {"filelink", false},
    {"bcc", false},
    {"dkim", false},
    {"unsigned", false},
};
constexpr known_key account_keys[] = {{"login"}, {"password"}};
constexpr known_key limit_keys[] = {
    {"recipients_per_message"},
    {"upload_size"},
    {"message_size"},
    {"messages_per_sender", false},
};
constexpr named_value tls_modes[] = {
    {"off", static_cast<int>(tls_mode::off)},
    {"opportunistic", static_cast<int>(tls_mode::opportunistic)},
    {"required", static_cast<int>(tls_mode::required)},
};
constexpr std::string_view relay_expected =
    "\"HOST:PORT\", \"[IPV6]:PORT\", \"discard\" or \"hold\"";

// crypt(3) methods that are worth storing a password with; the old ones are refused.
constexpr std::string_view hash_prefixes[] = {
    "$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$6$", "$5$"};

constexpr std::size_t login_bytes_max = 255;
constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t company_bytes_max = 256;
// 384: CRYPT_OUTPUT_SIZE of crypt(3).
constexpr std::size_t hash_bytes_max = 384;
constexpr std::size_t hash_bytes_min = 20;

bool is_password_hash(std::string_view text) {
    const bool known =
        std::any_of(std::begin(hash_prefixes),
                    std::end(hash_prefixes),
                    [text](std::string_view prefix) { return text.starts_with(prefix); });
    return known && text.size() >= hash_bytes_min && text.size() < hash_bytes_max &&
           std::all_of(
               text.begin(),
               text.end(),
               [](char c) {
                   return c > ' ' && c < 0x7f &&
                          std::string_view(":;*!\\").find(c) == std::string_view::npos;
               });
}

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

std::string_view name_of(tls_mode mode) {
    return tls_modes[static_cast<std::size_t>(mode)].name;
}

} // namespace

class snapshot_builder {
public:
    explicit snapshot_builder(const std::string& file)
        : reader_(file), built_(std::make_shared<snapshot>()) {}

    std::expected<snapshot_pointer, config::faults> parse(std::string_view text);

private:
    void parse_root(const value& root);
    void parse_delivery(const value& at);
    void parse_retry(const value& at);
    void parse_route(const value& at);
    void parse_match(const value& at, route& into);
    void parse_relay(const value& at, route& into);
    void index_route(const value& at);
    void parse_tenant(const value& at);
    void parse_names(const value& at, tenant& into);
    void parse_accounts(const value& at, tenant& into);
    void parse_account(const value& at, tenant& into);
    void parse_relay_hosts(const value& at, tenant& into);
    void parse_limits(const value& at, tenant& into);
    void index_relay_hosts();

    [[nodiscard]] std::uint32_t tenant_index() const {
        return static_cast<std::uint32_t>(built_->tenants_.size());
    }

    config::reader reader_;
    std::shared_ptr<snapshot> built_;
    std::map<config::ip_network, std::uint32_t> networks_; // To the tenant.
    std::size_t accounts_ = 0;
};

std::expected<snapshot_pointer, config::faults> snapshot_builder::parse(std::string_view text) {
    const auto document = json::document::parse(text);
    if (!document) {
        reader_.add_fault(document.error());
        return std::unexpected(reader_.take_faults());
    }
    parse_root(document->root());
    if (!reader_.found().empty()) {
        return std::unexpected(reader_.take_faults());
    }
    index_relay_hosts();
    built_->fingerprint_ = XXH3_64bits(text.data(), text.size());
    return built_;
}

void snapshot_builder::parse_root(const value& root) {
    if (!reader_.object(root, policy_keys)) {
        return;
    }
    if (const value* at = root.find("delivery")) {
        parse_delivery(*at);
    }
    if (const value* at = reader_.required(root, "routes", "an array of routes")) {
        if (reader_.array(*at, routes_max)) {
            if (at->children().empty()) {
                reader_.add_fault(*at,
                                  "expected at least one route, such as {\"match\": \"*\", "
                                  "\"relay\": \"smarthost.example:25\"}");
            }
            for (const value& item : at->children()) {
                parse_route(item);
            }
        }
    }
    if (const value* at = reader_.required(root, "tenants", "an array of tenants")) {
        if (reader_.array(*at, tenants_max)) {
            for (const value& item : at->children()) {
                parse_tenant(item);
            }
        }
    }
}

void snapshot_builder::parse_delivery(const value& at) {
    if (!reader_.object(at, delivery_keys)) {
        return;
    }
    delivery_settings& delivery = built_->delivery_;
    if (const value* retry = at.find("retry")) {
        parse_retry(*retry);
    }
    reader_.set(at, "connections_per_destination", delivery.connections_per_destination, 1, 10'000);
    reader_.set(at, "messages_per_connection", delivery.messages_per_connection, 1, 1'000'000);
    reader_.set_duration(at, "idle_timeout", delivery.idle_timeout, seconds(0), seconds(3600));
}

void snapshot_builder::parse_retry(const value& at) {
    if (!reader_.object(at, retry_keys)) {
        return;
    }
    constexpr seconds day(86'400);
    retry_settings& retry = built_->delivery_.retry;
    reader_.set_duration(at, "first", retry.first, seconds(1), day);
    if (const value* factor = at.find("factor")) {
        retry.factor = reader_.real_number(*factor, 1, 100).value_or(retry.factor);
    }
    reader_.set_duration(at, "max", retry.max, seconds(1), 7 * day);
    reader_.set_duration(at, "max_age", retry.max_age, seconds(1), 60 * day);
    if (retry.max < retry.first) {
        const value* max = at.find("max");
        reader_.add_fault(max == nullptr ? at : *max,
                          "retry.max is shorter than retry.first; expected at least as long");
    }
}

void snapshot_builder::parse_route(const value& at) {
    route made;
    if (reader_.object(at, route_keys)) {
        if (const value* match = reader_.required(at, "match", "a domain, \"*.domain\" or \"*\"")) {
            parse_match(*match, made);
        }
        if (const value* relay = reader_.required(at, "relay", relay_expected)) {
            parse_relay(*relay, made);
        }
        if (const value* tls = at.find("tls")) {
            const auto chosen = reader_.choice(*tls, tls_modes);
            made.tls = static_cast<tls_mode>(chosen.value_or(static_cast<int>(made.tls)));
            if (made.relay != relay_kind::host) {
                reader_.add_fault(*tls, "has no meaning here; expected only with \"HOST:PORT\"");
            }
        }
    }
    if (made.relay == relay_kind::host) {
        const bool v6 = made.host.host.find(':') != std::string::npos;
        made.destination = fmt::format(fmt::runtime(v6 ? "[{}]:{}/{}" : "{}:{}/{}"),
                                       made.host.host,
                                       made.host.port,
                                       name_of(made.tls));
    } else {
        made.destination = made.relay == relay_kind::hold ? "hold" : "discard";
    }
    built_->routes_.push_back(std::move(made));
    index_route(at);
}

void snapshot_builder::parse_match(const value& at, route& into) {
    const auto text = reader_.string(at, "a domain, \"*.domain\" or \"*\"");
    if (!text) {
        return;
    }
    const std::string_view domain = text->starts_with("*.") ? text->substr(2) : *text;
    if (*text != "*" && !config::is_host_name(domain)) {
        reader_.add_fault(at,
                          fmt::format("expected a domain in A-label form, \"*.domain\" or "
                                      "\"*\", found \"{}\"",
                                      *text));
        return;
    }
    into.match = config::lower_ascii(*text);
}

void snapshot_builder::parse_relay(const value& at, route& into) {
    const auto text = reader_.string(at, relay_expected);
    if (!text) {
        return;
    }
    if (*text == "mx" || *text == "archive") {
        reader_.add_fault(
            at, fmt::format("\"{}\" is {}; expected {}", *text, config::not_built, relay_expected));
    } else if (*text == "discard") {
        into.relay = relay_kind::discard;
    } else if (*text == "hold") {
        into.relay = relay_kind::hold;
    } else if (const auto host = config::parse_host_and_port(*text)) {
        into.host = *host;
    } else {
        reader_.add_fault(at, fmt::format("expected {}, found \"{}\"", relay_expected, *text));
    }
}

void snapshot_builder::index_route(const value& at) {
    const auto index = static_cast<std::uint32_t>(built_->routes_.size() - 1);
    const std::string& match = built_->routes_.back().match;
    if (match.empty()) {
        return; // Its fault is said already.
    }
    const bool first = built_->all_routes_.add(match, index);
    if (built_->routes_.back().relay != relay_kind::hold) {
        (void)built_->routes_past_hold_.add(match, index);
    }
    if (!first) {
        reader_.add_fault(at,
                          fmt::format("\"{}\" is matched by an earlier route; expected each "
                                      "match once",
                                      match));
    } else if (built_->all_routes_.catch_all < index) {
        reader_.add_fault(at, "is never reached; expected before the route that matches \"*\"");
    }
}

void snapshot_builder::parse_tenant(const value& at) {
    tenant made;
    if (reader_.object(at, tenant_keys)) {
        parse_names(at, made);
        if (const value* accounts = at.find("accounts")) {
            parse_accounts(*accounts, made);
        }
        if (const value* hosts = at.find("relay_hosts")) {
            parse_relay_hosts(*hosts, made);
        }
        if (const value* limits = at.find("limits")) {
            parse_limits(*limits, made);
        }
    }
    built_->tenants_.push_back(std::move(made));
}

void snapshot_builder::parse_names(const value& at, tenant& into) {
    if (const value* name = reader_.required(at, "name", "a name of letters, digits, - _ .")) {
        const auto text = reader_.string(*name, "a name of letters, digits, - _ .");
        const auto allowed = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_' || c == '.';
        };
        if (text &&
            (text->size() > name_bytes_max || !std::all_of(text->begin(), text->end(), allowed))) {
            reader_.add_fault(
                *name, fmt::format("expected at most {} letters, digits, - _ .", name_bytes_max));
        } else if (text) {
            into.name = *text;
            if (!built_->tenants_by_name_.emplace(into.name, tenant_index()).second) {
                reader_.add_fault(*name, "another tenant has this name; expected one of its own");
            }
        }
    }
    into.company = into.name;
    if (const value* company = at.find("company")) {
        const auto text = reader_.string(*company, "the name of the company");
        if (text && (has_control(*text) || text->size() > company_bytes_max)) {
            reader_.add_fault(
                *company, fmt::format("expected one line of at most {} bytes", company_bytes_max));
        } else if (text) {
            into.company = *text;
        }
    }
    if (const value* hostname = at.find("hostname")) {
        const auto text = reader_.string(*hostname, "a host name");
        if (text && !config::is_host_name(*text)) {
            reader_.add_fault(*hostname, "expected a host name such as \"smtp.acme.example\"");
        } else if (text) {
            into.hostname = config::lower_ascii(*text);
        }
    }
}

void snapshot_builder::parse_accounts(const value& at, tenant& into) {
    if (!reader_.array(at, accounts_max)) {
        return;
    }
    accounts_ += at.children().size();
    if (accounts_ > accounts_max) {
        reader_.add_fault(at,
                          fmt::format("expected at most {} accounts in all tenants", accounts_max));
        return;
    }
    into.accounts.reserve(at.children().size());
    for (const value& item : at.children()) {
        parse_account(item, into);
    }
}

void snapshot_builder::parse_account(const value& at, tenant& into) {
    if (!reader_.object(at, account_keys)) {
        return;
    }
    account made;
    made.tenant = tenant_index();
    if (const value* login = reader_.required(at, "login", "the login name")) {
        const auto text = reader_.string(*login, "the login name");
        if (text && (has_control(*text) || text->size() > login_bytes_max)) {
            reader_.add_fault(*login,
                              fmt::format("expected at most {} bytes without control "
                                          "characters",
                                          login_bytes_max));
        } else if (text) {
            made.login = *text;
            const auto place = static_cast<std::uint32_t>(into.accounts.size());
            const auto [other, fresh] = built_->accounts_by_login_.emplace(
                made.login, snapshot::account_place{made.tenant, place});
            if (!fresh) {
                reader_.add_fault(*login,
                                  "the login exists already; expected each once in all "
                                  "tenants");
            }
        }
    }
    if (const value* password = reader_.required(at, "password", "a crypt(3) hash")) {
        // The text itself is never shown: it may be a password in the clear.
        if (!password->is_string() || !is_password_hash(password->text())) {
            reader_.add_fault(*password,
                              "expected a crypt(3) hash as mkpasswd makes it: yescrypt "
                              "($y$), bcrypt ($2b$), sha512crypt ($6$)");
        } else {
            made.password_hash = password->text();
        }
    }
    into.accounts.push_back(std::move(made));
}

void snapshot_builder::parse_relay_hosts(const value& at, tenant& into) {
    if (!reader_.array(at, relay_hosts_max)) {
        return;
    }
    for (const value& item : at.children()) {
        const auto text =
            reader_.string(item, "an address or a network such as \"203.0.113.0/24\"");
        if (!text) {
            continue;
        }
        const auto network = config::parse_ip_network(*text);
        if (!network) {
            reader_.add_fault(item,
                              fmt::format("expected an address or a network such as "
                                          "\"203.0.113.0/24\" without host bits, found "
                                          "\"{}\"",
                                          *text));
            continue;
        }
        const auto [other, fresh] = networks_.emplace(*network, tenant_index());
        if (!fresh) {
            reader_.add_fault(item,
                              "the network is declared already; expected each once in all "
                              "tenants");
        } else if (networks_.size() > relay_hosts_max) {
            reader_.add_fault(
                item, fmt::format("expected at most {} networks in all tenants", relay_hosts_max));
            return;
        }
        into.relay_hosts.push_back(*network);
    }
}

void snapshot_builder::parse_limits(const value& at, tenant& into) {
    if (!reader_.object(at, limit_keys)) {
        return;
    }
    constexpr std::uint64_t size_max = std::uint64_t{1} << 40;
    tenant_limits& limits = into.limits;
    reader_.set(at, "recipients_per_message", limits.recipients_per_message, 1, 100'000);
    reader_.set_size(at, "message_size", limits.message_bytes, 1024, size_max);
    limits.upload_bytes = limits.message_bytes;
    reader_.set_size(at, "upload_size", limits.upload_bytes, 1024, size_max);
    if (limits.upload_bytes < limits.message_bytes) {
        reader_.add_fault(*at.find("upload_size"),
                          "is smaller than message_size; expected at least as large");
    }
}

void snapshot_builder::index_relay_hosts() {
    for (const auto& [network, tenant] : networks_) {
        auto& tables = built_->relay_hosts_;
        auto table = std::find_if(tables.begin(), tables.end(), [&](const auto& candidate) {
            return candidate.prefix_bits == network.prefix_bits;
        });
        if (table == tables.end()) {
            table = tables.insert(tables.end(), snapshot::prefix_table{network.prefix_bits, {}});
        }
        table->tenants.emplace(network.address, tenant);
    }
    std::sort(
        built_->relay_hosts_.begin(),
        built_->relay_hosts_.end(),
        [](const auto& left, const auto& right) { return left.prefix_bits > right.prefix_bits; });
}

std::expected<snapshot_pointer, config::faults> parse(std::string_view text,
                                                      const std::string& file) {
    return snapshot_builder(file).parse(text);
}

std::expected<snapshot_pointer, config::faults> load(const std::string& path) {
    const auto text = config::read_file(path);
    if (!text) {
        return std::unexpected(text.error());
    }
    return parse(*text, path);
}

config::faults check(const std::string& path) {
    const auto loaded = load(path);
    return loaded ? config::faults() : loaded.error();
}

} // namespace ebbgate::policy
