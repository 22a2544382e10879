// Reads one stored message back, and hands out nothing whose hash does not hold.
//
// Input   The location of a live message.
// Output  Its meta, then its body in blocks of up to 256 KiB (an inline body is one block).
// Owner   One shard thread; one message at a time; keep it alive while busy().
// Fails   read_status: a mismatch is read once more before it is called damaged.
// Bounds  The stored record (below 1.3 MiB), and 256 KiB for a body file.
// Specs   docs/spool-format.md.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/spool/location.h"
#include "ebbgate/spool/shard_files.h"
#include "ebbgate/spool/storage.h"

#include <cstdint>
#include <memory>

namespace ebbgate::spool {

// What start() looks at: `envelope` leaves a body file alone; then only meta() is there, and for an
// inline body block() too.
enum class read_scope : std::uint8_t { message, envelope };

enum class read_status : std::uint8_t {
    ready,   // meta() after start(), block() after next().
    failed,  // The device refused twice.
    damaged, // What is stored is not what was written. meta() is empty, or the part that is good.
};

class message_reader {
public:
    using event_handler = void (*)(message_reader&, read_status, void* context) noexcept;

    message_reader(device& disk, shard_files& files, event_handler on_event, void* context);
    // Not while busy().
    ~message_reader();
    message_reader(const message_reader&) = delete;
    message_reader& operator=(const message_reader&) = delete;

    // Verifies the whole message, then one event. Pins its segment until then, and its body file
    // until finish() or the destructor.
    void
    start(std::uint64_t message_id, const location& where, read_scope scope = read_scope::message);
    // Who gets the events from here on. Not while busy().
    void set_handler(event_handler on_event, void* context) noexcept;
    // True: block() is there now (empty: the end). False: one event follows.
    // The last block of a body file is shown only when the second reading hashed well too.
    [[nodiscard]] bool next();
    // Lets go of the files and starts over with the next start(). Not while busy().
    void finish() noexcept;

    [[nodiscard]] bool busy() const noexcept; // An operation is under way.
    [[nodiscard]] byte_view meta() const noexcept;
    [[nodiscard]] byte_view block() const noexcept; // Valid until next() or finish().
    [[nodiscard]] std::uint64_t body_bytes() const noexcept;
    // Seed and hash of a body file, for append_request::relocated_*.
    [[nodiscard]] std::uint64_t body_seed() const noexcept;
    [[nodiscard]] std::uint64_t body_hash() const noexcept;

private:
    struct reading;
    std::unique_ptr<reading> reading_;
};

} // namespace ebbgate::spool
