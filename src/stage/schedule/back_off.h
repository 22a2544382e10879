// How long to wait before the next attempt: exponential, bounded, with jitter.
//
// Owner   One per scheduler; a seed makes it repeatable in tests.

#pragma once

#include <cstdint>

namespace ebbgate::schedule {

struct retry_settings {
    std::int64_t first_ms = 60'000;
    double factor = 2;
    std::int64_t max_ms = 4 * 3'600'000;
    std::int64_t max_age_ms = 5LL * 24 * 3'600'000; // 60 days at most: ticks compare by difference.
};

// first * factor^(attempts - 1), at most max; attempts counts from 1.
[[nodiscard]] std::int64_t back_off_ms(std::int64_t first_ms,
                                       double factor,
                                       std::int64_t max_ms,
                                       std::uint32_t attempts) noexcept;

// splitmix64: small state, good enough to spread retries, never for secrets.
class jitter {
public:
    explicit jitter(std::uint64_t seed) : state_(seed) {}

    // `wait_ms` plus up to a fifth of it more: messages deferred together do not come back
    // together.
    [[nodiscard]] std::int64_t spread(std::int64_t wait_ms) noexcept;

private:
    std::uint64_t state_;
};

} // namespace ebbgate::schedule
