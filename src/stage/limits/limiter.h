// A message against all the limits that count it: all of them have room, or it is refused.
//
// Stage   Between policy and spool, called by the relay: check() at each RCPT, take() at the final
//         dot, give_back() when the message is not stored after all.
// Input   Rules with the subject each counts for this message; the number of recipients.
// Output  A receipt, or the rule that refused, its rate in force, its count and when it frees.
// Owner   Any thread; shared by all shards. Overrides come from the management thread.
// Fails   replace() on faulty or too many overrides.
// Bounds  charges_max, overrides_max, override_text_bytes_max.
//
// Never one too many. While two messages race for the last units of several rules, each may take
// one and be refused by the other's; so may a message whose second rule refuses hold back a third
// one for that moment. Rules with no room are looked for first, so this needs a race at the limit.

#pragma once

#include "ebbgate/base/result.h"

#include "config/rate.h"
#include "stage/limits/counter_table.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::limits {

inline constexpr std::size_t charges_max = 8; // Sender, account, tenant, each in both units; spare.
inline constexpr std::size_t overrides_max = 100'000;
inline constexpr std::size_t override_text_bytes_max = 1024; // Rule and subject together.

enum class unit : std::uint8_t { messages, recipients };

struct rule {
    // Counts are kept under it, so it is unique and stays; outlives the rule.
    std::string_view name;
    unit counts = unit::messages;
    config::rate rate;
};

// One rule, and whom it counts here: a sender, a login, a tenant, as the policy spells it.
struct charge {
    const limits::rule* rule = nullptr;
    std::string_view subject;
};

struct request {
    std::span<const charge> charges;
    std::uint32_t recipients = 1; // At RCPT: with the one asked for.
    time_point now;
};

struct refusal {
    refusal_reason reason = refusal_reason::exceeded;
    charge charged;                  // The rule that refused; points to where the request did.
    config::rate rate;               // In force for this subject.
    std::uint32_t used = 0;          // Before this message.
    bool is_raised = false;          // The rate is an override's.
    std::optional<time_point> frees; // Empty as in not_taken.
};

// What was taken, to be given back: or dropped, when the message is stored.
struct receipt {
    std::array<ticket, charges_max> tickets;
    std::size_t count = 0;
};

// Another rate for one subject of one rule, up to a time.
struct raised {
    std::string rule;
    std::string subject;
    config::rate rate;
    time_point until;
};

// How a subject stands with a rule, for `why`.
struct standing {
    config::rate rate; // In force.
    std::uint32_t used = 0;
    std::optional<time_point> ends;         // Of the window, when one is open.
    std::optional<time_point> raised_until; // When the rate is an override's.
};

class limiter {
public:
    // The table outlives the limiter.
    explicit limiter(counter_table& table);

    // Whether take() would be refused now. Takes nothing.
    [[nodiscard]] std::optional<refusal> check(const request& request) const;

    [[nodiscard]] std::expected<receipt, refusal> take(const request& request);

    // Once; into the same windows only.
    void give_back(const receipt& receipt);

    [[nodiscard]] standing read(const rule& rule, std::string_view subject, time_point now) const;

    // These and no others, in one step: from the next message on, on every thread, with the counts
    // as they are. Those that are over are left out; a faulty one refuses all.
    [[nodiscard]] result<void> replace(std::vector<raised> overrides, time_point now);

    // Also for rules that limit nobody else.
    [[nodiscard]] bool has_overrides() const noexcept { return has_overrides_.load(); }

private:
    struct key_hash {
        std::size_t operator()(const key& key) const noexcept {
            return static_cast<std::size_t>(key.low); // Is a hash.
        }
    };

    using override_map = std::unordered_map<key, raised, key_hash>;

    struct in_force {
        limits::key key;
        config::rate rate;
        bool is_limited = true; // Else it is only counted, for the time after the override.
        bool is_counted = true;
        std::optional<time_point> raised_until;
    };

    [[nodiscard]] in_force
    rate_for(const rule& rule, std::string_view subject, time_point now) const;
    void put_in_force(std::shared_ptr<const override_map> changed);

    counter_table& table_;
    // Made anew and then put in place, so readers only ever wait for a pointer to move; and while
    // there are no overrides they do not even lock.
    mutable std::shared_mutex moving_;
    std::shared_ptr<const override_map> overrides_;
    std::atomic<bool> has_overrides_{false};
};

} // namespace ebbgate::limits
