#include "stage/limits/limiter.h"

#include "ebbgate/base/assert.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace ebbgate::limits {

namespace {

std::uint32_t amount_of(const rule& rule, const request& request) noexcept {
    return rule.counts == unit::messages ? 1 : request.recipients;
}

} // namespace

limiter::limiter(counter_table& table)
    : table_(table), overrides_(std::make_shared<const override_map>()) {}

std::optional<refusal> limiter::check(const request& request) const {
    for (const charge& charge : request.charges) {
        const std::uint32_t amount = amount_of(*charge.rule, request);
        const in_force now = rate_for(*charge.rule, charge.subject, request.now);
        if (amount == 0 || !now.is_counted || !now.is_limited) {
            continue;
        }
        const auto window = table_.peek(now.key, now.rate, request.now);
        const std::uint32_t used = window ? window->used : 0;
        if (amount <= now.rate.count && used <= now.rate.count - amount) {
            continue;
        }
        const bool waiting_helps = window && amount <= now.rate.count;
        return refusal{refusal_reason::exceeded,
                       charge,
                       now.rate,
                       used,
                       now.raised_until.has_value(),
                       waiting_helps ? std::optional(window->ends) : std::nullopt};
    }
    return std::nullopt;
}

std::expected<receipt, refusal> limiter::take(const request& request) {
    EBBGATE_ASSERT(request.charges.size() <= charges_max);
    if (request.charges.size() > 1) {
        if (auto refused = check(request)) {
            return std::unexpected(*refused);
        }
    }
    receipt taken;
    for (const charge& charge : request.charges) {
        const std::uint32_t amount = amount_of(*charge.rule, request);
        const in_force now = rate_for(*charge.rule, charge.subject, request.now);
        if (amount == 0 || !now.is_counted) {
            continue;
        }
        const auto got = table_.take(now.key, now.rate, amount, request.now);
        if (got) {
            taken.tickets[taken.count++] = got->ticket;
        } else if (now.is_limited) {
            give_back(taken);
            return std::unexpected(refusal{got.error().reason,
                                           charge,
                                           now.rate,
                                           got.error().used,
                                           now.raised_until.has_value(),
                                           got.error().frees});
        }
    }
    return taken;
}

void limiter::give_back(const receipt& receipt) {
    for (std::size_t i = receipt.count; i > 0; --i) {
        (void)table_.give_back(receipt.tickets[i - 1]);
    }
}

standing limiter::read(const rule& rule, std::string_view subject, time_point now) const {
    const in_force rate = rate_for(rule, subject, now);
    standing stands;
    stands.rate = rate.is_limited ? rate.rate : config::unlimited_rate;
    stands.raised_until = rate.raised_until;
    if (rate.is_counted) {
        if (const auto window = table_.peek(rate.key, rate.rate, now)) {
            stands.used = window->used;
            stands.ends = window->ends;
        }
    }
    return stands;
}

result<void> limiter::replace(std::vector<raised> overrides, time_point now) {
    std::erase_if(overrides, [now](const raised& one) { return one.until <= now; });
    auto made = std::make_shared<override_map>();
    for (const raised& override : overrides) {
        const std::size_t bytes = override.rule.size() + override.subject.size();
        if (override.rule.empty() || bytes > override_text_bytes_max ||
            override.rate.period < std::chrono::seconds(0) ||
            override.rate.period > config::rate_period_max ||
            override.rate.count > config::rate_count_max) {
            return fail(failure_kind::bad_input,
                        "limits: an override needs a rule, a subject and a rate within bounds");
        }
        made->insert_or_assign(table_.key_of(override.rule, override.subject), override);
    }
    if (made->size() > overrides_max) {
        return fail(failure_kind::no_space,
                    fmt::format("limits: {} overrides, at most {}", made->size(), overrides_max));
    }
    put_in_force(std::move(made));
    return {};
}

limiter::in_force
limiter::rate_for(const rule& rule, std::string_view subject, time_point now) const {
    in_force found;
    found.key = table_.key_of(rule.name, subject);
    found.rate = rule.rate;
    if (has_overrides_.load(std::memory_order_acquire)) {
        const std::shared_lock lock(moving_);
        const auto at = overrides_->find(found.key);
        if (at != overrides_->end() && at->second.until > now) {
            found.rate = at->second.rate;
            found.raised_until = at->second.until;
        }
    }
    if (found.rate.is_unlimited()) {
        // A limited rule goes on counting: its limit is in force again when the override ends.
        found.is_limited = false;
        found.is_counted = !rule.rate.is_unlimited();
        found.rate = {std::numeric_limits<std::uint32_t>::max(), rule.rate.period};
    }
    return found;
}

void limiter::put_in_force(std::shared_ptr<const override_map> changed) {
    const bool any = !changed->empty();
    {
        const std::lock_guard lock(moving_);
        overrides_.swap(changed);
        has_overrides_.store(any, std::memory_order_release);
    }
    // What it was is freed here, after the lock.
}

} // namespace ebbgate::limits
