// The messages of a shard that are not done: in memory while somebody works on them, else cold.
//
// Input   Messages from inbound and recovery, requests for one of them.
// Output  The message, read back from the spool when it is cold.
// Owner   Outbound of one shard.
// Fails   A message that cannot be read is told as null: `why` says whether for now or for good.
// Bounds  readings_max messages are read at a time, the rest wait; 56 bytes a cold
//         one, and its place in an index.

#pragma once

#include "ebbgate/spool/reader.h"
#include "ebbgate/spool/shard_files.h"

#include "relay/cold_messages.h"
#include "relay/queued_message.h"
#include "stage/schedule/scheduler.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::task {
class reactor;
}

namespace ebbgate::relay {

class live_messages {
public:
    static constexpr std::size_t readings_max = 32;

    // With the reader that has it, when it was read for this; its body may follow from there.
    using use = std::function<void(queued_message*, std::unique_ptr<spool::message_reader>)>;

    live_messages(task::reactor& reactor,
                  spool::device& disk,
                  spool::shard_files& files,
                  const schedule::scheduler& scheduler)
        : reactor_(reactor), disk_(disk), files_(files), scheduler_(scheduler) {}

    queued_message& add(std::unique_ptr<queued_message> message);

    // Null: it is cold, or not here.
    [[nodiscard]] queued_message* find(std::uint64_t id) noexcept;
    [[nodiscard]] const queued_message* find(std::uint64_t id) const noexcept;
    [[nodiscard]] const spool::location* where(std::uint64_t id) const noexcept;

    [[nodiscard]] bool contains(std::uint64_t id) const noexcept { return where(id) != nullptr; }

    // They will be looked for soon: the cold ones' places are brought near.
    void ask_for(std::span<const std::uint64_t> ids) const noexcept { cold_.ask_for(ids); }

    // A copy of it lies there now.
    void moved(std::uint64_t id, const spool::location& where) noexcept;
    // An item of it has left the scheduler; `sibling` is another one or no_slot.
    void item_left(std::uint64_t id, std::uint32_t slot, std::uint32_t sibling) noexcept;
    // One of its items in the scheduler; no_slot: none.
    [[nodiscard]] std::uint32_t first_slot(std::uint64_t id) const noexcept;
    // Every recipient of its items, wherever they wait.
    [[nodiscard]] schedule::recipient_set outstanding(std::uint64_t id) const;

    // Calls `then` with the message, at once when it is in memory, else when it has been read. Who
    // keeps it longer than the call says keep(). Null: it is gone, or unreadable.
    void with(std::uint64_t id, use then);

    static void keep(queued_message& message) noexcept { ++message.users; }

    // The last one to let go has `unused` called, which may end it or cool() it.
    void let_go(queued_message& message);

    void set_unused(std::function<void(queued_message&)> unused) { unused_ = std::move(unused); }

    // Out of the memory unless somebody works on it. Returns the bytes of the body that it held.
    std::uint64_t cool(queued_message& message);
    void erase(std::uint64_t id);

    [[nodiscard]] std::size_t size() const noexcept { return warm_.size() + cold_.size(); }

    [[nodiscard]] std::size_t cold_count() const noexcept { return cold_.size(); }

    [[nodiscard]] std::size_t reading_count() const noexcept { return readings_.size(); }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept { return cold_.footprint_bytes(); }

private:
    struct reading {
        live_messages* owner = nullptr;
        std::uint64_t id = 0;
        std::unique_ptr<spool::message_reader> reader;
        std::vector<use> waiting;
    };

    void start(std::uint64_t id, std::vector<use> waiting);
    void finish(reading& done, spool::read_status status);
    queued_message* warm_up(std::uint64_t id, byte_view meta);

    task::reactor& reactor_;
    spool::device& disk_;
    spool::shard_files& files_;
    const schedule::scheduler& scheduler_;
    std::unordered_map<std::uint64_t, std::unique_ptr<queued_message>> warm_;
    cold_messages cold_;
    std::unordered_map<std::uint64_t, std::unique_ptr<reading>> readings_;
    std::deque<std::uint64_t> queue_; // Ids that wait to be read.
    std::unordered_map<std::uint64_t, std::vector<use>> queued_;
    std::function<void(queued_message&)> unused_;
};

} // namespace ebbgate::relay
