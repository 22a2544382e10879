// TLS-RPT: how sessions ended, and the report of one day about one domain.
//
// Input   Counts of one domain and day, and the policies that were in force.
// Output  The report as JSON. How it is sent is not told here.
// Owner   Pure functions; any thread.
// Specs   RFC 8460 4.3, 4.4.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::tls_report {

enum class policy_type : std::uint8_t { no_policy_found, tlsa, sts };

enum class result_type : std::uint8_t {
    success,
    starttls_not_supported,
    certificate_host_mismatch,
    certificate_expired,
    certificate_not_trusted,
    validation_failure, // Whatever has no word of its own.
    tlsa_invalid,       // No record fits the certificate, too.
    dnssec_invalid,
    dane_required,
    sts_policy_fetch_error,
    sts_policy_invalid,
    sts_webpki_invalid,
};

// As in the report; "success" stands in none.
[[nodiscard]] const char* to_text(policy_type type) noexcept;
[[nodiscard]] const char* to_text(result_type type) noexcept;
[[nodiscard]] std::optional<policy_type> parse_policy_type(std::string_view text) noexcept;
[[nodiscard]] std::optional<result_type> parse_result_type(std::string_view text) noexcept;

struct session_count {
    tls_report::policy_type policy_type = tls_report::policy_type::no_policy_found;
    tls_report::result_type result = result_type::success;
    std::string sending_ip;
    std::string mx_host;
    std::uint64_t sessions = 0;

    bool operator==(const session_count&) const = default;
};

// A policy as it was found: the lines of an MTA-STS policy, or TLSA records as text.
struct policy_text {
    tls_report::policy_type policy_type = tls_report::policy_type::no_policy_found;
    std::vector<std::string> lines;
    std::vector<std::string> mx_hosts;

    bool operator==(const policy_text&) const = default;
};

struct report_head {
    std::string organization;
    std::string contact; // An address.
    std::string report_id;
    std::string domain;
    std::int64_t day = 0; // Since 1970-01-01, UTC.
};

[[nodiscard]] std::string write_report(const report_head& head,
                                       std::span<const session_count> counts,
                                       std::span<const policy_text> policies);

} // namespace ebbgate::tls_report
