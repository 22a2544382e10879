#include "stage/deliver/client.h"

#include "stage/deliver/command_line.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ebbgate::deliver {

namespace {

smtp::reply without_reply(std::string why) {
    return {0, {4, 4, 2}, std::move(why)};
}

} // namespace

client::client(task::reactor& reactor,
               net::flusher& flusher,
               const client_settings& settings,
               std::shared_ptr<tls::context> tls,
               deliver::destination destination,
               client_owner& owner)
    : reactor_(reactor), flusher_(flusher), settings_(settings), tls_(std::move(tls)),
      destination_(std::move(destination)), owner_(owner) {
    deadline_.owner = this;
    deadline_.on_expire = [](task::timer& timer) noexcept {
        client& self = *static_cast<deadline_timer&>(timer).owner;
        if (self.step_ == step::idle) {
            self.quit();
        } else {
            self.give_up("timed out");
        }
    };
}

client::~client() {
    reactor_.timers().clear(deadline_);
}

void client::start() {
    begun_us_ = reactor_.now_ms() * 1000;
    step_ = step::connect;
    net::connector::start(
        reactor_,
        destination_.address,
        settings_.connect_timeout_ms,
        [](void* self, int fd) noexcept { static_cast<client*>(self)->on_connected(fd); },
        this);
}

void client::on_connected(int fd) noexcept {
    if (fd < 0) {
        finish(true, std::string("connect: ") + std::strerror(-fd));
        return;
    }
    stream_ = new net::stream(reactor_, flusher_, fd, *this);
    parser_ = {};
    peer_ = {};
    secure_ = false;
    step_ = step::greeting;
    owed_replies_ = 1;
    arm(settings_.greeting_timeout_ms);
    stream_->start_input();
}

void client::arm(std::uint64_t timeout_ms) {
    reactor_.timers().set(deadline_, reactor_.now_ms() + timeout_ms);
}

void client::say(byte_view text, step next, std::uint64_t timeout_ms, std::size_t replies) {
    step_ = next;
    owed_replies_ += replies;
    arm(timeout_ms);
    stream_->write(text);
}

std::size_t client::on_input(byte_view bytes) noexcept {
    std::size_t taken = 0;
    while (taken < bytes.size() && stream_ != nullptr) {
        if (step_ == step::handshake) {
            // Clear text behind the reply to STARTTLS: somebody put it there.
            give_up("unencrypted bytes after STARTTLS");
            break;
        }
        const smtp::reply_step read = parser_.feed(bytes.substr(taken));
        taken += read.consumed_bytes;
        if (read.fault) {
            give_up("not an SMTP reply: " + std::string(smtp::to_text(*read.fault)));
            break;
        }
        if (read.complete) {
            owed_replies_ -= owed_replies_ > 0 ? 1 : 0;
            out_of_step_ = owed_replies_ == 0 && taken < bytes.size() && step_ != step::starttls;
            on_reply(parser_.take());
        }
    }
    return bytes.size();
}

void client::on_reply(const smtp::reply& reply) {
    if (out_of_step_ && step_ != step::final_reply && step_ != step::quit) {
        // Every later reply would be taken for the one before it.
        give_up("more replies than commands, from: " + smtp::to_line(reply));
        return;
    }
    switch (step_) {
    case step::greeting:
        on_greeting(reply);
        break;
    case step::ehlo:
    case step::helo:
        on_ehlo(reply);
        break;
    case step::starttls:
        if (reply.code == 220) {
            start_tls();
        } else if (destination_.tls == tls_use::required) {
            give_up("TLS is required and was refused: " + smtp::to_line(reply));
        } else {
            ready();
        }
        break;
    case step::mail:
        on_mail_reply(reply);
        break;
    case step::rcpt:
        on_recipient_reply(reply);
        break;
    case step::data:
        on_data_reply(reply);
        break;
    case step::final_reply:
        on_final_reply(reply);
        break;
    case step::reset:
        take_job();
        break;
    case step::quit:
        finish(!was_ready_, "closed");
        break;
    case step::body:
    case step::idle:
        // Nothing was asked. 421 is how a server says good-bye; anything else is confusion.
        give_up("unexpected reply: " + smtp::to_line(reply));
        break;
    case step::connect:
    case step::handshake:
    case step::closed:
        break;
    }
}

