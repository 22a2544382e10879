#include "relay/reporter.h"

#include "ebbgate/smtp/data_decoder.h"
#include "ebbgate/spool/stored_meta.h"

#include "relay/spool_waits.h"
#include "runtime/task/scope.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

void append_unstuffed(std::string& to, smtp::dot_unstuffer& unstuffer, byte_view wire) {
    while (!wire.empty()) {
        const smtp::stuffing_step step = unstuffer.next(wire);
        to.append(step.output);
        wire.remove_prefix(step.consumed_bytes);
    }
}

// CRLF lines into wire form.
std::string stuffed(byte_view text) {
    std::string wire;
    wire.reserve(text.size() + text.size() / 64);
    bool is_line_start = true;
    for (const char c : text) {
        if (is_line_start && c == '.') {
            wire += '.';
        }
        wire += c;
        is_line_start = c == '\n';
    }
    return wire;
}

} // namespace

void reporter::note(queued_message& message, const report_line& line) {
    dsn::recipient_event event = line.event;
    event.notify = message.envelope.recipients[line.recipient].notify;
    const auto action = dsn::report_due(message.envelope.sender, event);
    if (!action) {
        return;
    }
    if (*action != dsn::action::delayed) {
        message.reporting.add(line.recipient);
    }
    noted_[message.envelope.id].emplace_back(*action, line);
}

void reporter::send(queued_message& message) {
    auto noted = noted_.extract(message.envelope.id);
    if (noted.empty()) {
        return;
    }
    // Some readers take a report with two actions for one of the lesser.
    for (const dsn::action action : {dsn::action::failed,
                                     dsn::action::delayed,
                                     dsn::action::relayed,
                                     dsn::action::delivered}) {
        std::shared_ptr<job> made;
        for (auto& [of, line] : noted.mapped()) {
            if (of != action) {
                continue;
            }
            if (made == nullptr || made->lines.size() == recipients_max) {
                made = std::make_shared<job>();
                made->message_id = message.envelope.id;
                made->action = action;
                live_messages::keep(message);
                waiting_.push_back(made);
            }
            made->lines.push_back(std::move(line));
        }
    }
    start_next();
}

void reporter::start_next() {
    while (!waiting_.empty() && running_ < reports_max) {
        ++running_;
        std::shared_ptr<job> next = std::move(waiting_.front());
        waiting_.pop_front();
        context_.flows.start(run(std::move(next)));
    }
    if (!is_busy()) {
        for (const auto& then : std::exchange(want_room_, {})) {
            then();
        }
    }
}

dsn::report reporter::describe(const queued_message& message, const job& job) const {
    const message::envelope& envelope = message.envelope;
    dsn::report about;
    about.hostname = context_.server.hostname;
    about.now_unix_s = context_.reactor.unix_us() / 1'000'000;
    about.sender = envelope.sender;
    about.envelope_id = envelope.envelope_id;
    about.arrival_unix_s = envelope.received_unix_ms / 1000;
    about.ret = envelope.ret;
    about.smtputf8 = envelope.smtputf8;
    for (const report_line& line : job.lines) {
        const message::recipient& recipient = envelope.recipients[line.recipient];
        dsn::reported_recipient& told = about.recipients.emplace_back();
        told.address = recipient.address;
        told.original = recipient.original;
        told.action = job.action;
        told.expired = line.expired;
        told.reply = line.reply;
        told.remote_name = line.host;
        told.last_attempt_unix_s = line.last_attempt_unix_s;
        told.retry_until_unix_s = line.retry_until_unix_s;
    }
    return about;
}

