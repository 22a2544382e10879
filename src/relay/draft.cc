#include "relay/draft.h"

#include "ebbgate/smtp/reply_table.h"
#include "ebbgate/spool/stored_meta.h"

#include "relay/inbound.h"
#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

// What may wait for the disk before the connection is held: a receive buffer or so.
constexpr std::size_t pending_bytes_max = 64 * kib;
// What `pending_` may keep: it grows by doubling, and one more piece of input always fits.
constexpr std::size_t pending_capacity_max = 2 * pending_bytes_max;
// What a body that streams into a file takes of the budget.
constexpr std::uint64_t stream_bytes = 2 * spool::body_write_bytes + pending_capacity_max;

} // namespace

draft::draft(relay::context& context,
             relay::outbound& outbound,
             connection_registry& registry,
             inbound_connection& connection,
             message::envelope&& envelope)
    : context_(context), outbound_(outbound), registry_(registry), connection_(&connection),
      envelope_(std::move(envelope)) {
    request_.owner = this;
    request_.on_settled = [](spool::append_request& settled,
                             spool::append_status status,
                             const spool::location& where) noexcept {
        static_cast<request&>(settled).owner->settle(status, where);
    };
}

draft::~draft() {
    registry_.forget(*this);
    release_hot();
    hold(0);
    context_.counters.hot_bytes -= files_bytes_;
}

void draft::drop_body() {
    body_.clear();
    release_hot();
}

void draft::release_hot() {
    context_.counters.hot_bytes -= std::exchange(hot_bytes_, 0);
}

void draft::hold(std::uint64_t bytes) {
    context_.counters.hot_bytes += bytes;
    context_.counters.hot_bytes -= std::exchange(held_bytes_, bytes);
}

void draft::append(byte_view wire) {
    if (over_) {
        return; // It has failed; the client is told at the end.
    }
    body_bytes_ += wire.size();
    if (!spilled_ && context_.counters.hot_bytes > context_.memory_bytes_max) {
        // The memory budget is used up: what would need more of it is refused, and the rest of it
        // swallowed; everything else goes on.
        fail_with(smtp::reply_table::storage_full);
        return;
    }
    const bool keep = !spilled_ || hot_bytes_ > 0;
    if (keep) {
        body_.append(wire);
        context_.counters.hot_bytes += wire.size();
        hot_bytes_ += wire.size();
    }
    if (!spilled_) {
        if (body_bytes_ > context_.server.spool.inline_bytes_max) {
            spill();
        }
        return;
    }
    pending_.append(wire);
    if (hot_bytes_ > 0 && (body_bytes_ > hot_body_bytes_max ||
                           context_.counters.hot_bytes > context_.hot_bytes_max)) {
        drop_body();
    }
    feed_large();
}

void draft::mark() {
    marked_ = true;
    marked_bytes_ = body_bytes_;
    if (large_ != nullptr) {
        large_->set_mark(marked_bytes_);
    }
}

void draft::rewind() {
    if (over_) {
        return;
    }
    if (hot_bytes_ > marked_bytes_) {
        body_.truncate(marked_bytes_);
        context_.counters.hot_bytes -= hot_bytes_ - marked_bytes_;
        hot_bytes_ = marked_bytes_;
    }
    body_bytes_ = marked_bytes_;
    if (!spilled_) {
        return;
    }
    const std::uint64_t taken = large_ == nullptr ? 0 : large_->bytes();
    if (taken > marked_bytes_) {
        large_->rewind();
        pending_.clear();
        pending_at_ = 0;
    } else {
        pending_.resize(pending_at_ + (marked_bytes_ - taken));
    }
}

void draft::begin_file() {
    std::erase_if(files_, [](const auto& file) {
        return file->idle() && file->now() == staged_file::state::dropped;
    });
    if (over_) {
        return;
    }
    files_.push_back(std::make_unique<staged_file>(
        context_, [](void* self) noexcept { static_cast<draft*>(self)->files_went_on(); }, this));
    open_file_ = files_.back().get();
}

void draft::add_to_file(byte_view decoded) {
    if (open_file_ != nullptr) {
        const std::uint64_t before = open_file_->memory_bytes();
        open_file_->append(decoded);
        const std::uint64_t grown = open_file_->memory_bytes() - before; // It never shrinks here.
        context_.counters.hot_bytes += grown;
        files_bytes_ += grown;
        if (!over_ && context_.counters.hot_bytes > context_.memory_bytes_max) {
            fail_with(smtp::reply_table::storage_full);
        }
    }
}

void draft::drop_file() {
    if (staged_file* dropped = std::exchange(open_file_, nullptr); dropped != nullptr) {
        dropped->drop();
        count_files();
    }
}

void draft::keep_file(blob::link&& wanted) {
    if (staged_file* kept = std::exchange(open_file_, nullptr); kept != nullptr) {
        kept->keep(std::move(wanted));
    }
}

