// Copies the live messages out of the oldest segment, so that one long-lived message does not keep
// the whole log behind it.
//
// Input   The writer's word on which segment to empty; outbound's live messages.
// Output  Newer copies, and moved or done marks for the older.
// Owner   The shard; its flows belong to the shard's scope.
// Fails   A message that cannot be read or written stays where it is; the pass is repeated later.
// Bounds  moves_max messages at a time, each with its stored record in memory.
// Specs   docs/spool-format.md, "Relocation".

#pragma once

#include "relay/context.h"
#include "runtime/task/flow.h"

#include <cstddef>
#include <cstdint>

namespace ebbgate::relay {

class outbound;

class relocation {
public:
    static constexpr std::size_t moves_max = 16;

    relocation(relay::context& context, relay::outbound& outbound);
    relocation(const relocation&) = delete;
    relocation& operator=(const relocation&) = delete;

    // Once a turn: begins a pass when the writer asks for one.
    void on_turn();

    [[nodiscard]] std::uint64_t moved() const noexcept { return moved_; }

private:
    task::flow<> pass(std::uint64_t segment_id);
    task::flow<> move(std::uint64_t message_id);

    relay::context& context_;
    relay::outbound& outbound_;
    task::signal one_ended_; // Awaited by the pass.
    std::size_t moving_ = 0;
    std::uint64_t moved_ = 0;
    bool passing_ = false;
};

} // namespace ebbgate::relay
