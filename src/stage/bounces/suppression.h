// What delivery asks and tells about recipients that bounced for good.
//
// Owner   The daemon; outlives the shards. Any thread calls.
// Fails   Never: what cannot be kept is dropped, and the recipient bounces once more.
// Bounds  Neither call waits for a disk.

#pragma once

#include <cstdint>
#include <string_view>

namespace ebbgate::bounces {

struct hard_bounce {
    std::string_view tenant;
    std::string_view address;
    std::string_view name;  // The class.
    std::string_view reply; // "550 5.1.1 ...", for who looks at the list.
    std::int64_t unix_s = 0;
    std::int64_t expires_unix_s = 0; // 0: never.
};

class suppression {
public:
    // Mail of this tenant for this address need not be tried.
    [[nodiscard]] virtual bool is_suppressed(std::string_view tenant,
                                             std::string_view address) const noexcept = 0;
    // From now on it is not.
    virtual void note_bounce(const hard_bounce& bounce) = 0;

protected:
    ~suppression() = default;
};

} // namespace ebbgate::bounces
