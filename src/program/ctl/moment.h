// --until TIME and --for DURATION: when something ends.
//
// Fails   With why, when both are given or one is not what it should be.

#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace ebbgate::ctl {

class expiry {
public:
    // The options keep pointing here.
    void add_options(CLI::App& to);

    // 0: never.
    [[nodiscard]] std::expected<std::int64_t, std::string> unix_s() const;

private:
    std::string until_;
    std::string for_;
};

// "2026-01-31T12:00:00Z", or in local time "2026-01-31T12:00:00", "2026-01-31 12:00",
// "2026-01-31".
[[nodiscard]] std::expected<std::int64_t, std::string> parse_moment(const std::string& text);

} // namespace ebbgate::ctl
