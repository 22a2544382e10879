#include "runtime/net/stream.h"

#include "ebbgate/base/assert.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::net {

namespace {

constexpr std::size_t pieces_per_send_max = 256;
// The stall timer runs for each: a slow peer that takes this much in that time is no dead one.
constexpr std::size_t bytes_per_send_max = 256 * kib;

} // namespace

// The send in flight: what the kernel reads from must not move until its completion.
struct stream::sending {
    std::vector<output_piece> pieces;
    std::vector<iovec> vectors;
    std::size_t first = 0; // First vector not wholly sent.
    std::size_t bytes = 0;
    msghdr header{};

    void add(byte_view all) {
        while (!all.empty()) {
            const byte_view part = all.substr(0, bytes_per_send_max);
            all.remove_prefix(part.size());
            // iovec has no const form; the kernel only reads.
            vectors.emplace_back();
            vectors.back().iov_len = part.size();
            const void* base = part.data();
            std::memcpy(&vectors.back().iov_base, &base, sizeof base);
            bytes += part.size();
        }
    }

    // How many vectors from the first on go out at once.
    [[nodiscard]] std::size_t count_for_one_send() const {
        std::size_t count = 0;
        std::size_t total = 0;
        while (first + count < vectors.size() && count < pieces_per_send_max) {
            total += vectors[first + count].iov_len;
            if (count > 0 && total > bytes_per_send_max) {
                break;
            }
            ++count;
        }
        return count;
    }

    void begin(std::vector<output_piece>&& taken) {
        pieces = std::move(taken);
        vectors.clear();
        first = 0;
        bytes = 0;
        for (const output_piece& piece : pieces) {
            add(piece.text);
            for (std::size_t index = 0; index < piece.body.block_count(); ++index) {
                add(piece.body.block(index));
            }
        }
    }

    void advance(std::size_t sent) {
        bytes -= sent;
        while (sent > 0) {
            iovec& at = vectors[first];
            if (sent < at.iov_len) {
                at.iov_base = static_cast<char*>(at.iov_base) + sent;
                at.iov_len -= sent;
                return;
            }
            sent -= at.iov_len;
            ++first;
        }
    }
};

bool flusher::on_turn() noexcept {
    // A flush may mark other streams; they go next turn.
    std::vector<stream*> batch;
    batch.swap(dirty_);
    for (stream* dirty : batch) {
        if (dirty != nullptr) {
            dirty->dirty_ = false;
            dirty->flush();
        }
    }
    std::vector<stream*> starved;
    starved.swap(starved_);
    for (stream* again : starved) {
        if (again != nullptr && !again->torn_down_) {
            again->start_input();
        }
    }
    if (dirty_.empty() && batch.capacity() > 0) {
        batch.clear();
        dirty_.swap(batch);
    }
    return !dirty_.empty();
}

void flusher::remove(stream& stream) noexcept {
    std::replace(dirty_.begin(), dirty_.end(), &stream, static_cast<net::stream*>(nullptr));
    std::replace(starved_.begin(), starved_.end(), &stream, static_cast<net::stream*>(nullptr));
}

stream::stream(task::reactor& reactor, flusher& flusher, int fd, stream_observer& observer)
    : reactor_(reactor), flusher_(flusher), observer_(&observer), fd_(fd) {
    receive_.owner = this;
    receive_.on_complete = &stream::on_receive;
    send_.owner = this;
    send_.on_complete = &stream::on_sent;
    stall_.owner = this;
    stall_.on_expire = [](task::timer& timer) noexcept {
        static_cast<stall_timer&>(timer).owner->fail_with(close_reason::send_stalled);
    };
}

stream::~stream() {
    flusher_.remove(*this);
}

void stream::start_input() {
    wants_input_ = true;
    if (input_ended_) {
        return;
    }
    if (!receive_.in_flight() && !torn_down_ && kept_.size() < input_kept_bytes_max) {
        reactor_.io().receive_multishot(receive_, fd_);
        fresh_receive_ = true;
    }
}