void client::on_greeting(const smtp::reply& reply) {
    if (reply.code != 220) {
        give_up("greeting: " + smtp::to_line(reply));
        return;
    }
    say("EHLO " + settings_.ehlo_name + "\r\n", step::ehlo, settings_.command_timeout_ms);
}

void client::on_ehlo(const smtp::reply& reply) {
    if (reply.code != 250) {
        if (step_ == step::ehlo && reply.permanent_failure()) {
            say("HELO " + settings_.ehlo_name + "\r\n", step::helo, settings_.command_timeout_ms);
        } else {
            give_up("EHLO: " + smtp::to_line(reply));
        }
        return;
    }
    peer_ = step_ == step::ehlo ? smtp::parse_ehlo_response(reply) : smtp::ehlo_response{};
    if (!secure_ && destination_.tls != tls_use::off && !plain_again_) {
        if (peer_.starttls && tls_ != nullptr) {
            say("STARTTLS\r\n", step::starttls, settings_.command_timeout_ms);
            return;
        }
        if (destination_.tls == tls_use::required) {
            give_up("TLS is required and not offered");
            return;
        }
    }
    ready();
}

void client::start_tls() {
    step_ = step::handshake;
    arm(settings_.command_timeout_ms);
    parser_ = {};
    stream_->set_filter(tls_->make_filter(destination_.host, [this](const std::string& cipher) {
        cipher_ = cipher;
        secure_ = true;
        // The first EHLO must not stand inside the library's own call.
        reactor_.post([this] {
            if (stream_ != nullptr && step_ == step::handshake) {
                say("EHLO " + settings_.ehlo_name + "\r\n",
                    step::ehlo,
                    settings_.command_timeout_ms);
            }
        });
    }));
    if (!tls::begin_handshake(*stream_->get_filter(), *stream_)) {
        give_up("TLS handshake failed");
    }
}

void client::ready() {
    connection_us_ = reactor_.now_ms() * 1000 - begun_us_;
    was_ready_ = true;
    owner_.on_ready(*this);
    take_job();
}

bool client::wake() {
    if (step_ != step::idle) {
        return false;
    }
    take_job();
    return true;
}

void client::shut_down() {
    stopping_ = true;
    if (step_ == step::idle) {
        quit();
    }
}

void client::cut() {
    if (step_ != step::connect) { // The connector still points here, and has a time-out.
        give_up("the gateway stops");
    }
}

