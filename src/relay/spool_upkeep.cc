#include "relay/spool_upkeep.h"

#include "runtime/shard/worker_job.h"

#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::uint64_t measure_ms = 1'000;

} // namespace

spool_upkeep::spool_upkeep(relay::context& context,
                           shard::worker_pool& worker,
                           spool::posix_directory& folder,
                           body_file_waiters& waiters)
    : context_(context), worker_(worker), folder_(folder), waiters_(waiters) {}

result<void> spool_upkeep::make_first_segment() {
    while (context_.writer.wants_segment()) {
        const spool::segment_order order = context_.writer.order_segment();
        auto made = spool::prepare_segment(folder_, order);
        if (!made) {
            context_.writer.segment_failed(order, made.error().kind);
            return std::unexpected(std::move(made.error()));
        }
        context_.writer.give_segment(*made);
    }
    return {};
}

void spool_upkeep::start() {
    context_.flows.start(watch_free_space());
}

void spool_upkeep::on_turn() {
    if (context_.writer.wants_segment()) {
        context_.flows.start(make_segment());
    }
    if (context_.writer.wants_body_file()) {
        context_.flows.start(make_body_file());
    }
    while (auto retired = context_.writer.take_surplus()) {
        context_.flows.start(remove(*retired));
    }
}

task::flow<> spool_upkeep::make_segment() {
    const spool::segment_order order = context_.writer.order_segment();
    result<spool::prepared_segment> made;
    std::function<void()> work = [this, &order, &made] {
        made = spool::prepare_segment(folder_, order);
    };
    shard::worker_job job(worker_, context_.reactor, std::move(work));
    const bool ran = co_await job;
    if (!ran) {
        context_.writer.segment_failed(order, failure_kind::unavailable);
    } else if (made) {
        context_.writer.give_segment(*made);
    } else {
        context_.journal.note(context_.reactor.unix_us(), "spool", made.error().detail);
        context_.writer.segment_failed(order, made.error().kind);
    }
}

task::flow<> spool_upkeep::make_body_file() {
    const spool::body_file_order order = context_.writer.order_body_file();
    result<spool::prepared_body_file> made;
    std::function<void()> work = [this, &order, &made] {
        made = spool::prepare_body_file(folder_, order);
    };
    shard::worker_job job(worker_, context_.reactor, std::move(work));
    const bool ran = co_await job;
    if (ran && made) {
        context_.writer.give_body_file(*made);
        co_return;
    }
    const failure_kind why = ran ? made.error().kind : failure_kind::unavailable;
    if (ran) {
        context_.journal.note(context_.reactor.unix_us(), "spool", made.error().detail);
    }
    context_.writer.body_file_failed(order);
    waiters_.body_file_failed(why);
}

// A failure leaves a file behind that the next start finds again.
task::flow<> spool_upkeep::remove(spool::retired_segment retired) {
    std::function<void()> work = [this, &retired] {
        (void)spool::remove_segment(folder_, retired);
    };
    shard::worker_job job(worker_, context_.reactor, std::move(work));
    (void)co_await job;
}

// Not only when a segment is made: below its reserve the intake is closed, so none is made, and
// nobody would see that there is space again.
task::flow<> spool_upkeep::watch_free_space() {
    while (!context_.flows.stopping()) {
        result<std::uint64_t> free;
        std::function<void()> work = [this, &free] { free = folder_.free_bytes(); };
        shard::worker_job job(worker_, context_.reactor, std::move(work));
        const bool ran = co_await job;
        if (ran && free) {
            context_.writer.note_free_bytes(*free);
        }
        task::sleep pause(context_.flows, measure_ms);
        co_await pause;
    }
}

} // namespace ebbgate::relay
