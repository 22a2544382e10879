#include "program/daemon/ban_thread.h"

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::chrono::seconds tick{1};

constexpr bans::strike_cause to_cause(relay::offence offence) noexcept {
    switch (offence) {
    case relay::offence::login:
        return bans::strike_cause::login;
    case relay::offence::insecure_authentication:
        return bans::strike_cause::insecure_auth;
    case relay::offence::sender:
        return bans::strike_cause::sender;
    case relay::offence::interrupted_authentication:
        break;
    }
    return bans::strike_cause::interrupted_auth;
}

} // namespace

ban_thread::ban_thread(options options)
    : options_(std::move(options)),
      started_unix_us_(std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count()),
      started_(std::chrono::steady_clock::now()) {}

ban_thread::~ban_thread() {
    stop();
}

std::int64_t ban_thread::now_us() const {
    return started_unix_us_ + std::chrono::duration_cast<std::chrono::microseconds>(
                                  std::chrono::steady_clock::now() - started_)
                                  .count();
}

result<void> ban_thread::start(bans::settings settings) {
    bans::ban_keeper::parts parts;
    parts.log = options_.log;
    parts.log_restored = options_.log_restored;
    parts.cut = options_.cut;
    parts.pid = static_cast<std::uint32_t>(getpid());
    auto refusal = net::refusal::open();
    if (refusal) {
        parts.refusal = std::move(*refusal);
    } else {
        parts.why_reset = refusal.error().detail;
        options_.note("banned clients are reset after accept, the kernel does not refuse them: " +
                      parts.why_reset);
    }
    auto store = bans::ban_store::open(options_.store_path);
    if (!store) {
        return std::unexpected(std::move(store.error()));
    }
    parts.store = std::move(*store);
    keeper_ = std::make_unique<bans::ban_keeper>(std::move(parts));
    if (const auto restored = keeper_->start(std::move(settings), now_us()); !restored) {
        options_.note("bans could not be restored: " + restored.error().detail);
    }
    thread_ = std::thread([this] { run(); });
    return {};
}

void ban_thread::stop() {
    {
        const std::lock_guard hold(lock_);
        stopping_ = true;
    }
    more_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
    keeper_.reset(); // Makes durable what is not yet.
}

void ban_thread::push(job work) {
    {
        const std::lock_guard hold(lock_);
        jobs_.push_back(std::move(work));
    }
    more_.notify_one();
}

void ban_thread::run() {
    auto next_tick = std::chrono::steady_clock::now() + tick;
    for (;;) {
        std::deque<job> taken;
        bool stopping = false;
        {
            std::unique_lock hold(lock_);
            more_.wait_until(hold, next_tick, [this] { return stopping_ || !jobs_.empty(); });
            taken.swap(jobs_);
            strikes_waiting_ = 0;
            stopping = stopping_;
        }
        for (job& one : taken) {
            one(*keeper_, now_us());
        }
        tell_settled();
        if (stopping) {
            return;
        }
        if (std::chrono::steady_clock::now() >= next_tick) {
            keeper_->tick(now_us());
            next_tick = std::chrono::steady_clock::now() + tick;
        }
    }
}

// A ban is on the disk before its client hears of the last failure: no restart forgets it.
void ban_thread::tell_settled() {
    if (std::any_of(
            settled_.begin(), settled_.end(), [](const settled& one) { return one.is_new; })) {
        (void)keeper_->flush(); // A fault is in the status; the ban is in force.
    }
    for (settled& one : settled_) {
        one.home->post(
            [is_banned = one.is_banned, done = std::move(one.done)] { done(is_banned); });
    }
    settled_.clear();
}

void ban_thread::strike(const std::string& address,
                        relay::offence cause,
                        task::reactor& home,
                        std::function<void(bool banned)> done) {
    const auto client = config::parse_ip_address(address);
    {
        const std::lock_guard hold(lock_);
        if (client && !stopping_ && strikes_waiting_ < strikes_waiting_max) {
            ++strikes_waiting_;
            jobs_.emplace_back([this, client = *client, cause, &home, done = std::move(done)](
                                   bans::ban_keeper& keeper, std::int64_t now_us) mutable {
                const bans::verdict_kind kind = keeper.strike(client, to_cause(cause), now_us).kind;
                const bool is_new = kind == bans::verdict_kind::banned;
                settled_.push_back({&home,
                                    std::move(done),
                                    is_new || kind == bans::verdict_kind::already_banned,
                                    is_new});
            });
        } else {
            home.post([done = std::move(done)] { done(false); });
            return;
        }
    }
    more_.notify_one();
}

bool ban_thread::is_banned(const config::ip_address& client) const {
    return keeper_->is_banned(client);
}

void ban_thread::protect(int listening_fd) {
    const result<void> attached = ask([listening_fd](bans::ban_keeper& keeper, std::int64_t) {
        return keeper.attach(listening_fd);
    });
    if (!attached) {
        options_.note("the kernel does not refuse banned clients on a listener: " +
                      attached.error().detail);
    }
}

} // namespace ebbgate::program
