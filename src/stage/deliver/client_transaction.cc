// One message: the envelope, the body, and what became of each recipient.

#include "stage/deliver/client.h"
#include "stage/deliver/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::deliver {

namespace {

smtp::reply without_reply(std::string why) {
    return {0, {4, 4, 2}, std::move(why)};
}

// RFC 3463 3.1: X.0.0 where nothing more is known.
smtp::enhanced_status status_of(const smtp::reply& reply, attempt_result result) noexcept {
    if (reply.status.present()) {
        return reply.status;
    }
    switch (result) {
    case attempt_result::delivered:
        return {2, 0, 0};
    case attempt_result::permanent:
        return {5, 0, 0};
    case attempt_result::transient:
    case attempt_result::ambiguous:
        break;
    }
    return {4, 0, 0};
}

push_back push_back_in(const smtp::reply& reply, std::string_view command) noexcept {
    if (reply.code == 421) {
        return push_back::shutdown_421;
    }
    if (!reply.transient_failure()) {
        return push_back::none;
    }
    const smtp::enhanced_status& status = reply.status;
    if (status.status_class == 4 &&
        (status.subject == 7 || (status.subject == 3 && status.detail == 2) ||
         (status.subject == 4 && status.detail == 5))) {
        return push_back::rate_4xx;
    }
    return command == "MAIL" ? push_back::mail_4xx : push_back::none;
}

// What a server says that does not know a command; a judgement of the message is 55x.
bool means_unknown_command(const smtp::reply& reply) noexcept {
    return reply.code >= 500 && reply.code <= 504;
}

} // namespace

std::uint32_t client::messages_max() const noexcept {
    return peer_.messages_max > 0 ? std::min(peer_.messages_max, settings_.messages_max)
                                  : settings_.messages_max;
}

void client::take_job() {
    if (stopping_ || uses_ >= messages_max()) {
        quit();
        return;
    }
    job_ = {};
    const next_job_result next = owner_.next_job(*this, job_);
    if (next != next_job_result::here) {
        if (stopping_) {
            quit(); // The owner wants no more of it.
            return;
        }
        step_ = step::idle;
        if (next == next_job_result::none) {
            arm(settings_.idle_timeout_ms);
        } else {
            reactor_.timers().clear(deadline_);
        }
        return;
    }
    has_job_ = true;
    ++uses_;
    outcomes_.assign(job_.recipients.size(), {});
    accepted_.assign(job_.recipients.size(), false);
    for (std::size_t position = 0; position < job_.recipients.size(); ++position) {
        outcomes_[position].index = job_.recipients[position];
    }
    answered_ = 0;
    mail_accepted_ = false;
    may_have_arrived_ = false;
    if (peer_lacks_something()) {
        tell_outcomes();
        // Not inside the owner's turn: a long queue of such messages must not recurse.
        step_ = step::idle;
        reactor_.post([this] { (void)wake(); });
        return;
    }
    begin_transaction();
}

bool client::peer_lacks_something() {
    smtp::reply refusal;
    if (job_.envelope->smtputf8 && !peer_.smtputf8) {
        refusal = {554, {5, 6, 7}, "The destination does not offer SMTPUTF8"};
    } else if (peer_.message_bytes_max > 0 && job_.message_bytes > peer_.message_bytes_max) {
        refusal = {552, {5, 3, 4}, "Message is larger than the destination accepts"};
    } else if (settings_.bounce_eight_bit && !peer_.eight_bit_mime &&
               job_.envelope->body == message::body_type::eight_bit_mime) {
        refusal = {554, {5, 6, 3}, "The destination does not offer 8BITMIME"};
    } else {
        return false;
    }
    fail_rest(refusal, "EHLO");
    for (recipient_outcome& outcome : outcomes_) {
        outcome.peer_lacks = true;
    }
    return true;
}

std::string client::line_for(std::size_t position) const {
    return recipient_line(job_.envelope->recipients[job_.recipients[position]], peer_);
}

void client::begin_transaction() {
    pipelined_ = peer_.pipelining;
    by_bdat_ =
        settings_.chunking && pipelined_ && peer_.chunking && job_.message_bytes <= bdat_bytes_max;
    if (!by_bdat_) {
        send_envelope();
        return;
    }
    unstuffer_ = {};
    gathered_.clear();
    gathered_.reserve(job_.message_bytes);
    gather_failed_ = false;
    step_ = step::gather;
    arm(settings_.body_timeout_ms);
    owner_.send_body(*this);
}

