#include "relay/relocation.h"

#include "relay/outbound.h"
#include "relay/spool_waits.h"

#include <vector>

namespace ebbgate::relay {

namespace {

// What a pass could not move is not tried again at once: the disk, or the message, is bad.
constexpr std::uint64_t pause_ms = 5'000;

} // namespace

relocation::relocation(relay::context& context, relay::outbound& outbound)
    : context_(context), outbound_(outbound), one_ended_(context.reactor.ready()) {}

void relocation::on_turn() {
    if (passing_ || context_.flows.stopping() || !context_.writer.intake_open()) {
        return;
    }
    const std::uint64_t segment_id = context_.writer.relocation_segment();
    if (segment_id != 0) {
        passing_ = true;
        context_.flows.start(pass(segment_id));
    }
}

task::flow<> relocation::pass(std::uint64_t segment_id) {
    const auto stored = context_.writer.relocation_candidates();
    const std::vector<std::uint64_t> ids(stored.begin(), stored.end());
    for (const std::uint64_t id : ids) {
        while (moving_ >= moves_max) {
            co_await one_ended_;
        }
        const spool::location* where = outbound_.messages().where(id);
        if (where != nullptr && where->segment_id == segment_id && !context_.flows.stopping()) {
            ++moving_;
            context_.flows.start(move(id));
        }
    }
    while (moving_ > 0) {
        co_await one_ended_;
    }
    if (context_.writer.relocation_segment() == segment_id) {
        task::sleep pause(context_.flows, pause_ms);
        co_await pause;
    }
    passing_ = false;
}

// The copy is made from the disk: the message may end, and its memory with it, at any wait here.
task::flow<> relocation::move(std::uint64_t message_id) {
    const spool::location old = *outbound_.messages().where(message_id);
    read_wait read(context_.reactor.ready());
    spool::message_reader reader(
        context_.device, context_.writer.files(), read_wait::on_read, &read);
    reader.start(message_id, old);
    co_await read.done;
    bool good = read.status == spool::read_status::ready;
    const bool is_inline = old.body_file == spool::no_body_file;
    if (good && is_inline && !reader.next()) {
        co_await read.done;
        good = read.status == spool::read_status::ready;
    }
    const bool is_live = outbound_.messages().contains(message_id);
    if (good && is_live) {
        const std::string state = outbound_.state_of(message_id);
        append_wait request(context_.reactor.ready());
        request.message_id = message_id;
        request.meta = reader.meta();
        request.state = state;
        if (is_inline) {
            request.raw_body = reader.block();
        } else {
            request.relocated = &old;
            request.relocated_seed = reader.body_seed();
            request.relocated_hash = reader.body_hash();
        }
        context_.writer.append(request);
        co_await request.done;
        if (request.status == spool::append_status::durable) {
            ++moved_;
            if (outbound_.messages().contains(message_id)) {
                outbound_.messages().moved(message_id, request.where);
                // What was noted while the copy waited may be older in the log than the copy.
                if (const std::string now = outbound_.state_of(message_id);
                    !now.empty() && now != state) {
                    context_.writer.note_state(message_id, now);
                }
                context_.writer.mark_moved(old);
            } else {
                // It ended meanwhile: the old copy was marked then, this is the other one.
                context_.writer.mark_done(message_id, request.where);
            }
        }
    }
    --moving_;
    one_ended_.set();
}

} // namespace ebbgate::relay
