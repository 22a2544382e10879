// The policy in force: tenants, accounts, routes and delivery settings, as one immutable value.
//
// Stage   3 of 8. Before it: session. After it: content.
// Input   policy.json, or a folder of it and one file a tenant; every key is documented in
//         docs/policy.md. And the overlay: what was changed by command.
// Output  Lookups that need no lock and no allocation on the hot path.
// Owner   Built on the management thread, shared read-only by all shards; a message keeps the
//         snapshot it began with.
// Fails   load() and parse() return all faults; a snapshot that exists is consistent.
// Bounds  tenants_max, accounts_max, routes_max, relay_hosts_max, domains_max, senders_max;
//         config::file_bytes_max a file, policy_bytes_max in all.

#pragma once

#include "config/address.h"
#include "config/fault.h"
#include "stage/policy/limit.h"
#include "stage/policy/overlay.h"
#include "stage/policy/senders.h"
#include "stage/policy/settings.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::policy {

enum class sender_refusal : std::uint8_t {
    none,
    malformed,   // No address that could be authorised.
    null_sender, // <> without null_sender.
    tenant,      // Not among the tenant's authorized_senders.
    account,     // The tenant's, but not among the account's own.
};

struct sender_verdict {
    bool allowed = false;
    sender_refusal refusal = sender_refusal::none;
    std::uint32_t rule = no_index; // For snapshot::place_of_sender(); no_index for <>.
};

// Names a rule to people.
struct rule_place {
    std::string file;    // Empty: added by command, or the built-in default.
    std::string pointer; // RFC 6901.
    std::string text;    // The rule as it is compared.
};

// Where the policy first names an address that mail leaves from.
struct named_source {
    config::ip_address address;
    std::uint32_t file = 0; // In files().
    std::uint32_t line = 0;
    std::string pointer; // RFC 6901.
};

struct listed_sender {
    std::string_view pattern; // Valid as long as the snapshot.
    bool by_command = false;
};

// A rate that was raised or lowered by command; not part of the snapshot, for it expires.
struct rate_override {
    rate_rule rule = rate_rule::messages_per_sender;
    std::string subject; // As the counters know it.
    config::rate rate;
    std::int64_t expires_unix_s = 0; // 0: never.
};

class snapshot {
public:
    [[nodiscard]] const std::vector<tenant>& tenants() const noexcept { return tenants_; }

    [[nodiscard]] const std::vector<route>& routes() const noexcept { return routes_; }

    [[nodiscard]] const delivery_settings& delivery() const noexcept { return delivery_; }

    // Of the file's bytes: tells two versions apart in `status` and in log records.
    [[nodiscard]] std::uint64_t fingerprint() const noexcept { return fingerprint_; }

    // Logins compare exactly. Null: no such account (spend the time of a hash check anyway).
    [[nodiscard]] const account* find_account(std::string_view login) const noexcept;
    // For a login that nobody has: an account whose hash is checked in its place, the same one each
    // time, or the time would tell which logins there are. Null: there are no accounts.
    [[nodiscard]] const account* stand_in_for(std::string_view login) const noexcept;

    [[nodiscard]] const tenant& tenant_of(const account& account) const noexcept {
        return tenants_[account.tenant];
    }

    [[nodiscard]] const tenant* find_tenant(std::string_view name) const noexcept;

    // The tenant whose relay_hosts hold the address, longest prefix first. Null: nobody's.
    [[nodiscard]] const tenant*
    tenant_for_address(const config::ip_address& address) const noexcept;
    [[nodiscard]] const tenant* tenant_for_address(std::string_view address) const noexcept;

    // The first route in file order that matches, any case. Null: no route (550 5.4.4).
    [[nodiscard]] const route* route_for(std::string_view domain) const noexcept;
    // The same, as if there were no `hold` routes.
    [[nodiscard]] const route* route_past_hold_for(std::string_view domain) const noexcept;

    // Whether any route leads to this one's destination, in the same way.
    [[nodiscard]] bool leads_to(const route& other) const noexcept;

    // May this tenant (a client of its relay_hosts) or this account send as `address`? Also for
    // the mailboxes of a header From. An empty address is <>.
    [[nodiscard]] sender_verdict may_send(const tenant& tenant, std::string_view address) const;
    [[nodiscard]] sender_verdict may_send(const account& account, std::string_view address) const;

    [[nodiscard]] std::vector<listed_sender> senders_of(const tenant& tenant) const;
    // An account's own list, in the order of the text; nothing when it has none.
    [[nodiscard]] std::vector<std::string_view> own_senders_of(const account& account) const;

    [[nodiscard]] const sender_table& senders() const noexcept { return senders_; }

    // The tenant among whose domains this one, or a parent of it, is.
    [[nodiscard]] const tenant* tenant_of_domain(std::string_view domain) const;
    // By SNI, any case. Null: no tenant has this hostname.
    [[nodiscard]] const tenant* tenant_for_server_name(std::string_view name) const noexcept;

