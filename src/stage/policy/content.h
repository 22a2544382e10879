// What the policy says about content: attachments, large attachments as links, signing keys.
//
// Stage   3 of 8: parts of the snapshot, read by stage/content.
// Owner   Values; tenants share those of `defaults`.
// Bounds  The constants here; the loader refuses what exceeds them.

#pragma once

#include "ebbgate/smtp/reply.h"

#include "config/server.h"
#include "stage/policy/text_template.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t extensions_max = 1000;
inline constexpr std::size_t extension_bytes_max = 32;
inline constexpr std::size_t link_url_bytes_max = 400;
inline constexpr std::size_t dkim_keys_max = 100'000; // Of one tenant.
// Each is one signature on each message of the domain.
inline constexpr std::size_t dkim_keys_per_domain_max = 4;

enum class strictness : std::uint8_t { refuse, allow };

// How an archive whose own extension is allowed is judged.
enum class archive_rule : std::uint8_t {
    members, // Each member's extension must be allowed too; what cannot be listed is refused.
    name,    // By its own name only.
};

struct attachment_settings {
    // Lower case, sorted, without the dot. Absent: every extension is allowed.
    std::optional<std::vector<std::string>> allow;
    text_template reply; // attachment_reply_variables
    strictness encrypted_archives = strictness::refuse;
    strictness ambiguous = strictness::refuse;
    archive_rule archives = archive_rule::members;
    bool sniff = true;

    attachment_settings();

    // `extension` in lower case; without one there is nothing that the list could allow.
    [[nodiscard]] bool allows(std::string_view extension) const noexcept;

    bool operator==(const attachment_settings&) const = default;
};

inline constexpr std::array<std::string_view, 2> attachment_reply_variables = {"name", "company"};
inline constexpr std::array<std::string_view, 4> attachment_reply_default = {
    "The attachment named \"{name}\"",
    "violates {company}'s email security policy.",
    "The delivery has been blocked.",
    "For more information, contact your IT Administrator."};

// 550 5.7.1 with the lines of the policy. The name, which is the sender's, and the company cannot
// add a line or a control character, nor turn the direction of the text; what is not ASCII becomes
// '?' unless the client asked for SMTPUTF8. A long name keeps its beginning and its end.
[[nodiscard]] smtp::reply attachment_refusal(const attachment_settings& settings,
                                             std::string_view name,
                                             std::string_view company,
                                             bool utf8);

struct filelink_settings {
    std::uint64_t larger_than_bytes = 0;
    std::uint64_t total_larger_than_bytes = 0; // Of all attachments of a message; 0: no such rule.
    std::string url;                           // Ends with a slash.
    std::chrono::seconds keep;
    std::uint32_t keep_months = 0; // By the calendar, instead of `keep`; 0: it was given otherwise.
    std::string keep_text;         // "twelve months"
    text_template text;            // filelink_variables; at least {url}
    config::tls_files tls;         // Of the host of `url`, resolved paths; empty: the tenant's.

    filelink_settings();

    // When a file that is stored now is deleted.
    [[nodiscard]] std::int64_t expiry_unix_s(std::int64_t now_unix_s) const;

    bool operator==(const filelink_settings&) const = default;
};

inline constexpr std::array<std::string_view, 5> filelink_variables = {
    "name", "size", "url", "keep", "company"};
inline constexpr std::array<std::string_view, 3> filelink_text_default = {
    "[large file {name}] ({size}) moved to:", "{url}", "The file will be DELETED after {keep}."};

// What stands in the message instead of the attachment: lines of UTF-8, separated by '\n'. The
// name, which is the sender's, is shown as in attachment_refusal().
[[nodiscard]] std::string filelink_text(const filelink_settings& settings,
                                        std::string_view name,
                                        std::uint64_t bytes,
                                        std::string_view url,
                                        std::string_view company);

// The host of a filelink's url, in lower case: what its certificate is for.
[[nodiscard]] std::string host_of_url(std::string_view url);

// "12 months" is "twelve months", "36h" is "36 hours"; of a text that parse_duration() takes.
[[nodiscard]] std::string duration_in_words(std::string_view text);
// 12 of "12 months"; 0 of what is not in months.
[[nodiscard]] std::uint32_t months_in(std::string_view text) noexcept;

enum class canonical_form : std::uint8_t { simple, relaxed };

struct dkim_key {
    std::string domain; // Lower-case A-labels.
    std::string selector;
    std::string file; // Resolved path. Read by whoever signs, not here.
    canonical_form header = canonical_form::relaxed;
    canonical_form body = canonical_form::relaxed;
    std::chrono::seconds expire{0}; // For x=; 0: none.

    bool operator==(const dkim_key&) const = default;
};

// The keys of `domain` (lower-case A-labels), or of its longest parent that has any: d= is theirs.
// `keys` as in a tenant: sorted by domain.
[[nodiscard]] std::span<const dkim_key> keys_for(std::span<const dkim_key> keys,
                                                 std::string_view domain) noexcept;

} // namespace ebbgate::policy
