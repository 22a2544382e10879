#include "relay/signing_batch.h"

#include <utility>

namespace ebbgate::relay {

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
    waiting_signatures_ += request.signatures.size();
    added_ms_[added_++ % added_ms_.size()] = reactor_.now_ms();
    if (waiting_signatures_ >= dkim::batch_max || !more_to_come()) {
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

// Whole eights, or `all`.
void signing_batch::run(bool all) {
    const std::size_t wanted =
        all ? waiting_signatures_ : waiting_signatures_ / dkim::batch_max * dkim::batch_max;
    std::vector<dkim::prepared_signature*> batch;
    auto end = waiting_.begin();
    for (; end != waiting_.end() && batch.size() + (*end)->signatures.size() <= wanted; ++end) {
        for (dkim::prepared_signature& signature : (*end)->signatures) {
            batch.push_back(&signature);
        }
    }
    if (batch.empty()) {
        wait();
        return;
    }
    const std::vector<signing_request*> done(waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
    waiting_signatures_ -= batch.size();
    reactor_.timers().clear(deadline_);
    wait();
    dkim::sign(batch);
    for (signing_request* request : done) {
        request->on_signed(*request);
    }
}

} // namespace ebbgate::relay
