// Signs the messages of a shard together: eight RSA signatures cost little more than one where the
// CPU has the vectors for it. So a message waits a moment while others are coming in.
//
// Input   How many messages are on their way; those that are there, with what is to be signed.
// Output  Their signatures, in a later turn: when there are eight, when no other is to be expected,
//         or wait_ms_max after the first. One that failed has none.
// Owner   The shard. A request is its owner's and stays where it is until it was signed.
// Bounds  One batch a turn, about a millisecond with 2048 bits. Without the vectors nobody waits.

#pragma once

#include "ebbgate/dkim/signer.h"

#include "runtime/task/reactor.h"

#include <array>
#include <cstdint>
#include <vector>

namespace ebbgate::relay {

struct signing_request {
    std::vector<dkim::prepared_signature> signatures;
    void (*on_signed)(signing_request& request) noexcept = nullptr;
};

class signing_batch {
public:
    static constexpr std::uint64_t wait_ms_max = 3;

    explicit signing_batch(task::reactor& reactor, std::uint64_t wait_ms = wait_ms_max);
    ~signing_batch();
    signing_batch(const signing_batch&) = delete;
    signing_batch& operator=(const signing_batch&) = delete;

    // A message comes in that will be added, or be given up.
    void expect() noexcept { ++expected_; }

    // It was, either way.
    void arrived();

    void add(signing_request& request);

private:
    struct deadline : task::timer {
        signing_batch* owner = nullptr;
    };

    [[nodiscard]] bool more_to_come() const noexcept;
    void wait();
    void run_soon();
    void run(bool all);

    task::reactor& reactor_;
    std::uint64_t wait_ms_;
    std::vector<signing_request*> waiting_;
    std::size_t waiting_rsa_ = 0; // Signatures of those.
    std::size_t expected_ = 0;
    std::array<std::uint64_t, dkim::batch_max> added_ms_{}; // The last ones, in turns.
    std::size_t added_ = 0;
    deadline deadline_;
    bool posted_ = false;
};

} // namespace ebbgate::relay
