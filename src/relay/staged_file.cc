#include "relay/staged_file.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/storage.h"

#include "runtime/shard/worker_job.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <unistd.h>
#include <utility>

namespace ebbgate::relay {

namespace {

struct disk_wait : spool::completion {
    explicit disk_wait(task::ready_list& ready) : done(ready) {
        on_complete = [](spool::completion& completed, std::int64_t result) noexcept {
            auto& self = static_cast<disk_wait&>(completed);
            self.outcome = result;
            self.done.set();
        };
    }

    task::signal done;
    std::int64_t outcome = 0;
};

// What one piece of input is decoded to, and some.
constexpr std::size_t slice_bytes = 16 * kib;

// A flow of the shard's, so that a drain waits for it. When the workers are too busy the link stays
// until it expires: nobody was told of it.
task::flow<> withdraw_link(relay::context& context, std::string token) {
    std::function<void()> withdraw = [&context, &token] { context.files.withdraw(token); };
    shard::worker_job job(context.file_workers, context.reactor, std::move(withdraw));
    (void)co_await job;
}

failure_kind kind_of(std::int64_t outcome) noexcept {
    return outcome == -ENOSPC || outcome == -EDQUOT ? failure_kind::no_space : failure_kind::io;
}

} // namespace

staged_file::staged_file(relay::context& context,
                         progress_handler on_progress,
                         void* handler_context)
    : context_(context), on_progress_(on_progress), handler_context_(handler_context),
      more_(context.reactor.ready()) {}

staged_file::~staged_file() {
    EBBGATE_ASSERT(idle());
}

void staged_file::append(byte_view decoded) {
    if (state_ != state::open || decoded.empty()) {
        return;
    }
    hash_.update(decoded);
    bytes_ += decoded.size();
    filling_.append(decoded);
    if (running_ ? filling_.size() >= write_bytes : filling_.size() > head_bytes_max) {
        wake();
    }
}

void staged_file::keep(blob::link&& wanted) {
    if (state_ != state::open) {
        return; // It has failed.
    }
    state_ = state::keeping;
    link_.emplace(std::move(wanted));
    link_->bytes = bytes_;
    const crypto::digest digest = hash_.finish();
    std::copy_n(digest.bytes.begin(), link_->hash.size(), link_->hash.begin());
    wake();
}

void staged_file::drop() {
    const state before = std::exchange(state_, state::dropped);
    std::string().swap(filling_);
    if (before == state::durable) {
        withdraw();
    } else if (running_) {
        wake(); // The flow sees it.
    }
}

void staged_file::wake() {
    if (std::exchange(running_, true)) {
        more_.set();
    } else {
        context_.flows.start(run());
    }
}

void staged_file::fail(failure_kind why) {
    if (state_ != state::dropped) {
        state_ = why == failure_kind::no_space ? state::no_space : state::failed;
    }
    std::string().swap(filling_);
}

task::flow<> staged_file::run() {
    result<int> made = ebbgate::fail(failure_kind::unavailable, "the workers are busy");
    std::function<void()> create = [this, &made] { made = context_.files.create_temporary(); };
    shard::worker_job job(context_.file_workers, context_.reactor, std::move(create));
    (void)co_await job;
    if (made) {
        fd_ = *made;
    } else {
        context_.journal.note(context_.reactor.unix_us(), "filelink", made.error().detail);
        fail(made.error().kind);
    }
    while (state_ == state::open || (state_ == state::keeping && !filling_.empty())) {
        if (state_ == state::open && filling_.size() < write_bytes) {
            co_await more_;
            continue;
        }
        task::flow<bool> writing = write_out();
        const bool written = co_await writing;
        if (written) {
            on_progress_(handler_context_);
        }
    }
    if (state_ == state::keeping) {
        task::flow<bool> publishing = make_durable();
        const bool durable = co_await publishing;
        if (durable && state_ == state::keeping) {
            state_ = state::durable;
        } else if (durable) {
            withdraw(); // It was dropped meanwhile.
        }
    }
    close_file();
    std::string().swap(filling_);
    std::string().swap(leaving_);
    running_ = false;
    on_progress_(handler_context_);
}

// All that is there, to the file.
task::flow<bool> staged_file::write_out() {
    if (!context_.writer.intake_open()) {
        fail(failure_kind::no_space); // What is free is for the spool.
        co_return false;
    }
    leaving_.swap(filling_);
    filling_.clear();
    if (state_ == state::open) {
        filling_.reserve(write_bytes + slice_bytes); // Else it would grow by doubling.
    }
    std::size_t at = 0;
    while (at < leaving_.size()) {
        disk_wait wait(context_.reactor.ready());
        context_.device.write(
            fd_, written_bytes_, leaving_.data() + at, leaving_.size() - at, wait);
        co_await wait.done;
        if (wait.outcome <= 0) {
            fail(kind_of(wait.outcome));
            break;
        }
        at += static_cast<std::size_t>(wait.outcome);
        written_bytes_ += static_cast<std::uint64_t>(wait.outcome);
    }
    co_return at == leaving_.size();
}

task::flow<bool> staged_file::make_durable() {
    disk_wait wait(context_.reactor.ready());
    context_.device.sync(fd_, wait);
    co_await wait.done;
    if (wait.outcome != 0) {
        fail(kind_of(wait.outcome));
        co_return false;
    }
    result<void> done = ebbgate::fail(failure_kind::unavailable, "the workers are busy");
    std::function<void()> publish = [this, &done] { done = context_.files.publish(fd_, *link_); };
    shard::worker_job job(context_.file_workers, context_.reactor, std::move(publish));
    (void)co_await job;
    if (!done) {
        context_.journal.note(context_.reactor.unix_us(), "filelink", done.error().detail);
        fail(done.error().kind);
    }
    co_return done.has_value();
}

// Without a name the file is gone with its descriptor, which may take the disk a while.
void staged_file::close_file() {
    if (const int fd = std::exchange(fd_, -1); fd >= 0) {
        if (!context_.file_workers.submit(context_.reactor, [fd] { close(fd); }, [] {})) {
            close(fd);
        }
    }
}

// It outlives the file that it was started for.
void staged_file::withdraw() {
    context_.flows.start(withdraw_link(context_, link_->token));
}

} // namespace ebbgate::relay
