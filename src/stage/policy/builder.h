// Builds a snapshot from JSON trees: each topic in a file of its own (build_*.cc).
//
// Input   One document a file, in a fixed order; then the overlay.
// Output  The snapshot, or every fault with its file, line and pointer.
// Owner   One per load; private to this folder.
// Fails   By collecting faults; what is built meanwhile is thrown away.

#pragma once

#include "config/reader.h"
#include "stage/policy/keys.h"
#include "stage/policy/snapshot.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebbgate::policy {

// What one file may hold.
enum class file_role : std::uint8_t {
    whole,   // policy.json by itself: routes and tenants are required.
    globals, // policy.json of a folder: its tenants may all be in files of their own.
    tenant,  // Any other file of a folder.
};

class snapshot_builder {
public:
    snapshot_builder() : built_(std::make_shared<snapshot>()) {}

    void read_text(std::string text, const std::string& file, file_role role);
    void add_faults(const config::faults& faults);

    [[nodiscard]] bool full() const noexcept {
        return faults_.size() + reader_.found().size() >= config::faults_max;
    }

    // After the last text; the builder is empty then.
    [[nodiscard]] std::expected<loaded, config::faults> finish(const overlay& changes);

private:
    using value = json::value;

    struct limits_draft {
        limit_settings settings;
        bool upload_given = false; // Else it follows message_size.
    };

    struct content_draft {
        std::shared_ptr<const attachment_settings> attachments;
        std::shared_ptr<const filelink_settings> filelink;
        strictness unsigned_mail = strictness::refuse;
    };

    // Enough to say a fault after the documents are gone.
    struct domain_place {
        std::string_view domain; // In built_->tenants_by_domain_, whose nodes stay.
        std::uint32_t tenant = 0;
        std::uint32_t position = 0;
        std::uint32_t line = 0;
    };

    // build_routes.cc
    void parse_root(const value& root, file_role role);
    void parse_delivery(const value& at);
    void parse_retry(const value& at);
    void parse_timeouts(const value& at);
    void parse_route(const value& at);
    void parse_match(const value& at, route& into);
    [[nodiscard]] std::optional<std::string> parse_pattern(const value& at);
    void parse_relay(const value& at, route& into);
    void require_delivery(const value& at, const route& of);
    void index_route(const value& at);
    void parse_bans(const value& at);

    // build_egress.cc
    void parse_egress(const value& at, egress_pool& into);
    void parse_source(const value& at, egress_pool& into);
    [[nodiscard]] std::optional<config::ip_address> parse_source_address(const value& at);
    void parse_ehlo(const value& object, std::string& into);
    void parse_egress_rate(const value& object, std::string_view key, config::rate& into);
    void parse_shaping(const value& at);
    void parse_shaping_rule(const value& at);
    void parse_class(const value& object, mail_class& into);
    void parse_suppression(const value& object, tenant& into);

    // build_tenants.cc
    void parse_tenant(const value& at, std::uint32_t item);
    void note_largest(const limit_settings& limits);
    void parse_name(const value& at, tenant& into);
    void parse_texts(const value& at, tenant& into);
    void parse_tls(const value& at, config::tls_files& into);
    void parse_accounts(const value& at, tenant& into, const limits_draft& limits);
    void parse_account(const value& at, tenant& into, const limits_draft& limits);
    void parse_relay_hosts(const value& at, tenant& into);
    void parse_networks(const value& at, std::vector<config::ip_network>& into);
    [[nodiscard]] std::optional<config::ip_network> parse_network(const value& at);
    void index_relay_hosts();

    // build_senders.cc
    void parse_domains(const value& at, tenant& into);
    void parse_senders(const value& at, std::uint32_t tenant, std::uint32_t owner);
    [[nodiscard]] bool covers(std::uint32_t tenant, std::string_view domain) const;
    void check_domains();

    // build_limits.cc
    void parse_defaults(const value& at);
    void parse_limits(const value& at, setting_level level, limits_draft& into);
    void parse_rates(const value& at, setting_level level, limit_settings& into);
    void parse_sizes(const value& at, setting_level level, limits_draft& into);
    void parse_limit_reply(const value& at, limit_settings& into);
    void parse_flag(const value& object, std::string_view key, bool& into);

    // build_content.cc
    void parse_content(const value& at, content_draft& into, setting_level level);
    void parse_attachments(const value& at, content_draft& into);
    void parse_filelink(const value& at, content_draft& into, setting_level level);
    void parse_strictness(const value& object, std::string_view key, strictness& into);
    [[nodiscard]] std::optional<text_template> parse_lines(
        const value& at, std::span<const std::string_view> variables, template_charset charset);
    void set_content(const value& at, content_draft&& draft, tenant& into);
    void parse_dkim(const value& at, tenant& into);
    [[nodiscard]] bool parse_dkim_key(const value& at, const tenant& of, dkim_key& into);

    // build_overlay.cc
    void merge(const overlay& changes);
    [[nodiscard]] std::string merge_account(const overlay_account& change);
    [[nodiscard]] std::string merge_sender(const overlay_sender& change);
    [[nodiscard]] std::string merge_limit(const overlay_limit& change);
    void drop_removed_accounts();

    // load.cc
    void sort_faults();

    [[nodiscard]] std::uint32_t tenant_index() const {
        return static_cast<std::uint32_t>(built_->tenants_.size());
    }

    [[nodiscard]] std::uint32_t file_index() const {
        return static_cast<std::uint32_t>(built_->files_.size() - 1);
    }

    config::reader reader_{""};
    config::faults faults_; // Of the files before, and what is found at the end.
    std::shared_ptr<snapshot> built_;
    std::map<config::ip_network, std::uint32_t> networks_; // To the tenant.
    std::vector<domain_place> domains_;
    std::set<config::ip_address> sources_;                      // Those in built_->sources_.
    std::set<std::pair<std::uint32_t, std::uint32_t>> removed_; // Tenant and place of accounts.
    std::vector<rate_override> overrides_;
    std::vector<std::string> notes_;
    limits_draft default_limits_;
    content_draft default_content_;
    std::size_t accounts_ = 0;
    bool check_header_from_ = true;
};

// What files and commands have in common; the text is what was expected, empty when all is well.
[[nodiscard]] bool is_login(std::string_view text);
[[nodiscard]] bool has_control(std::string_view text);

inline constexpr std::size_t login_bytes_max = 255;

} // namespace ebbgate::policy
