// A message on its way into the spool: filled by a connection, settled by the commit.
//
// Input   Envelope, then wire-form bytes in any pieces, then finish().
// Output  A queued message to outbound and a reply to the connection, once the commit is durable.
// Owner   The shard. It outlives a connection that goes away before its message is durable, and
//         deletes itself when it has settled or was abandoned and nothing is under way.
// Fails   451 or 452 when the spool or the store of links cannot; nothing of it is then kept.
// Bounds  In memory up to the inline limit; beyond it two blocks, and the whole body only while
//         it is below hot_body_bytes_max and the shard's budget allows. All of it counts against
//         the budget: what does not fit there is refused with 452 4.3.1. Links are made durable
//         while the body comes in, keeping_max at a time.

#pragma once

#include "ebbgate/base/chunks.h"
#include "ebbgate/base/result.h"
#include "ebbgate/spool/large_body.h"
#include "ebbgate/spool/writer.h"

#include "relay/context.h"
#include "relay/queued_message.h"
#include "relay/staged_file.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::relay {

class inbound_connection;
class outbound;
class connection_registry;

class draft {
public:
    static constexpr std::size_t hot_body_bytes_max = 4 * mib;
    static constexpr std::size_t keeping_max = 8;

    draft(relay::context& context,
          relay::outbound& outbound,
          connection_registry& registry,
          inbound_connection& connection,
          message::envelope&& envelope);
    draft(const draft&) = delete;
    draft& operator=(const draft&) = delete;

    void append(byte_view wire);

    // The place to go back to: what is appended from here on may be taken back by rewind().
    void mark();
    void rewind();

    // An attachment that may become a link; one at a time.
    void begin_file();
    void add_to_file(byte_view decoded);
    void drop_file();
    // It becomes one; the message is stored when the link is.
    void keep_file(blob::link&& wanted);

    // It was counted against the sending limits; not stored, it does not count.
    void counted(const limits::receipt& receipt) { receipt_ = receipt; }

    // No more input for now: the disk is behind.
    [[nodiscard]] bool is_blocked() const noexcept;
    // All is there. The signatures are made first; `prefix` goes on top, below them, and `how` to
    // the log.
    void finish(std::vector<dkim::prepared_signature> signatures,
                std::string prefix,
                const how_received& how);
    // Keep nothing. The draft is gone for the caller.
    void abandon();

    // The connection is gone; the message goes on.
    void orphan() noexcept { connection_ = nullptr; }

    // The one it waits for cannot be made: 452 or 451.
    void body_file_failed(failure_kind why);
    // The registry's turn: tries again to get a body file.
    void body_file_may_be_free();

    [[nodiscard]] const message::envelope& envelope() const noexcept { return envelope_; }

    // The client is told why at the end of the message.
    [[nodiscard]] bool has_failed() const noexcept { return failure_.has_value(); }

    // As it is stored, without the prefix.
    [[nodiscard]] std::uint64_t body_bytes() const noexcept { return body_bytes_; }

private:
    struct request : spool::append_request {
        draft* owner = nullptr;
    };

    struct signing : signing_request {
        draft* owner = nullptr;
    };

    ~draft();

    void spill();
    void feed_large();
    void signed_all();
    void finish_body();
    void files_went_on();
    void count_files();
    void drop_files();
    [[nodiscard]] std::size_t files_under_way() const noexcept;
    void commit();
    void settle(spool::append_status status, const spool::location& where);
    void fail_with(const smtp::reply& reply);
    void drop_body();
    void release_hot();
    void hold(std::uint64_t bytes);
    void maybe_delete();

    [[nodiscard]] std::size_t waiting_bytes() const noexcept {
        return pending_.size() - pending_at_;
    }

    relay::context& context_;
    relay::outbound& outbound_;
    connection_registry& registry_;
    inbound_connection* connection_;
    message::envelope envelope_;
    std::string prefix_;
    how_received how_;
    std::string meta_;
    chunks body_;
    std::string pending_; // Of a large body; from pending_at_ on not yet taken by the file.
    std::size_t pending_at_ = 0;
    std::unique_ptr<spool::large_body> large_;
    std::uint32_t body_file_ = spool::no_body_file;
    request request_;
    std::unique_ptr<signing> signing_; // While it waits for its signatures.
    std::uint64_t body_bytes_ = 0;
    std::uint64_t hot_bytes_ = 0;  // What of the budget its body holds,
    std::uint64_t held_bytes_ = 0; // and what its buffers and its encoded envelope hold.
    std::vector<std::unique_ptr<staged_file>> files_; // The links, and what is being given up.
    staged_file* open_file_ = nullptr;                // In files_.
    std::uint64_t files_bytes_ = 0;                   // What of the budget they hold.
    std::uint64_t marked_bytes_ = 0;                  // Of the body.
    std::optional<limits::receipt> receipt_;
    std::optional<smtp::reply> failure_; // Found before the end of the message; told there.
    bool spilled_ = false;
    bool finished_ = false;
    bool marked_ = false;
    bool waits_for_files_ = false;
    bool with_writer_ = false; // It points to request_.
    bool durable_ = false;
    bool over_ = false; // Settled, failed or abandoned: only operations may be under way.
    bool deleting_ = false;
};

} // namespace ebbgate::relay