void draft::count_files() {
    std::uint64_t held = 0;
    for (const auto& file : files_) {
        held += file->memory_bytes();
    }
    context_.counters.hot_bytes += held;
    context_.counters.hot_bytes -= std::exchange(files_bytes_, held);
}

std::size_t draft::files_under_way() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(files_.begin(), files_.end(), [](const auto& one) {
            return one->now() == staged_file::state::keeping;
        }));
}

void draft::files_went_on() {
    count_files();
    if (over_) {
        maybe_delete();
        return;
    }
    for (const auto& file : files_) {
        if (file->now() == staged_file::state::no_space) {
            fail_with(smtp::reply_table::storage_full);
            return;
        }
        if (file->now() == staged_file::state::failed) {
            fail_with(smtp::reply_table::storage_failed);
            return;
        }
    }
    if (waits_for_files_) {
        commit();
    } else if (!finished_ && !is_blocked() && connection_ != nullptr) {
        connection_->draft_has_room();
    }
}

void draft::drop_files() {
    open_file_ = nullptr;
    for (const auto& file : files_) {
        file->drop();
    }
    count_files();
}

void draft::spill() {
    // The body is there twice until the file has taken it.
    const std::uint64_t needed = stream_bytes + body_.bytes();
    if (context_.counters.hot_bytes + needed > context_.memory_bytes_max) {
        fail_with(smtp::reply_table::storage_full);
        return;
    }
    hold(needed);
    spilled_ = true;
    pending_.reserve(body_.bytes());
    for (std::size_t index = 0; index < body_.block_count(); ++index) {
        pending_.append(body_.block(index));
    }
    body_file_may_be_free();
}

void draft::body_file_may_be_free() {
    if (large_ != nullptr || over_) {
        return;
    }
    const auto file = context_.writer.acquire_body_file();
    if (!file) {
        registry_.wait_for_body_file(*this);
        return;
    }
    body_file_ = file->file_number;
    large_ = std::make_unique<spool::large_body>(
        context_.device,
        file->file_number,
        file->file,
        [](spool::large_body&, void* self) noexcept { static_cast<draft*>(self)->feed_large(); },
        this);
    if (marked_) {
        large_->set_mark(marked_bytes_);
    }
    feed_large();
}

void draft::body_file_failed(failure_kind why) {
    if (large_ == nullptr && !over_) {
        fail_with(why == failure_kind::no_space ? smtp::reply_table::storage_full
                                                : smtp::reply_table::storage_failed);
    }
}

bool draft::is_blocked() const noexcept {
    return (spilled_ && waiting_bytes() > pending_bytes_max) ||
           (open_file_ != nullptr && open_file_->is_blocked()) || files_under_way() > keeping_max;
}

void draft::feed_large() {
    if (over_) {
        maybe_delete();
        return;
    }
    if (large_ == nullptr || with_writer_) {
        return;
    }
    const bool was_blocked = is_blocked();
    while (waiting_bytes() > 0) {
        const std::size_t taken = large_->append(byte_view(pending_).substr(pending_at_));
        if (taken == 0) {
            break;
        }
        pending_at_ += taken;
    }
    if (waiting_bytes() == 0) {
        pending_.clear();
        pending_at_ = 0;
        if (pending_.capacity() > pending_capacity_max) {
            std::string().swap(pending_);
            hold(stream_bytes);
        }
    }
    switch (large_->state()) {
    case spool::large_body_state::failed:
        fail_with(smtp::reply_table::storage_failed);
        return;
    case spool::large_body_state::no_space:
        fail_with(smtp::reply_table::storage_full);
        return;
    case spool::large_body_state::durable:
        commit();
        return;
    case spool::large_body_state::streaming:
        if (finished_ && waiting_bytes() == 0) {
            large_->finish();
        }
        break;
    case spool::large_body_state::finishing:
        break;
    }
    if (was_blocked && !is_blocked() && connection_ != nullptr) {
        connection_->draft_has_room();
    }
}

void draft::finish(std::vector<dkim::prepared_signature> signatures,
                   std::string prefix,
                   const how_received& how) {
    prefix_ = std::move(prefix);
    how_ = how;
    if (signatures.empty() || over_) {
        finish_body();
        return;
    }
    signing_ = std::make_unique<signing>();
    signing_->owner = this;
    signing_->signatures = std::move(signatures);
    signing_->on_signed = [](signing_request& request) noexcept {
        static_cast<signing&>(request).owner->signed_all();
    };
    context_.signing.add(*signing_);
}

