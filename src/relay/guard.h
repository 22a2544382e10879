// Whom the gateway refuses: strikes and bans, as a shard sees them.
//
// Owner   The daemon, which implements it on a thread of its own; outlives the shards.
// Fails   A strike that cannot be counted (the queue is full) is answered as not banned.
// Bounds  The implementation's queue.

#pragma once

#include "config/address.h"
#include "runtime/task/reactor.h"

#include <cstdint>
#include <functional>
#include <string>

namespace ebbgate::relay {

enum class offence : std::uint8_t {
    login,                      // A wrong login or password.
    insecure_authentication,    // AUTH in the clear.
    sender,                     // Envelope or header sender that is not the client's to use.
    interrupted_authentication, // Lost or timed out between AUTH and its final reply.
};

class guard {
public:
    // From any thread. `done` runs on the thread of `home`, with whether the address is banned by
    // then: the kernel already refuses it, and the client's next attempt will not get in.
    virtual void strike(const std::string& address,
                        offence cause,
                        task::reactor& home,
                        std::function<void(bool banned)> done) = 0;

    // From any thread: at each accept, for what the kernel does not refuse.
    [[nodiscard]] virtual bool is_banned(const config::ip_address& client) const = 0;
    // A socket that will listen: the kernel refuses for it from now on, if it does at all.
    virtual void protect(int listening_fd) = 0;

protected:
    ~guard() = default;
};

} // namespace ebbgate::relay
