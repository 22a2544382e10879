// One TCP connection on a ring: bytes in as they come, bytes out in order, closed exactly once.
//
// Input   Completions of a multishot receive; each chunk goes to the observer at once.
// Output  Writes are gathered and sent as one SENDMSG a turn; one send is in flight at a time.
// Owner   The reactor's thread. The stream frees itself: after close() or on_closed() the owner
//         must not touch it again, and gets no more calls.
// Fails   on_closed() with the reason, once, when the peer ends or breaks the connection.
// Bounds  Unread input kept while paused: input_kept_bytes_max, then receiving stops and TCP's own
//         flow control holds the peer. Output above output_high_bytes: can_write() is false.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/chunks.h"

#include "runtime/task/reactor.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ebbgate::net {

enum class close_reason : std::uint8_t { peer_closed, reset, send_stalled, tls_failed };

class stream;

class stream_observer {
public:
    // Returns how many bytes it took. What it leaves is kept and offered again by resume_input().
    virtual std::size_t on_input(byte_view bytes) noexcept = 0;
    // The connection is gone; the stream must not be used any more.
    virtual void on_closed(close_reason reason) noexcept = 0;

    // The peer sends nothing more; it may still read (RFC 9293 3.6). True: there is an answer or
    // kept input yet, and the observer will close(). False: on_closed() follows. Optional.
    virtual bool on_peer_finished() noexcept { return false; }

    // All output has left for the kernel. Optional.
    virtual void on_output_sent() noexcept {}

protected:
    ~stream_observer() = default;
};

// What stands between the observer and the wire: TLS. Everything is synchronous and in memory.
class filter {
public:
    enum class status : std::uint8_t { good, failed, closed };

    virtual ~filter() = default;
    // Takes bytes from the wire; plain text goes to deliver_plain(), answers to put_wire().
    virtual status receive(stream& stream, byte_view wire) noexcept = 0;
    virtual status send(stream& stream, byte_view plain) noexcept = 0;
    // Sends the close alert.
    virtual void finish(stream& stream) noexcept = 0;
};

// Collects the streams of a reactor that have output, and flushes them once a turn.
class flusher final : public task::turn_hook {
public:
    explicit flusher(task::reactor& reactor) { reactor.add_hook(*this); }

    bool on_turn() noexcept override;

    void add(stream& stream) { dirty_.push_back(&stream); }

    void remove(stream& stream) noexcept;

    void starve(stream& stream) { starved_.push_back(&stream); }

private:
    std::vector<stream*> dirty_;
    std::vector<stream*> starved_;
};

class stream {
public:
    static constexpr std::size_t input_kept_bytes_max = 64 * kib;
    static constexpr std::size_t output_high_bytes = 256 * kib;
    static constexpr std::uint64_t send_stall_ms = 180'000; // RFC 5321 4.5.3.2.5, data block.

    stream(task::reactor& reactor, flusher& flusher, int fd, stream_observer& observer);
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    void start_input();
    void write(byte_view bytes);
    // Sends the blocks without copying them (through TLS: encrypts them at once).
    void write(const chunks& body);

    [[nodiscard]] bool can_write() const noexcept { return output_bytes_ < output_high_bytes; }

    [[nodiscard]] std::size_t output_bytes() const noexcept { return output_bytes_; }

    // Offers kept input again; call it after a state change that makes the observer able to go on.
    void resume_input();
    // No more calls of the observer. Output written so far is still sent, then the socket closes.
    void close();
    // The same at once, with a reset; output is dropped.
    void abort();

    // From now on all bytes pass through `filter`. Output written before leaves as it is.
    void set_filter(std::unique_ptr<filter> filter) { filter_ = std::move(filter); }

    [[nodiscard]] filter* get_filter() noexcept { return filter_.get(); }

    // Input that arrived but was not taken yet (STARTTLS: there must be none).
    [[nodiscard]] bool has_kept_input() const noexcept { return !kept_.empty(); }

    // Bytes as they came from the wire: also those that an observer was given before it knew that
    // they are for the filter.
    void take_wire(byte_view wire) noexcept;

    // For the filter.
    void deliver_plain(byte_view bytes) noexcept;
    void put_wire(byte_view bytes);

    [[nodiscard]] int descriptor() const noexcept { return fd_; }

private:
    friend class flusher;

    ~stream();

    struct output_piece {
        std::string text;
        chunks body;
    };

    struct stream_operation : ring::operation {
        stream* owner = nullptr;
    };

    struct stall_timer : task::timer {
        stream* owner = nullptr;
    };
    struct sending;

    static void
    on_receive(ring::operation& operation, std::int32_t result, std::uint32_t flags) noexcept;
    static void
    on_sent(ring::operation& operation, std::int32_t result, std::uint32_t flags) noexcept;
    [[nodiscard]] bool is_broken() const noexcept;
    void mark_dirty();
    void flush() noexcept;
    void submit_send() noexcept;
    void end_input() noexcept;
    void fail_with(close_reason reason) noexcept;
    void tear_down() noexcept;
    void maybe_free() noexcept;

    task::reactor& reactor_;
    flusher& flusher_;
    stream_observer* observer_;
    std::unique_ptr<filter> filter_;
    std::string kept_;
    std::vector<output_piece> output_;
    std::unique_ptr<sending> sending_;
    stream_operation receive_;
    stream_operation send_;
    stall_timer stall_;
    std::size_t output_bytes_ = 0;
    int fd_;
    bool wants_input_ = false;
    bool input_ended_ = false;
    bool fresh_receive_ = false; // Armed, and nothing came by it yet.
    bool dirty_ = false;
    bool closing_ = false;   // Send what is there, then close.
    bool torn_down_ = false; // Operations are being given up.
    bool in_input_ = false;  // Inside the observer's on_input().
};

} // namespace ebbgate::net
