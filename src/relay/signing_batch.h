// Signs the messages that a shard finished within one turn of its loop, together: eight RSA
// signatures cost little more than one where the CPU has the vectors for it.
//
// Input   Messages with what is to be signed.
// Output  Their signatures, before the next turn. One that failed has none.
// Owner   The shard. A request is its owner's and stays where it is until it was signed or taken
//         back.
// Bounds  What a shard's connections can finish in a turn. The time of eight, about a millisecond,
//         for each eight.

#pragma once

#include "ebbgate/dkim/signer.h"

#include "runtime/task/reactor.h"

#include <vector>

namespace ebbgate::relay {

struct signing_request {
    std::vector<dkim::prepared_signature> signatures;
    void (*on_signed)(signing_request& request) noexcept = nullptr;
};

class signing_batch {
public:
    explicit signing_batch(task::reactor& reactor) : reactor_(reactor) {}

    signing_batch(const signing_batch&) = delete;
    signing_batch& operator=(const signing_batch&) = delete;

    void add(signing_request& request);

private:
    void run();

    task::reactor& reactor_;
    std::vector<signing_request*> waiting_;
    bool posted_ = false;
};

} // namespace ebbgate::relay