task::flow<std::string> reporter::read(queued_message* message, bool whole) {
    const std::size_t wanted = whole ? dsn::returned_bytes_max : dsn::header_bytes_max;
    smtp::dot_unstuffer unstuffer;
    std::string text;
    append_unstuffed(text, unstuffer, message->prefix);
    const auto is_enough = [&text, whole, wanted] {
        return text.size() >= wanted || (!whole && text.find("\r\n\r\n") != std::string::npos);
    };
    if (message->hot) {
        for (std::size_t index = 0; index < message->body.block_count() && !is_enough(); ++index) {
            append_unstuffed(text, unstuffer, message->body.block(index));
        }
        co_return text;
    }
    if (message->is_damaged) {
        co_return text; // Nothing of it is shown that may not be its own.
    }
    read_wait wait(context_.reactor.ready());
    spool::message_reader reader(
        context_.device, context_.writer.files(), read_wait::on_read, &wait);
    reader.start(message->envelope.id, message->where);
    co_await wait.done;
    while (wait.status == spool::read_status::ready && !is_enough()) {
        if (!reader.next()) {
            co_await wait.done;
            if (wait.status != spool::read_status::ready) {
                break;
            }
        }
        const byte_view block = reader.block();
        if (block.empty()) {
            break;
        }
        append_unstuffed(text, unstuffer, block.substr(0, 2 * wanted));
    }
    co_return text;
}

std::unique_ptr<queued_message> reporter::make(const queued_message& about,
                                               const dsn::written_report& written,
                                               std::uint64_t id) const {
    auto made = std::make_unique<queued_message>();
    message::envelope& envelope = made->envelope;
    envelope.id = id;
    envelope.received_unix_ms = context_.reactor.unix_us() / 1000;
    envelope.recipients.push_back({about.envelope.sender, "", message::notify_never});
    envelope.tenant = about.envelope.tenant; // It leaves from the tenant's own address.
    envelope.smtputf8 = written.smtputf8;
    envelope.body =
        written.eight_bit ? message::body_type::eight_bit_mime : message::body_type::seven_bit;
    made->body.append(stuffed(written.text));
    made->body_bytes = made->body.bytes();
    made->hot = true;
    made->outstanding.add(0);
    return made;
}

task::flow<> reporter::run(std::shared_ptr<job> job) {
    queued_message* const about = messages_.find(job->message_id); // Kept since send().
    const bool whole =
        dsn::returns_whole(about->envelope.ret, job->action == dsn::action::failed, about->bytes());
    auto reading = read(about, whole);
    const std::string original = co_await reading;
    dsn::report described = describe(*about, *job);
    const std::uint64_t id = context_.ids.next(context_.reactor.unix_us());
    described.id = message::to_text(id);
    const std::size_t end = original.find("\r\n\r\n");
    described.header =
        byte_view(original).substr(0, end == std::string::npos ? original.size() : end + 2);
    if (whole && original.size() <= dsn::returned_bytes_max) {
        described.whole = original;
    }
    const dsn::written_report written = dsn::write_report(described);
    std::unique_ptr<queued_message> made = make(*about, written, id);
    const std::string meta = spool::encode_meta(made->envelope, made->prefix);
    bool is_stored = false;
    bool is_too_large = false; // It cannot be by its bounds; if it is, its sender waits in vain.
    while (!is_stored && !is_too_large && !context_.flows.stopping()) {
        append_wait request(context_.reactor.ready());
        request.message_id = id;
        request.meta = meta;
        request.body = &made->body;
        context_.writer.append(request);
        co_await request.done;
        is_stored = request.status == spool::append_status::durable;
        is_too_large = request.status == spool::append_status::too_large;
        if (is_stored || is_too_large) {
            made->where = request.where;
            continue;
        }
        task::sleep pause(context_.flows, retry_ms);
        co_await pause;
    }
    --running_;
    if (!is_stored && !is_too_large) {
        co_return; // The daemon ends: after the start its recipients end again.
    }
    if (is_stored) {
        context_.journal.reported(context_.reactor.unix_us(),
                                  job->message_id,
                                  made->envelope,
                                  made->bytes(),
                                  dsn::name_of(job->action));
        if (context_.counters.hot_bytes > context_.hot_bytes_max) {
            made->body.clear(); // The spool has it.
            made->hot = false;
        }
        context_.counters.hot_bytes += made->body.bytes();
    } else {
        context_.journal.note(context_.reactor.unix_us(),
                              "bounce",
                              message::to_text(job->message_id) + ": a report of " +
                                  std::to_string(made->bytes()) +
                                  " bytes is too large for the spool, and is not sent");
    }
    if (job->action != dsn::action::delayed) {
        for (const report_line& line : job->lines) {
            about->reporting.remove(line.recipient);
        }
        settled_(*about);
    }
    messages_.let_go(*about);
    if (is_stored) {
        add_(std::move(made));
    }
    start_next();
}

} // namespace ebbgate::relay