void client::send_envelope() {
    std::string text = mail_line(*job_.envelope, peer_, job_.message_bytes);
    if (pipelined_) {
        for (std::size_t position = 0; position < job_.recipients.size(); ++position) {
            text += line_for(position);
        }
        text += by_bdat_ ? fmt::format("BDAT {} LAST\r\n", gathered_.size()) : "DATA\r\n";
    }
    if (by_bdat_) {
        text += gathered_;
        std::string().swap(gathered_);
        may_have_arrived_ = true;
    }
    say(text,
        step::mail,
        settings_.command_timeout_ms,
        pipelined_ ? job_.recipients.size() + 2 : 1);
}

bool client::ends_the_connection(const smtp::reply& reply) {
    const int kind = reply.code / 100;
    if (reply.code == 421) {
        may_have_arrived_ = false; // It stands where the reply to this command would.
        push_back_ = push_back::shutdown_421;
        give_up(smtp::to_line(reply)); // RFC 5321 3.8: it closes, whatever else it says.
    } else if (kind != 2 && kind != 4 && kind != 5) {
        give_up("nonsense reply: " + smtp::to_line(reply));
    } else {
        return false;
    }
    return true;
}

void client::set_outcome(std::size_t position, const smtp::reply& reply, const char* command) {
    recipient_outcome& outcome = outcomes_[position];
    outcome.reply = reply;
    outcome.command = command;
    outcome.result = reply.code / 100 == 2   ? attempt_result::delivered
                     : reply.code / 100 == 5 ? attempt_result::permanent
                                             : attempt_result::transient;
    outcome.status = status_of(reply, outcome.result);
    outcome.push = push_back_in(reply, command);
    outcome.dsn_passed_on = peer_.dsn;
    if (outcome.push != push_back::none) {
        push_back_ = outcome.push;
    }
}

void client::fail_rest(const smtp::reply& reply, const char* command) {
    for (std::size_t position = 0; position < outcomes_.size(); ++position) {
        if (outcomes_[position].command[0] == '\0') {
            set_outcome(position, reply, command);
        }
    }
}

void client::fail_rest(const smtp::reply& reply, const char* command, attempt_result result) {
    for (std::size_t position = 0; position < outcomes_.size(); ++position) {
        if (outcomes_[position].command[0] == '\0') {
            set_outcome(position, reply, command);
            outcomes_[position].result = result;
            outcomes_[position].status = status_of(reply, result);
        }
    }
}

bool client::any_accepted() const noexcept {
    return std::find(accepted_.begin(), accepted_.end(), true) != accepted_.end();
}

void client::reset_after_job() {
    tell_outcomes();
    say("RSET\r\n", step::reset, settings_.command_timeout_ms);
}

void client::on_mail_reply(const smtp::reply& reply) {
    if (ends_the_connection(reply)) {
        return;
    }
    mail_accepted_ = reply.code / 100 == 2;
    if (mail_accepted_) {
        step_ = step::rcpt;
        if (!pipelined_) {
            say(line_for(0), step::rcpt, settings_.command_timeout_ms);
        }
        return;
    }
    fail_rest(reply, "MAIL");
    may_have_arrived_ = false;
    if (!pipelined_) {
        reset_after_job();
        return;
    }
    step_ = step::rcpt; // The answers to what was pipelined behind it still come.
}

void client::on_recipient_reply(const smtp::reply& reply) {
    if (ends_the_connection(reply)) {
        return;
    }
    if (reply.code / 100 == 2) {
        accepted_[answered_] = mail_accepted_;
    } else if (mail_accepted_) {
        set_outcome(answered_, reply, "RCPT");
    }
    ++answered_;
    if (answered_ < job_.recipients.size()) {
        if (!pipelined_) {
            say(line_for(answered_), step::rcpt, settings_.command_timeout_ms);
        }
        return;
    }
    if (!pipelined_ && !any_accepted()) {
        reset_after_job();
    } else if (by_bdat_) {
        step_ = step::final_reply;
        arm(settings_.final_timeout_ms);
    } else if (pipelined_) {
        step_ = step::data;
        arm(settings_.data_timeout_ms);
    } else {
        say("DATA\r\n", step::data, settings_.data_timeout_ms);
    }
}

void client::on_data_reply(const smtp::reply& reply) {
    if (reply.code / 100 == 2) {
        // Not delivered, and where it will stop to take what comes for message text nobody knows.
        give_up("nonsense reply to DATA: " + smtp::to_line(reply));
        return;
    }
    if (reply.code != 354) {
        if (!ends_the_connection(reply)) {
            fail_rest(reply, "DATA");
            reset_after_job();
        }
        return;
    }
    if (!any_accepted()) {
        // It wants a message for nobody (RFC 2920 3.1): nothing good can come of it.
        give_up("354 although no recipient was accepted");
        return;
    }
    step_ = step::body;
    end_mark_due_ = false;
    arm(settings_.body_timeout_ms);
    owner_.send_body(*this);
}

