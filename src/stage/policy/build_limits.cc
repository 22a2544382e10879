#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

namespace {

constexpr std::string_view unlimited = "unlimited";
constexpr std::uint64_t size_max = std::uint64_t{1} << 40;
constexpr std::uint64_t size_min = 1024;
constexpr std::uint32_t recipients_max = 100'000;
constexpr std::uint32_t connections_max = 1'000'000;

setting_level& level_of(limit_settings& settings, limit_key key) {
    return settings.levels[static_cast<std::size_t>(key)];
}

} // namespace

void snapshot_builder::parse_flag(const value& object, std::string_view key, bool& into) {
    const value* at = object.find(key);
    if (at == nullptr) {
        return;
    }
    if (!at->is(json::kind::boolean)) {
        reader_.add_fault(*at, fmt::format("expected true or false, found {}", config::shown(*at)));
        return;
    }
    into = at->boolean();
}

void snapshot_builder::parse_defaults(const value& at) {
    if (!reader_.object(at, keys::defaults)) {
        return;
    }
    parse_flag(at, "check_header_from", check_header_from_);
    parse_content(at, default_content_, setting_level::defaults);
    if (const value* limits = at.find("limits")) {
        parse_limits(*limits, setting_level::defaults, default_limits_);
    }
}

void snapshot_builder::parse_limits(const value& at, setting_level level, limits_draft& into) {
    if (!reader_.object(at, keys::limits)) {
        return;
    }
    if (level == setting_level::account) {
        for (const std::string_view key : keys::tenant_limits) {
            if (const value* found = at.find(key)) {
                reader_.add_fault(*found,
                                  "has no meaning for one account; expected in the limits of "
                                  "the tenant");
            }
        }
    }
    limit_settings& settings = into.settings;
    parse_rates(at, level, settings);
    parse_sizes(at, level, into);
    if (at.find("recipients_per_message") != nullptr) {
        reader_.set(
            at, "recipients_per_message", settings.recipients_per_message, 1, recipients_max);
        level_of(settings, limit_key::recipients_per_message) = level;
    }
    if (const value* connections = at.find("connections")) {
        if (connections->is_string() && connections->text() == unlimited) {
            settings.connections = 0;
        } else {
            reader_.set(at, "connections", settings.connections, 1, connections_max);
        }
        level_of(settings, limit_key::connections) = level;
    }
    if (const value* reply = at.find("limit_reply")) {
        parse_limit_reply(*reply, settings);
        level_of(settings, limit_key::limit_reply) = level;
    }
}

void snapshot_builder::parse_rates(const value& at, setting_level level, limit_settings& into) {
    for (std::size_t index = 0; index < rate_rules; ++index) {
        const value* found = at.find(name_of(static_cast<rate_rule>(index)));
        if (found == nullptr) {
            continue;
        }
        level_of(into, static_cast<limit_key>(index)) = level;
        const auto rate = found->is_string() ? config::parse_rate(found->text()) : std::nullopt;
        if (!rate) {
            reader_.add_fault(*found,
                              fmt::format("expected a rate such as \"500/day\" or \"50/hour\" (a "
                                          "period of at most 366 days), or \"unlimited\", found {}",
                                          config::shown(*found)));
            continue;
        }
        into.rates[index] = *rate;
    }
}

void snapshot_builder::parse_sizes(const value& at, setting_level level, limits_draft& into) {
    limit_settings& settings = into.settings;
    const value* message = at.find("message_size");
    const value* upload = at.find("upload_size");
    if (message != nullptr) {
        reader_.set_size(at, "message_size", settings.message_bytes, size_min, size_max);
        level_of(settings, limit_key::message_size) = level;
    }
    if (upload != nullptr) {
        reader_.set_size(at, "upload_size", settings.upload_bytes, size_min, size_max);
        into.upload_given = true;
        level_of(settings, limit_key::upload_size) = level;
    }
    if (!into.upload_given) {
        settings.upload_bytes = settings.message_bytes;
    } else if (settings.upload_bytes < settings.message_bytes && upload != nullptr) {
        reader_.add_fault(*upload, "is smaller than message_size; expected at least as large");
    } else if (settings.upload_bytes < settings.message_bytes && message != nullptr) {
        reader_.add_fault(*message,
                          fmt::format("is larger than the upload_size in force, {} bytes; expected "
                                      "a larger \"upload_size\" beside it",
                                      settings.upload_bytes));
    }
}

void snapshot_builder::parse_limit_reply(const value& at, limit_settings& into) {
    if (!reader_.object(at, keys::limit_reply)) {
        return;
    }
    int code = into.reply->code();
    if (const value* found = at.find("code")) {
        if (!found->is(json::kind::integer) ||
            (found->integer() != 450 && found->integer() != 550)) {
            reader_.add_fault(*found,
                              fmt::format("expected 450 (try again later) or 550 (never), found {}",
                                          config::shown(*found)));
            return;
        }
        code = static_cast<int>(found->integer());
    }
    std::string_view text = into.reply->text();
    const value* found = at.find("text");
    if (found != nullptr) {
        const auto given = reader_.string(*found, "the text of a reply");
        if (!given) {
            return;
        }
        text = *given;
    }
    auto made = limit_reply::make(code, text);
    if (!made) {
        reader_.add_fault(found == nullptr ? at : *found, made.error());
        return;
    }
    into.reply = std::make_shared<const limit_reply>(std::move(*made));
}

} // namespace ebbgate::policy