void draft::signed_all() {
    const std::unique_ptr<signing> done = std::move(signing_);
    if (over_ && !failure_) {
        maybe_delete(); // Abandoned meanwhile.
        return;
    }
    std::string fields;
    for (const dkim::prepared_signature& signature : done->signatures) {
        const std::string field = signature.field();
        if (field.empty() && !failure_) {
            failure_ = smtp::reply_table::signing_failed;
        }
        fields += field;
    }
    prefix_.insert(0, fields);
    finish_body();
}

void draft::finish_body() {
    finished_ = true;
    if (failure_) {
        fail_with(*failure_);
    } else if (spilled_) {
        feed_large();
    } else {
        commit();
    }
}

void draft::commit() {
    // A link in a message that is sent must lead to something.
    waits_for_files_ = files_under_way() > 0;
    if (waits_for_files_) {
        return;
    }
    meta_ = spool::encode_meta(envelope_, prefix_);
    request_.message_id = envelope_.id;
    hold(held_bytes_ + meta_.size());
    request_.meta = meta_;
    request_.body = spilled_ ? nullptr : &body_;
    request_.large = large_.get();
    with_writer_ = true;
    context_.writer.append(request_);
}

void draft::settle(spool::append_status status, const spool::location& where) {
    with_writer_ = false;
    if (status != spool::append_status::durable) {
        if (status == spool::append_status::failed) {
            // The message may be on the disk for all that, and come back after a restart: its links
            // stay until they expire.
            std::erase_if(files_, [](const auto& file) {
                return file->now() == staged_file::state::durable;
            });
            count_files();
        }
        const bool full = status == spool::append_status::no_space;
        const bool large = status == spool::append_status::too_large;
        fail_with(full    ? smtp::reply(smtp::reply_table::storage_full)
                  : large ? smtp::reply(smtp::reply_table::message_too_big)
                          : smtp::reply(smtp::reply_table::storage_failed));
        return;
    }
    durable_ = true;
    over_ = true;
    // Beyond this point the message is ours: it survives a power cut.
    hold(0);
    auto queued = std::make_unique<queued_message>();
    queued->prefix = std::move(prefix_);
    queued->where = where;
    queued->body_bytes = body_bytes_;
    queued->hot = hot_bytes_ > 0 && context_.counters.hot_bytes <= context_.hot_bytes_max;
    if (queued->hot || body_bytes_ == 0) {
        queued->hot = true;
        queued->body = std::move(body_);
        // The budget goes over to the queue; outbound gives it back.
        hot_bytes_ = 0;
    }
    for (std::uint32_t index = 0; index < envelope_.recipients.size(); ++index) {
        queued->outstanding.add(index);
    }
    queued->envelope = std::move(envelope_);
    ++context_.counters.messages_received;
    context_.counters.bytes_received += body_bytes_;
    context_.journal.received(context_.reactor.unix_us(), queued->envelope, how_, queued->bytes());
    for (const auto& file : files_) {
        if (file->now() == staged_file::state::durable) {
            ++context_.counters.links;
            context_.counters.link_bytes += file->link().bytes;
            context_.journal.linked(context_.reactor.unix_us(), queued->envelope, file->link());
        }
    }
    const std::string id = message::to_text(queued->envelope.id);
    outbound_.add(std::move(queued));
    if (inbound_connection* told = std::exchange(connection_, nullptr); told != nullptr) {
        told->draft_settled(smtp::reply::queued(id));
    }
    maybe_delete();
}

void draft::fail_with(const smtp::reply& reply) {
    over_ = true;
    if (const auto receipt = std::exchange(receipt_, std::nullopt)) {
        context_.limiter.give_back(*receipt);
    }
    drop_files();
    std::string().swap(pending_);
    pending_at_ = 0;
    drop_body();
    hold(large_ == nullptr ? 0 : std::min(held_bytes_, stream_bytes));
    if (!finished_) {
        failure_ = reply;
        if (connection_ != nullptr) {
            connection_->draft_has_room(); // The rest is swallowed.
        }
        return;
    }
    ++context_.counters.messages_refused;
    if (inbound_connection* told = std::exchange(connection_, nullptr); told != nullptr) {
        told->draft_settled(reply);
    }
    maybe_delete();
}

void draft::abandon() {
    connection_ = nullptr;
    over_ = true;
    drop_files();
    maybe_delete();
}

void draft::maybe_delete() {
    if (deleting_ || connection_ != nullptr || with_writer_ || signing_ != nullptr ||
        (large_ != nullptr && !large_->idle()) ||
        std::any_of(files_.begin(), files_.end(), [](const auto& one) { return !one->idle(); })) {
        return;
    }
    deleting_ = true;
    if (!durable_ && body_file_ != spool::no_body_file) {
        const bool usable = large_->state() != spool::large_body_state::failed &&
                            large_->state() != spool::large_body_state::no_space;
        context_.writer.release_body_file(body_file_, usable);
    }
    context_.reactor.post([this] { delete this; });
}

} // namespace ebbgate::relay
