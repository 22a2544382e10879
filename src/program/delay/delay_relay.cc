#include "program/delay/delay_relay.h"

#include <sys/socket.h>

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace ebbgate::delay {

class entrance final : public net::listener_observer {
public:
    entrance(delay_relay& relay, net::bind_address target)
        : relay_(relay), target_(std::move(target)) {}

    void on_accepted(int fd) noexcept override { relay_.accept(fd, target_); }

    std::unique_ptr<net::listener> listener;

private:
    delay_relay& relay_;
    net::bind_address target_;
};

// Both halves of a relayed connection.
class link {
public:
    link(delay_relay& relay, net::bind_address target) : relay_(relay), target_(std::move(target)) {
        near_.owner = this;
        far_.owner = this;
        far_.is_target = true;
    }

    ~link() {
        for (half* one : {&near_, &far_}) {
            if (one->stream != nullptr) {
                one->stream->abort();
            }
        }
    }

    void start(int fd) {
        near_.stream = new net::stream(relay_.reactor_, relay_.flusher_, fd, near_);
        near_.stream->start_input();
    }

    void connect() {
        connecting_ = relay_.links_.at(this); // The connector points here.
        net::connector::start(
            relay_.reactor_,
            target_,
            {},
            delay_relay::connect_timeout_ms,
            [](void* self, int result) noexcept { static_cast<link*>(self)->on_connected(result); },
            this);
    }

    // What has travelled.
    void arrive(delay_relay::event what, bool to_target, const std::string& bytes) {
        half& to = to_target ? far_ : near_;
        half& from = to_target ? near_ : far_;
        from.on_the_way -= std::min(from.on_the_way, bytes.size());
        if (to_target && opening_) {
            early_ += bytes;
            early_end_ = what;
            return;
        }
        if (to.stream == nullptr) {
            return;
        }
        if (what == delay_relay::event::bytes) {
            relay_.totals_.bytes += bytes.size();
            to.stream->write(bytes);
            from.go_on();
            return;
        }
        net::stream* ended = std::exchange(to.stream, nullptr);
        what == delay_relay::event::end ? ended->close() : ended->abort();
        settle();
    }

private:
    struct half final : net::stream_observer {
        link* owner = nullptr;
        net::stream* stream = nullptr;
        std::size_t on_the_way = 0; // From here to the other half.
        bool is_target = false;
        bool waiting = false;  // Input is kept in the stream.
        bool finished = false; // And its sender has ended.

        std::size_t on_input(byte_view bytes) noexcept override {
            const half& to = owner->other(*this);
            const std::size_t ahead =
                on_the_way + (to.stream == nullptr ? 0 : to.stream->output_bytes());
            if (ahead >= delay_relay::way_bytes_max) {
                waiting = true;
                return 0;
            }
            on_the_way += bytes.size();
            owner->send(delay_relay::event::bytes, !is_target, std::string(bytes));
            return bytes.size();
        }

        void on_closed(net::close_reason reason) noexcept override {
            stream = nullptr;
            owner->send(reason == net::close_reason::peer_closed ? delay_relay::event::end
                                                                 : delay_relay::event::reset,
                        !is_target,
                        {});
            owner->settle();
        }

        bool on_peer_finished() noexcept override {
            finished = waiting;
            return finished;
        }

        void on_output_sent() noexcept override { owner->other(*this).go_on(); }

        void go_on() {
            if (stream != nullptr && std::exchange(waiting, false)) {
                stream->resume_input();
            }
            if (stream != nullptr && finished && !waiting) {
                std::exchange(stream, nullptr)->close();
                owner->send(delay_relay::event::end, !is_target, {});
                owner->settle();
            }
        }
    };

    half& other(const half& one) noexcept { return &one == &near_ ? far_ : near_; }

    void send(delay_relay::event what, bool to_target, std::string bytes) {
        if (const auto found = relay_.links_.find(this); found != relay_.links_.end()) {
            relay_.enqueue({relay_.due_ms(1), found->second, what, to_target, std::move(bytes)});
        }
    }

    void on_connected(int result) noexcept {
        const std::shared_ptr<link> kept = std::exchange(connecting_, nullptr);
        opening_ = false;
        if (result < 0) {
            ++relay_.totals_.refused;
            if (net::stream* one = std::exchange(near_.stream, nullptr); one != nullptr) {
                one->abort();
            }
            settle();
            return;
        }
        far_.stream = new net::stream(relay_.reactor_, relay_.flusher_, result, far_);
        far_.stream->start_input();
        arrive(delay_relay::event::bytes, true, std::exchange(early_, {}));
        if (early_end_ != delay_relay::event::bytes) {
            arrive(early_end_, true, {});
        }
    }

    // Entries under way keep it until they have arrived.
    void settle() {
        if (!opening_ && near_.stream == nullptr && far_.stream == nullptr &&
            !std::exchange(over_, true)) {
            relay_.reactor_.post([&relay = relay_, self = this] { relay.links_.erase(self); });
        }
    }

    delay_relay& relay_;
    net::bind_address target_;
    half near_;
    half far_;
    std::shared_ptr<link> connecting_;
    std::string early_; // Came before the target was connected; and how it ended.
    delay_relay::event early_end_ = delay_relay::event::bytes;
    bool opening_ = true;
    bool over_ = false;
};

delay_relay::delay_relay(task::reactor& reactor, std::uint64_t delay_ms)
    : reactor_(reactor), flusher_(reactor), delay_ms_(delay_ms) {
    timer_.owner = this;
    timer_.on_expire = [](task::timer& timer) noexcept {
        static_cast<queue_timer&>(timer).owner->run_due();
    };
}

delay_relay::~delay_relay() {
    constexpr std::uint64_t settle_ms_max = 1000;
    for (const std::unique_ptr<entrance>& one : entrances_) {
        one->listener->stop();
    }
    reactor_.timers().clear(timer_);
    connects_.clear();
    queue_.clear();
    links_.clear();
    reactor_.settle(settle_ms_max);
}

result<std::uint16_t> delay_relay::add(const route& route) {
    auto made = std::make_unique<entrance>(*this, route.target);
    auto opened = net::listener::open(reactor_, route.listen, *made);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    made->listener = std::move(*opened);
    made->listener->start();
    entrances_.push_back(std::move(made));
    return entrances_.back()->listener->port();
}

void delay_relay::accept(int fd, const net::bind_address& target) {
    ++totals_.connections;
    net::bind_address to = target;
    if (to.address == "same") {
        sockaddr_storage address{};
        socklen_t bytes = sizeof address;
        (void)getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes);
        to.address = net::name_of(address).address;
    }
    auto made = std::make_shared<link>(*this, std::move(to));
    links_.emplace(made.get(), made);
    made->start(fd);
    enqueue({due_ms(3), made, event::connect, true, {}});
}