bool stream::is_broken() const noexcept {
    pollfd state{fd_, 0, 0};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

void stream::on_receive(ring::operation& operation,
                        std::int32_t result,
                        std::uint32_t flags) noexcept {
    stream& self = *static_cast<stream_operation&>(operation).owner;
    if (self.torn_down_) {
        self.maybe_free();
        return;
    }
    if (result > 0) {
        // A reset that came, behind these bytes, before the receive was armed wakes it no second
        // time: without this look the connection would stay until its deadline.
        const bool broken = std::exchange(self.fresh_receive_, false) && self.is_broken();
        self.take_wire(self.reactor_.io().received(result, flags));
        if (broken && !self.torn_down_) {
            self.fail_with(close_reason::reset);
        } else if (!self.torn_down_ && !self.receive_.in_flight()) {
            self.start_input(); // The kernel ended the multishot (overflow, its own cap).
        } else if (self.torn_down_) {
            self.maybe_free();
        }
        return;
    }
    if (result == -ENOBUFS) {
        self.flusher_.starve(self);
        return;
    }
    if (result == -ECANCELED) {
        // Paused: the input kept was too much. resume_input() arms it again.
        if (self.kept_.size() < input_kept_bytes_max) {
            self.start_input();
        }
        return;
    }
    if (result == 0) {
        self.end_input();
    } else {
        self.fail_with(close_reason::reset);
    }
}

void stream::end_input() noexcept {
    if (std::exchange(input_ended_, true)) {
        return;
    }
    if (closing_ && (send_.in_flight() || !output_.empty())) {
        return; // The last reply is on its way; flush() ends it.
    }
    if (observer_ == nullptr || !observer_->on_peer_finished()) {
        fail_with(close_reason::peer_closed);
    }
}

void stream::take_wire(byte_view wire) noexcept {
    if (observer_ == nullptr) {
        return; // Closing: what still comes in is of no interest, nor are its faults.
    }
    if (filter_ == nullptr) {
        deliver_plain(wire);
        return;
    }
    const filter::status status = filter_->receive(*this, wire);
    if (torn_down_) {
        return;
    }
    if (status == filter::status::failed) {
        // The filter's alert, which says why, is in the output: it goes out before the end.
        stream_observer* told = std::exchange(observer_, nullptr);
        closing_ = true;
        kept_.clear();
        mark_dirty();
        if (told != nullptr) {
            told->on_closed(close_reason::tls_failed);
        }
    } else if (status == filter::status::closed) {
        end_input();
    }
}

void stream::deliver_plain(byte_view bytes) noexcept {
    if (observer_ == nullptr) {
        return;
    }
    if (!kept_.empty()) {
        kept_.append(bytes);
    } else {
        in_input_ = true;
        const std::size_t taken = observer_->on_input(bytes);
        in_input_ = false;
        if (observer_ == nullptr) {
            return;
        }
        kept_.append(bytes.substr(taken));
    }
    if (kept_.size() >= input_kept_bytes_max) {
        reactor_.io().cancel(receive_);
    }
}

void stream::resume_input() {
    if (in_input_ || observer_ == nullptr) {
        return; // The call that is running will see the new state.
    }
    while (!kept_.empty() && observer_ != nullptr) {
        std::string input;
        input.swap(kept_);
        in_input_ = true;
        const std::size_t taken = observer_->on_input(input);
        in_input_ = false;
        if (observer_ == nullptr) {
            return;
        }
        if (taken < input.size()) {
            kept_.assign(input, taken);
            break;
        }
    }
    if (kept_.empty() && kept_.capacity() > 0) {
        std::string().swap(kept_);
    }
    if (wants_input_) {
        start_input();
    }
}

void stream::mark_dirty() {
    if (!dirty_) {
        dirty_ = true;
        flusher_.add(*this);
    }
}

void stream::put_wire(byte_view bytes) {
    if (output_.empty() || !output_.back().body.empty()) {
        output_.emplace_back();
    }
    output_.back().text.append(bytes);
    output_bytes_ += bytes.size();
    mark_dirty();
}

void stream::write(byte_view bytes) {
    if (torn_down_ || bytes.empty()) {
        return;
    }
    if (filter_ == nullptr) {
        put_wire(bytes);
        return;
    }
    if (filter_->send(*this, bytes) == filter::status::failed) {
        // Told from the next turn on, not inside the caller's write.
        shutdown(fd_, SHUT_RDWR);
    }
}

void stream::write(const chunks& body) {
    if (torn_down_ || body.empty()) {
        return;
    }
    if (filter_ != nullptr) {
        for (std::size_t index = 0; index < body.block_count(); ++index) {
            write(body.block(index));
        }
        return;
    }
    if (output_.empty() || !output_.back().body.empty()) {
        output_.emplace_back();
    }
    output_.back().body = body;
    output_bytes_ += body.bytes();
    mark_dirty();
}

void stream::flush() noexcept {
    if (torn_down_ || send_.in_flight()) {
        return;
    }
    if (output_.empty()) {
        if (closing_) {
            tear_down();
        }
        return;
    }
    if (!sending_) {
        sending_ = std::make_unique<sending>();
    }
    sending_->begin(std::move(output_));
    output_.clear();
    submit_send();
}

void stream::submit_send() noexcept {
    sending& now = *sending_;
    now.header = {};
    now.header.msg_iov = now.vectors.data() + now.first;
    now.header.msg_iovlen = now.count_for_one_send();
    reactor_.io().send(send_, fd_, &now.header);
    reactor_.timers().set(stall_, reactor_.now_ms() + send_stall_ms);
}

void stream::on_sent(ring::operation& operation, std::int32_t result, std::uint32_t) noexcept {
    stream& self = *static_cast<stream_operation&>(operation).owner;
    self.reactor_.timers().clear(self.stall_);
    if (self.torn_down_) {
        self.maybe_free();
        return;
    }
    if (result <= 0) {
        self.fail_with(close_reason::reset);
        return;
    }
    const auto sent = static_cast<std::size_t>(result);
    self.output_bytes_ -= sent;
    self.sending_->advance(sent);
    if (self.sending_->bytes > 0) {
        self.submit_send();
        return;
    }
    self.sending_.reset();
    if (!self.output_.empty() || self.closing_) {
        self.flush();
        return;
    }
    if (self.observer_ != nullptr) {
        self.observer_->on_output_sent();
    }
}

void stream::close() {
    if (observer_ == nullptr) {
        return;
    }
    observer_ = nullptr;
    closing_ = true;
    kept_.clear();
    if (filter_ != nullptr && !torn_down_) {
        filter_->finish(*this);
    }
    mark_dirty();
}

void stream::abort() {
    observer_ = nullptr;
    if (!torn_down_) {
        const linger reset{1, 0};
        (void)setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        tear_down();
    }
}

void stream::fail_with(close_reason reason) noexcept {
    stream_observer* told = std::exchange(observer_, nullptr);
    tear_down(); // May free this stream when nothing is in flight: no member is touched below.
    if (told != nullptr) {
        told->on_closed(reason);
    }
}

void stream::tear_down() noexcept {
    if (torn_down_) {
        return;
    }
    torn_down_ = true;
    reactor_.timers().clear(stall_);
    reactor_.io().cancel(receive_);
    reactor_.io().cancel(send_);
    // Makes a send that waits for a slow reader complete; the descriptor closes with the last
    // completion, because a pending receive would survive the close.
    if (receive_.in_flight() || send_.in_flight()) {
        shutdown(fd_, SHUT_RDWR);
    }
    // Freed from the flusher's or a completion's frame, never under the caller's feet.
    mark_dirty();
    reactor_.post([this] { maybe_free(); });
}

void stream::maybe_free() noexcept {
    if (torn_down_ && fd_ >= 0 && !receive_.in_flight() && !send_.in_flight()) {
        ::close(fd_);
        fd_ = -1;
        reactor_.post([this] { delete this; });
    }
}

} // namespace ebbgate::net
