#include "relay/signing_batch.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

// Of one turn: Ed25519 costs little, but not nothing.
constexpr std::size_t signatures_max = 32;

std::size_t count_rsa(const signing_request& request) noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(request.signatures, [](const auto& one) {
        return one.key->type() == dkim::key_type::rsa;
    }));
}

} // namespace

signing_batch::signing_batch(task::reactor& reactor, std::uint64_t wait_ms)
    : reactor_(reactor), wait_ms_(wait_ms) {
    deadline_.owner = this;
    deadline_.on_expire = [](task::timer& timer) noexcept {
        static_cast<deadline&>(timer).owner->run(true);
    };
}

signing_batch::~signing_batch() {
    reactor_.timers().clear(deadline_);
}

void signing_batch::arrived() {
    --expected_;
    if (!waiting_.empty() && !more_to_come()) {
        run_soon();
    }
}

void signing_batch::add(signing_request& request) {
    waiting_.push_back(&request);
    waiting_rsa_ += count_rsa(request);
    added_ms_[added_++ % added_ms_.size()] = reactor_.now_ms();
    if (waiting_rsa_ >= dkim::batch_max || !more_to_come()) {
        run_soon();
    } else {
        wait();
    }
}

void signing_batch::wait() {
    if (!waiting_.empty() && !deadline_.is_set()) {
        reactor_.timers().set(deadline_, reactor_.now_ms() + wait_ms_);
    }
}

// Clients that wait for their replies are on no way, but soon will be: then what came lately says.
bool signing_batch::more_to_come() const noexcept {
    if (!dkim::has_vectors()) {
        return false;
    }
    // Who added eight in this time will add more.
    const bool busy = added_ >= added_ms_.size() &&
                      reactor_.now_ms() - added_ms_[added_ % added_ms_.size()] <= 2 * wait_ms_;
    return expected_ > 0 || busy;
}

// Not at once: more may be there in this turn.
void signing_batch::run_soon() {
    if (!std::exchange(posted_, true)) {
        reactor_.post([this] {
            posted_ = false;
            run(!more_to_come());
        });
    }
}

// One batch a turn, for the shard has other work. Not a full one only when `all` are wanted.
void signing_batch::run(bool all) {
    if (waiting_.empty() || (!all && waiting_rsa_ < dkim::batch_max)) {
        wait();
        return;
    }
    std::vector<dkim::prepared_signature*> batch;
    std::size_t rsa = 0;
    auto end = waiting_.begin();
    for (; end != waiting_.end() && batch.size() < signatures_max; ++end) {
        const std::size_t more = count_rsa(**end);
        if (rsa + more > dkim::batch_max && !batch.empty()) {
            break;
        }
        rsa += more;
        for (dkim::prepared_signature& signature : (*end)->signatures) {
            batch.push_back(&signature);
        }
    }
    const std::vector<signing_request*> done(waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
    waiting_rsa_ -= rsa;
    reactor_.timers().clear(deadline_);
    dkim::sign(batch);
    if (!waiting_.empty() && (all || waiting_rsa_ >= dkim::batch_max)) {
        run_soon();
    } else {
        wait();
    }
    for (signing_request* request : done) {
        request->on_signed(*request);
    }
}

} // namespace ebbgate::relay