void delay_relay::enqueue(entry&& entry) {
    std::deque<delay_relay::entry>& line = entry.what == event::connect ? connects_ : queue_;
    line.push_back(std::move(entry));
    if (!timer_.is_set() || line.size() == 1) {
        const std::uint64_t due_ms = line.front().due_ms;
        if (!timer_.is_set() || due_ms < timer_.due_ms) {
            reactor_.timers().set(timer_, due_ms);
        }
    }
}

void delay_relay::run_due() noexcept {
    const std::uint64_t now_ms = reactor_.now_ms();
    for (std::deque<entry>* line : {&connects_, &queue_}) {
        while (!line->empty() && line->front().due_ms <= now_ms) {
            const entry due = std::move(line->front());
            line->pop_front();
            if (due.what == event::connect) {
                due.way->connect();
            } else {
                due.way->arrive(due.what, due.to_target, due.bytes);
            }
        }
    }
    std::uint64_t next_ms = UINT64_MAX;
    for (const std::deque<entry>* line : {&connects_, &queue_}) {
        next_ms = line->empty() ? next_ms : std::min(next_ms, line->front().due_ms);
    }
    if (next_ms != UINT64_MAX) {
        reactor_.timers().set(timer_, next_ms);
    }
}

} // namespace ebbgate::delay
