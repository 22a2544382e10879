// The queue id of a message: a 64-bit number that is never used twice in one spool.
//
// The upper 56 bits are microseconds since 1970 (strictly increasing in a shard), the lower 8 the
// shard, so ids sort by age and two shards never meet. Text form: 13 characters of Crockford
// base32, upper case, as in the reply to DATA and in every log line.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::message {

class id_source {
public:
    // `last_used` is the highest id that recovery found for this shard, or 0.
    id_source(std::uint8_t shard, std::uint64_t last_used) : last_(last_used), shard_(shard) {}

    // Monotonic even when the wall clock jumps back.
    [[nodiscard]] std::uint64_t next(std::int64_t unix_us) noexcept;

private:
    std::uint64_t last_;
    std::uint8_t shard_;
};

[[nodiscard]] std::string to_text(std::uint64_t id);
[[nodiscard]] std::optional<std::uint64_t> from_text(std::string_view text);

} // namespace ebbgate::message