    [[nodiscard]] const limit_settings& limits_of(const account& account) const noexcept {
        return account.own_limits == no_index ? tenants_[account.tenant].limits
                                              : own_limits_[account.own_limits];
    }

    // Whether the policy has what an override by command is for; the text says what is wrong.
    [[nodiscard]] std::expected<rate_override, std::string>
    judge_override(const overlay_limit& given) const;

    [[nodiscard]] std::uint64_t largest_upload_bytes() const noexcept { return upload_bytes_max_; }

    [[nodiscard]] std::uint32_t largest_recipients_per_message() const noexcept {
        return recipients_max_;
    }

    [[nodiscard]] const ban_settings& bans() const noexcept { return bans_; }

    // The files it was made from.
    [[nodiscard]] const std::vector<std::string>& files() const noexcept { return files_; }

    // Each address once: that of a route, and those of tenants.
    [[nodiscard]] const std::vector<named_source>& sources() const noexcept { return sources_; }

    // Those of the signing keys of all tenants, which it names and does not read.
    [[nodiscard]] std::vector<std::string> key_files() const;

    [[nodiscard]] rule_place place_of_sender(std::uint32_t rule) const;
    [[nodiscard]] rule_place place_of(const tenant& tenant) const;
    [[nodiscard]] rule_place place_of(const account& account) const;
    [[nodiscard]] rule_place
    place_of_limit(const tenant& tenant, const account* account, limit_key key) const;

private:
    friend class snapshot_builder;

    struct text_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept;
    };

    struct address_hash {
        std::size_t operator()(const config::ip_address& address) const noexcept;
    };

    template <typename mapped>
    using text_map = std::unordered_map<std::string, mapped, text_hash, std::equal_to<>>;

    struct prefix_table {
        std::uint8_t prefix_bits = 0;
        std::unordered_map<config::ip_address, std::uint32_t, address_hash> tenants;
    };

    struct account_place {
        std::uint32_t tenant = 0;
        std::uint32_t account = 0;
    };

    // An account with authorized_senders of its own.
    struct narrowed_account {
        std::uint32_t tenant = 0;
        std::uint32_t position = 0;
        std::uint32_t first = 0; // In senders_, one after another.
        std::uint32_t count = 0;
    };

    // Owners in senders_: tenants by index, accounts above.
    static constexpr std::uint32_t account_owners = 0x8000'0000;

    static constexpr std::uint32_t no_route = 0xffff'ffff;

    // Values are indices into routes_: the first route with this match.
    struct route_index {
        text_map<std::uint32_t> exact;
        text_map<std::uint32_t> suffix; // "*.d" under the key "d".
        std::uint32_t catch_all = no_route;

        // False: a route before it has this match.
        bool add(std::string_view match, std::uint32_t index);
    };

    [[nodiscard]] const route* find_route(const route_index& among,
                                          std::string_view domain) const noexcept;

    std::vector<tenant> tenants_;
    std::vector<route> routes_;
    delivery_settings delivery_;
    std::uint64_t fingerprint_ = 0;

    text_map<account_place> accounts_by_login_;
    text_map<std::uint32_t> tenants_by_name_;
    std::vector<prefix_table> relay_hosts_; // Longest prefix first.
    text_map<relay_kind> destinations_;     // Of routes, by their text.
    route_index all_routes_;
    route_index routes_past_hold_;

    std::vector<std::string> files_;
    std::vector<named_source> sources_;
    sender_table senders_;
    std::vector<narrowed_account> narrowed_;
    std::vector<limit_settings> own_limits_;
    text_map<std::uint32_t> tenants_by_domain_;
    text_map<std::uint32_t> tenants_by_hostname_;
    ban_settings bans_;
    std::uint64_t upload_bytes_max_ = 0;
    std::uint32_t recipients_max_ = 0;
};

using snapshot_pointer = std::shared_ptr<const snapshot>;

// A file, or a folder: its policy.json, then each other *.json in the order of the names.
[[nodiscard]] std::expected<snapshot_pointer, config::faults> load(const std::string& path);

struct loaded {
    snapshot_pointer policy;
    std::vector<rate_override> overrides;
    std::vector<std::string> notes; // What of the overlay was left out, and why.
};

[[nodiscard]] std::expected<loaded, config::faults> load(const std::string& path,
                                                         const overlay& changes);
[[nodiscard]] std::expected<loaded, config::faults>
parse(std::string_view text, const std::string& file, const overlay& changes);

// The same from text; `file` names it in faults.
[[nodiscard]] std::expected<snapshot_pointer, config::faults> parse(std::string_view text,
                                                                    const std::string& file);

// Every fault of the file, none when it is good: for `--check` and editors.
[[nodiscard]] config::faults check(const std::string& path);

} // namespace ebbgate::policy
