// The content of one attachment that may become a link, on its way into the blob store.
//
// Input   Decoded bytes in any pieces; then drop(), or keep() with the link that it gets.
// Output  A durable link, or nothing: what is dropped, or whose message is not stored, is gone.
// Owner   A draft, in the shard's thread; alive until idle().
// Fails   state() says how, once, by the progress handler: the disk, or the store.
// Bounds  head_bytes_max in memory before there is a file, so that most attachments never have one;
//         then two buffers of write_bytes: is_blocked() when one is full and the other is not
//         written yet, or the file not made. None is kept when all is done.
// Specs   docs/filelink.md.

#pragma once

#include "ebbgate/base/bytes.h"

#include "crypto/hash.h"
#include "relay/context.h"
#include "runtime/task/flow.h"
#include "runtime/task/scope.h"
#include "store/blob/blob_store.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::relay {

class staged_file {
public:
    static constexpr std::size_t head_bytes_max = 128 * kib;
    static constexpr std::size_t write_bytes = 256 * kib;

    enum class state : std::uint8_t { open, keeping, durable, dropped, failed, no_space };

    // There is room again, or state() has changed.
    using progress_handler = void (*)(void* context) noexcept;

    staged_file(relay::context& context, progress_handler on_progress, void* handler_context);
    ~staged_file();
    staged_file(const staged_file&) = delete;
    staged_file& operator=(const staged_file&) = delete;

    // Takes all of it.
    void append(byte_view decoded);

    // The content is over. `wanted` lacks its hash and size, which are known here.
    void keep(blob::link&& wanted);
    // In any state: a link that is durable, or about to be, is withdrawn.
    void drop();

    [[nodiscard]] state now() const noexcept { return state_; }

    [[nodiscard]] bool is_blocked() const noexcept {
        return state_ == state::open && running_ && filling_.size() >= write_bytes;
    }

    // Nothing is under way; only then may it be destroyed.
    [[nodiscard]] bool idle() const noexcept { return !running_; }

    // What its buffers hold.
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return filling_.capacity() + leaving_.capacity();
    }

    [[nodiscard]] const blob::link& link() const noexcept { return *link_; }

private:
    [[nodiscard]] task::flow<> run();
    [[nodiscard]] task::flow<bool> write_out();
    [[nodiscard]] task::flow<bool> make_durable();
    void close_file();
    void wake();
    void fail(failure_kind why);
    void withdraw();

    relay::context& context_;
    progress_handler on_progress_;
    void* handler_context_;
    task::signal more_;
    std::string filling_;
    std::string leaving_; // What is being written.
    crypto::hash hash_;
    std::optional<blob::link> link_; // From keep() on.
    std::uint64_t bytes_ = 0;
    std::uint64_t written_bytes_ = 0;
    int fd_ = -1;
    state state_ = state::open;
    bool running_ = false;
};

} // namespace ebbgate::relay
