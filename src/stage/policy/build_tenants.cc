#include "config/password_hash.h"
#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ebbgate::policy {

namespace {

constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t company_bytes_max = 256;
constexpr std::size_t path_bytes_max = 4096;
} // namespace

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

bool is_login(std::string_view text) {
    return !text.empty() && text.size() <= login_bytes_max && !has_control(text);
}

void snapshot_builder::parse_tenant(const value& at, std::uint32_t item) {
    tenant made;
    made.index = tenant_index();
    made.file = file_index();
    made.item = item;
    made.check_header_from = check_header_from_;
    limits_draft limits = default_limits_;
    if (made.index >= tenants_max) {
        reader_.add_fault(at, fmt::format("expected at most {} tenants", tenants_max));
    } else if (reader_.object(at, keys::tenant)) {
        parse_name(at, made);
        parse_texts(at, made);
        parse_flag(at, "null_sender", made.null_sender);
        parse_flag(at, "check_header_from", made.check_header_from);
        // Before the senders and keys, which must lie in them; the limits before the accounts.
        if (const value* domains = at.find("domains")) {
            parse_domains(*domains, made);
        }
        if (const value* senders = at.find("authorized_senders")) {
            parse_senders(*senders, made.index, made.index);
        }
        if (const value* keys = at.find("dkim")) {
            parse_dkim(*keys, made);
        }
        content_draft content = default_content_;
        parse_content(at, content, setting_level::tenant);
        set_content(at, std::move(content), made);
        if (const value* own = at.find("limits")) {
            parse_limits(*own, setting_level::tenant, limits);
        }
        if (const value* accounts = at.find("accounts")) {
            parse_accounts(*accounts, made, limits);
        }
        if (const value* hosts = at.find("relay_hosts")) {
            parse_relay_hosts(*hosts, made);
        }
        if (const value* egress = at.find("egress")) {
            parse_egress(*egress, made.egress);
        }
        parse_class(at, made.mail_class);
        parse_suppression(at, made);
    }
    note_largest(limits.settings);
    made.limits = std::move(limits.settings);
    built_->tenants_.push_back(std::move(made));
}

void snapshot_builder::note_largest(const limit_settings& limits) {
    built_->upload_bytes_max_ = std::max(built_->upload_bytes_max_, limits.upload_bytes);
    built_->recipients_max_ = std::max(built_->recipients_max_, limits.recipients_per_message);
}

void snapshot_builder::parse_name(const value& at, tenant& into) {
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
            if (!built_->tenants_by_name_.emplace(into.name, into.index).second) {
                reader_.add_fault(*name, "another tenant has this name; expected one of its own");
            }
        }
    }
}

void snapshot_builder::parse_texts(const value& at, tenant& into) {
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
    const value* hostname = at.find("hostname");
    if (hostname != nullptr) {
        const auto text = reader_.string(*hostname, "a host name");
        if (text && !config::is_host_name(*text)) {
            reader_.add_fault(*hostname, "expected a host name such as \"smtp.acme.example\"");
        } else if (text) {
            into.hostname = config::lower_ascii(*text);
            if (!built_->tenants_by_hostname_.emplace(into.hostname, into.index).second) {
                reader_.add_fault(*hostname,
                                  "another tenant has this hostname; expected one of its own");
            }
        }
    }
    if (const value* tls = at.find("tls")) {
        parse_tls(*tls, into.tls);
        if (hostname == nullptr) {
            reader_.add_fault(*tls,
                              "is chosen by the name that a client asks for; expected a "
                              "\"hostname\" beside it");
        }
    }
}

void snapshot_builder::parse_tls(const value& at, config::tls_files& into) {
    if (!reader_.object(at, keys::tls)) {
        return;
    }
    const std::string folder = config::folder_of(reader_.file());
    const auto set = [&](std::string_view key, std::string& path) {
        const value* found = reader_.required(at, key, "the path of a file");
        const auto text =
            found == nullptr ? std::nullopt : reader_.string(*found, "the path of a file");
        if (text && text->size() > path_bytes_max) {
            reader_.add_fault(*found, fmt::format("expected at most {} bytes", path_bytes_max));
        } else if (text) {
            path = config::resolve_path(*text, folder);
        }
    };
    set("certificate", into.certificate);
    set("key", into.key);
}

