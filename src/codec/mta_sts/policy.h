// MTA-STS: the TXT record that says there is a policy, and the policy itself.
//
// Input   Texts of DNS and of a web server: from anybody, whole.
// Output  The record's id; the policy. Unknown fields are ignored, and repeated ones, but for mx.
// Owner   Pure functions; any thread.
// Fails   With what is wrong; the caller then has no policy (RFC 8461 3.3).
// Bounds  policy_bytes_max, mx_patterns_max.
// Specs   RFC 8461 3.1, 3.2, 4.1. More than its grammar: empty lines are skipped.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::mta_sts {

inline constexpr std::size_t policy_bytes_max = 64 * kib;
inline constexpr std::size_t mx_patterns_max = 500;
inline constexpr std::int64_t max_age_s_max = 31'557'600;

enum class mode : std::uint8_t { none, testing, enforce };

struct policy {
    mta_sts::mode mode = mta_sts::mode::none;
    std::vector<std::string> mx; // In lower case; "*.example.test" stands for one label more.
    std::int64_t max_age_s = 0;

    bool operator==(const policy&) const = default;

    // Of the host name of an MX record; a dot at its end does not matter.
    [[nodiscard]] bool matches(byte_view mx_host) const;
};

enum class policy_fault : std::uint8_t {
    too_long,
    bad_line,
    bad_version, // Or none.
    bad_mode,
    bad_max_age,
    bad_mx,
    too_many_mx,
    no_mx, // Although the mode is not none.
};

[[nodiscard]] const char* to_text(policy_fault fault) noexcept;
[[nodiscard]] const char* to_text(mode mode) noexcept;

[[nodiscard]] std::expected<policy, policy_fault> parse_policy(byte_view text);
// A policy file that says the same.
[[nodiscard]] std::string to_text(const policy& policy);

// The id of one TXT record. Nothing: not valid, or of something else.
[[nodiscard]] std::optional<std::string> parse_record(byte_view text);
// Of all the TXT records at _mta-sts.DOMAIN: exactly one must begin as MTA-STS does.
[[nodiscard]] std::optional<std::string> find_id(std::span<const std::string> records);

} // namespace ebbgate::mta_sts