void client::on_output_sent() noexcept {
    if (step_ == step::body && end_mark_due_) {
        end_body();
    } else if (step_ == step::body) {
        arm(settings_.body_timeout_ms);
        owner_.on_room(*this);
    }
}

void client::write_body(byte_view wire) {
    if (step_ == step::body && stream_ != nullptr) {
        stream_->write(wire);
        output_at_arm_ = stream_->output_bytes();
    } else if (step_ == step::gather) {
        gather(wire);
    }
}

void client::write_body(const chunks& wire) {
    if (step_ == step::body && stream_ != nullptr) {
        stream_->write(wire);
        output_at_arm_ = stream_->output_bytes();
    }
    for (std::size_t index = 0; step_ == step::gather && index < wire.block_count(); ++index) {
        gather(wire.block(index));
    }
}

void client::gather(byte_view wire) {
    while (!wire.empty() && !gather_failed_) {
        const smtp::stuffing_step read = unstuffer_.next(wire);
        gathered_ += read.output;
        wire.remove_prefix(read.consumed_bytes);
        gather_failed_ = read.fault.has_value();
    }
}

void client::body_written() {
    if (step_ == step::gather && gather_failed_) {
        give_up("the stored message is not in wire form");
    } else if (step_ == step::gather) {
        send_envelope();
    } else if (step_ == step::body && stream_ != nullptr) {
        // Behind a long way of output the end mark waits: until it is written nothing is in doubt,
        // and the time for the last reply does not run.
        end_mark_due_ = !stream_->can_write();
        if (!end_mark_due_) {
            end_body();
        }
    }
}

void client::end_body() {
    may_have_arrived_ = true;
    say(".\r\n", step::final_reply, settings_.final_timeout_ms);
}

void client::body_failed(const char* why) {
    if (step_ == step::body || step_ == step::gather) {
        give_up(why);
    }
}

void client::judge_bdat(const smtp::reply& reply) noexcept {
    refuses_chunks_ = refuses_chunks_ || (by_bdat_ && means_unknown_command(reply));
}

void client::on_final_reply(const smtp::reply& reply) {
    if (by_bdat_ && means_unknown_command(reply) && any_accepted()) {
        // It offers what it does not know, and has begun to read the text as commands.
        smtp::reply told = reply;
        told.text.insert(0, "CHUNKING is offered and refused: ");
        judge_bdat(reply);
        fail_rest(told, "BDAT", attempt_result::transient);
        tell_outcomes();
        finish(false, smtp::to_line(told));
        return;
    }
    // "Destination address valid": one reply too many came for RCPT, and this is not the last.
    const bool is_for_recipient = reply.status == smtp::enhanced_status{2, 1, 5};
    if (by_bdat_ && (reply.code / 100 == 3 || is_for_recipient)) {
        give_up("nonsense reply to BDAT: " + smtp::to_line(reply));
        return;
    }
    fail_rest(reply, by_bdat_ ? "BDAT" : ".");
    tell_outcomes();
    if (reply.code == 421 || out_of_step_) {
        finish(false, "the destination ends the connection: " + smtp::to_line(reply));
    } else if (by_bdat_ && !any_accepted()) {
        // A peer that refuses BDAT and yet does not take its octets reads the text as commands, and
        // whoever wrote the text would choose the replies to the next message.
        quit();
    } else if (by_bdat_ && reply.code / 100 != 2) {
        // RFC 3030 section 2: until then it refuses what comes.
        say("RSET\r\n", step::reset, settings_.command_timeout_ms);
    } else if (stream_ != nullptr) {
        take_job();
    }
}

void client::tell_outcomes() {
    has_job_ = false;
    owner_.on_outcome(*this, std::exchange(outcomes_, {}));
}

void client::end_job_as_lost(const std::string& why) {
    const char* command = step_ == step::mail || step_ == step::gather ? "MAIL"
                          : step_ == step::rcpt                        ? "RCPT"
                          : step_ != step::final_reply                 ? "DATA"
                          : by_bdat_                                   ? "BDAT"
                                                                       : ".";
    fail_rest(without_reply(why),
              command,
              may_have_arrived_ ? attempt_result::ambiguous : attempt_result::transient);
    tell_outcomes();
}

} // namespace ebbgate::deliver