void snapshot_builder::parse_accounts(const value& at, tenant& into, const limits_draft& limits) {
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
        if (reader_.full()) {
            return;
        }
        parse_account(item, into, limits);
    }
}

void snapshot_builder::parse_account(const value& at, tenant& into, const limits_draft& limits) {
    if (!reader_.object(at, keys::account)) {
        return;
    }
    account made;
    made.tenant = into.index;
    made.position = static_cast<std::uint32_t>(into.accounts.size());
    if (const value* login = reader_.required(at, "login", "the login name")) {
        const auto text = reader_.string(*login, "the login name");
        if (text && !is_login(*text)) {
            reader_.add_fault(*login,
                              fmt::format("expected at most {} bytes without control "
                                          "characters",
                                          login_bytes_max));
        } else if (text) {
            made.login = *text;
            const auto [other, fresh] = built_->accounts_by_login_.emplace(
                made.login, snapshot::account_place{made.tenant, made.position});
            if (!fresh) {
                reader_.add_fault(*login,
                                  "the login exists already; expected each once in all "
                                  "tenants");
            }
        }
    }
    if (const value* password = reader_.required(at, "password", "a crypt(3) hash")) {
        // The text itself is never shown: it may be a password in the clear.
        if (!password->is_string() || !config::is_password_hash(password->text())) {
            reader_.add_fault(*password,
                              "expected a crypt(3) hash as mkpasswd makes it: yescrypt "
                              "($y$), bcrypt ($2b$), sha512crypt ($6$)");
        } else {
            made.password_hash = password->text();
        }
    }
    parse_flag(at, "null_sender", made.null_sender);
    if (at.find("class") != nullptr) {
        parse_class(at, made.mail_class.emplace(mail_class::bulk));
    }
    if (const value* senders = at.find("authorized_senders")) {
        made.senders_owner =
            snapshot::account_owners + static_cast<std::uint32_t>(built_->narrowed_.size());
        const auto& entries = built_->senders_.entries();
        const auto first = static_cast<std::uint32_t>(entries.size());
        parse_senders(*senders, made.tenant, made.senders_owner);
        const auto count = static_cast<std::uint32_t>(entries.size() - first);
        built_->narrowed_.push_back({made.tenant, made.position, first, count});
    }
    if (const value* own = at.find("limits")) {
        limits_draft draft = limits;
        parse_limits(*own, setting_level::account, draft);
        made.own_limits = static_cast<std::uint32_t>(built_->own_limits_.size());
        note_largest(draft.settings);
        built_->own_limits_.push_back(std::move(draft.settings));
    }
    into.accounts.push_back(std::move(made));
}

std::optional<config::ip_network> snapshot_builder::parse_network(const value& at) {
    const auto text = reader_.string(at, "an address or a network such as \"203.0.113.0/24\"");
    const auto network = text ? config::parse_ip_network(*text) : std::nullopt;
    if (text && !network) {
        reader_.add_fault(at,
                          fmt::format("expected an address or a network such as "
                                      "\"203.0.113.0/24\" without host bits, found {}",
                                      config::shown(at)));
    }
    return network;
}

void snapshot_builder::parse_networks(const value& at, std::vector<config::ip_network>& into) {
    for (const value& item : at.children()) {
        if (const auto network = parse_network(item)) {
            into.push_back(*network);
        }
    }
}

void snapshot_builder::parse_relay_hosts(const value& at, tenant& into) {
    if (!reader_.array(at, relay_hosts_max)) {
        return;
    }
    for (const value& item : at.children()) {
        if (reader_.full()) {
            return;
        }
        const auto network = parse_network(item);
        if (!network) {
            continue;
        }
        const auto [other, fresh] = networks_.emplace(*network, into.index);
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

} // namespace ebbgate::policy