void client::take_job() {
    if (stopping_ || uses_ >= settings_.messages_max) {
        quit();
        return;
    }
    job_ = {};
    if (!owner_.next_job(*this, job_)) {
        step_ = step::idle;
        arm(settings_.idle_timeout_ms);
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
    if (peer_lacks_something()) {
        tell_outcomes();
        // Not inside the owner's turn: a long queue of such messages must not recurse.
        step_ = step::idle;
        reactor_.post([this] { (void)wake(); });
        return;
    }
    send_envelope();
}

bool client::peer_lacks_something() {
    smtp::reply refusal;
    if (job_.envelope->smtputf8 && !peer_.smtputf8) {
        refusal = {554, {5, 6, 7}, "The destination does not offer SMTPUTF8"};
    } else if (peer_.message_bytes_max > 0 && job_.message_bytes > peer_.message_bytes_max) {
        refusal = {552, {5, 3, 4}, "Message is larger than the destination accepts"};
    } else {
        return false;
    }
    fail_rest(refusal, "EHLO");
    return true;
}

std::string client::line_for(std::size_t position) const {
    return recipient_line(job_.envelope->recipients[job_.recipients[position]], peer_);
}

void client::send_envelope() {
    pipelined_ = peer_.pipelining;
    std::string text = mail_line(*job_.envelope, peer_, job_.message_bytes);
    if (pipelined_) {
        for (std::size_t position = 0; position < job_.recipients.size(); ++position) {
            text += line_for(position);
        }
        text += "DATA\r\n";
    }
    say(text,
        step::mail,
        settings_.command_timeout_ms,
        pipelined_ ? job_.recipients.size() + 2 : 1);
}

bool client::ends_the_connection(const smtp::reply& reply) {
    const int kind = reply.code / 100;
    if (reply.code == 421) {
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
}

void client::fail_rest(const smtp::reply& reply, const char* command) {
    for (std::size_t position = 0; position < outcomes_.size(); ++position) {
        if (outcomes_[position].command[0] == '\0') {
            set_outcome(position, reply, command);
        }
    }
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
    if (!pipelined_) {
        tell_outcomes();
        say("RSET\r\n", step::reset, settings_.command_timeout_ms);
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
    const bool any = std::find(accepted_.begin(), accepted_.end(), true) != accepted_.end();
    if (!pipelined_ && !any) {
        tell_outcomes();
        say("RSET\r\n", step::reset, settings_.command_timeout_ms);
    } else if (pipelined_) {
        step_ = step::data;
        arm(settings_.data_timeout_ms);
    } else {
        say("DATA\r\n", step::data, settings_.data_timeout_ms);
    }
}

void client::on_data_reply(const smtp::reply& reply) {
    const bool any = std::find(accepted_.begin(), accepted_.end(), true) != accepted_.end();
    if (reply.code / 100 == 2) {
        // Not delivered, and where it will stop to take what comes for message text nobody knows.
        give_up("nonsense reply to DATA: " + smtp::to_line(reply));
        return;
    }
    if (reply.code != 354) {
        if (!ends_the_connection(reply)) {
            fail_rest(reply, "DATA");
            tell_outcomes();
            say("RSET\r\n", step::reset, settings_.command_timeout_ms);
        }
        return;
    }
    if (!any) {
        // It wants a message for nobody (RFC 2920 3.1): nothing good can come of it.
        give_up("354 although no recipient was accepted");
        return;
    }
    step_ = step::body;
    arm(settings_.body_timeout_ms);
    owner_.send_body(*this);
}

void client::on_output_sent() noexcept {
    if (step_ == step::body) {
        arm(settings_.body_timeout_ms);
        owner_.on_room(*this);
    }
}

void client::body_written() {
    if (step_ == step::body && stream_ != nullptr) {
        say(".\r\n", step::final_reply, settings_.final_timeout_ms);
    }
}

void client::body_failed(const char* why) {
    if (step_ == step::body && stream_ != nullptr) {
        give_up(why);
    }
}

void client::on_final_reply(const smtp::reply& reply) {
    for (std::size_t position = 0; position < outcomes_.size(); ++position) {
        if (accepted_[position]) {
            set_outcome(position, reply, ".");
        }
    }
    tell_outcomes();
    if (reply.code == 421 || out_of_step_) {
        finish(false, "the destination ends the connection: " + smtp::to_line(reply));
    } else if (stream_ != nullptr) {
        take_job();
    }
}

void client::tell_outcomes() {
    has_job_ = false;
    owner_.on_outcome(*this, std::exchange(outcomes_, {}));
}

void client::quit() {
    say("QUIT\r\n", step::quit, 5'000);
}

void client::on_closed(net::close_reason reason) noexcept {
    stream_ = nullptr;
    if (step_ == step::handshake && destination_.tls == tls_use::opportunistic && !plain_again_) {
        plain_again_ = true;
        reactor_.timers().clear(deadline_);
        start();
        return;
    }
    if (step_ == step::quit || step_ == step::idle) {
        finish(!was_ready_, "closed by the destination");
        return;
    }
    give_up(reason == net::close_reason::tls_failed ? "TLS failed" : "lost connection");
}

void client::give_up(const std::string& why) {
    if (step_ == step::closed) {
        return;
    }
    if (has_job_) {
        const bool sent = step_ == step::final_reply;
        const char* command = sent                  ? "."
                              : step_ == step::mail ? "MAIL"
                              : step_ == step::rcpt ? "RCPT"
                                                    : "DATA";
        fail_rest(without_reply(why), command);
        for (std::size_t position = 0; sent && position < outcomes_.size(); ++position) {
            if (accepted_[position]) {
                outcomes_[position].result = attempt_result::ambiguous;
            }
        }
        tell_outcomes();
    }
    finish(!was_ready_, why);
}

void client::finish(bool before_ready, const std::string& why) {
    if (step_ == step::closed) {
        return;
    }
    step_ = step::closed;
    reactor_.timers().clear(deadline_);
    if (net::stream* open = std::exchange(stream_, nullptr); open != nullptr) {
        open->close();
    }
    owner_.on_closed(*this, before_ready, why);
    reactor_.post([this] { delete this; });
}

} // namespace ebbgate::deliver
