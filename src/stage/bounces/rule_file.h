// The rules that give a refusal its class: read from JSON, shipped and replaceable.
//
// Input   {"hard": [CLASS...], "rules": [{"class": CLASS, "patterns": [REGEX...]}...]}; a class may
//         stand in several rules. Patterns are RE2's, match anywhere and in any case, against
//         "550 5.1.1 text" on one line (no code when there was no reply).
// Output  The rules in order: the first that matches wins.
// Owner   Values.
// Fails   With every fault and its place, also of a pattern.
// Bounds  patterns_max, pattern_bytes_max, class_bytes_max.
// Specs   github.com/google/re2/wiki/Syntax; the names are KumoMTA's, others are allowed.

#pragma once

#include "config/fault.h"

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::bounces {

inline constexpr std::size_t rules_max = 1'000;
inline constexpr std::size_t patterns_max = 5'000; // Of all rules.
inline constexpr std::size_t pattern_bytes_max = 1'000;
inline constexpr std::size_t class_bytes_max = 64;

struct rule {
    std::string name; // Of the class.
    std::vector<std::string> patterns;
};

struct rule_file {
    std::vector<rule> rules;
    // Classes that say that the recipient will never be reached. Absent: default_hard.
    std::vector<std::string> hard;
};

inline constexpr std::string_view default_hard[] = {
    "InvalidRecipient", "BadDomain", "InactiveMailbox"};

// `file` is for faults only.
[[nodiscard]] std::expected<rule_file, config::faults> parse_rules(std::string_view text,
                                                                   const std::string& file);
[[nodiscard]] std::expected<rule_file, config::faults> load_rules(const std::string& path);

// rules.json of this folder.
extern const std::string_view default_rules_text;

} // namespace ebbgate::bounces
