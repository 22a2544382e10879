#include "stage/deliver/client.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace ebbgate::deliver {

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
        } else if (self.step_ == step::body && self.stream_ != nullptr &&
                   self.stream_->output_bytes() + self.least_body_bytes() <= self.output_at_arm_) {
            self.arm(self.settings_.body_timeout_ms); // Slow is not dead.
        } else {
            self.abandon("timed out");
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
        destination_.source,
        settings_.connect_timeout_ms,
        [](void* self, int fd) noexcept { static_cast<client*>(self)->on_connected(fd); },
        this);
}

void client::on_connected(int fd) noexcept {
    if (fd < 0) {
        push_back_ = fd == -ECONNREFUSED ? push_back::connection_refused : push_back::unreachable;
        finish(true, std::strerror(-fd));
        return;
    }
    local_address_ = destination_.source.empty() ? net::local_of(fd).address : destination_.source;
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
    output_at_arm_ = stream_ == nullptr ? 0 : stream_->output_bytes();
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
    // The reply to DATA stands between those to the envelope and the last: with BDAT one too many
    // may be the last.
    const bool is_last = step_ == step::final_reply && !by_bdat_;
    if (out_of_step_ && !is_last && step_ != step::quit) {
        // Every later reply would be taken for the one before it.
        judge_bdat(reply); // It may be reading the text as commands.
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
            break;
        }
        tls_state_ = deliver::tls_state::refused;
        if (destination_.tls == tls_use::required) {
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
        if (reply.code / 100 == 2) {
            take_job();
        } else {
            give_up("RSET: " + smtp::to_line(reply)); // It may not be the answer to RSET at all.
        }
        break;
    case step::quit:
        finish(!was_ready_, "closed");
        break;
    case step::gather:
    case step::body:
        if (reply.code == 421) {
            push_back_ = push_back::shutdown_421;
        }
        [[fallthrough]];
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
        note_refused_greeting(reply);
        give_up("greeting: " + smtp::to_line(reply));
        return;
    }
    say("EHLO " + settings_.ehlo_name + "\r\n", step::ehlo, settings_.command_timeout_ms);
}

void client::note_refused_greeting(const smtp::reply& reply) noexcept {
    if (reply.code == 421) {
        push_back_ = push_back::shutdown_421;
    } else if (reply.transient_failure()) {
        push_back_ = push_back::greeting_4xx;
    } else if (reply.permanent_failure()) {
        push_back_ = push_back::greeting_5xx;
    }
}

void client::on_ehlo(const smtp::reply& reply) {
    if (reply.code != 250) {
        if (step_ == step::ehlo && reply.permanent_failure()) {
            say("HELO " + settings_.ehlo_name + "\r\n", step::helo, settings_.command_timeout_ms);
        } else {
            note_refused_greeting(reply);
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
        tls_state_ = deliver::tls_state::not_offered;
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
    const auto established = [this](const tls::session_facts& facts) {
        tls_facts_ = facts;
        tls_state_ = deliver::tls_state::established;
        secure_ = true;
        // The first EHLO must not stand inside the library's own call.
        reactor_.post([this] {
            if (stream_ != nullptr && step_ == step::handshake) {
                say("EHLO " + settings_.ehlo_name + "\r\n",
                    step::ehlo,
                    settings_.command_timeout_ms);
            }
        });
    };
    // Until the handshake tells more: the connection may just break.
    tls_state_ = deliver::tls_state::failed;
    tls_facts_ = {};
    tls_facts_.verdict.failure = tls::failure::handshake;
    stream_->set_filter(tls_->make_filter(
        destination_.server_name.empty() ? destination_.host : destination_.server_name,
        destination_.requirement,
        destination_.authorities,
        {established, [this](const tls::verdict& why) { tls_facts_.verdict = why; }}));
    if (!tls::begin_handshake(*stream_->get_filter(), *stream_)) {
        give_up(tls_failure());
    }
}

std::string client::tls_failure() const {
    std::string text = std::string("TLS failed: ") + tls::to_text(tls_facts_.verdict.failure);
    if (!tls_facts_.verdict.detail.empty()) {
        text += " (" + tls_facts_.verdict.detail + ")";
    }
    return text;
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
        abandon("the gateway stops");
    }
}

void client::quit() {
    say("QUIT\r\n", step::quit, 5'000);
}

void client::on_closed(net::close_reason reason) noexcept {
    stream_ = nullptr;
    if (step_ == step::handshake && tls_state_ == deliver::tls_state::established) {
        // It went away before the EHLO: nothing will have gone by TLS.
        const tls::failure seen = tls_facts_.verdict.failure;
        tls_state_ = deliver::tls_state::failed;
        tls_facts_ = {};
        tls_facts_.verdict.failure = seen == tls::failure::none ? tls::failure::handshake : seen;
    }
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
    if (reason == net::close_reason::peer_closed && step_ != step::final_reply) {
        // Replies come in order and this end came behind the last: BDAT was not looked at.
        may_have_arrived_ = false;
    }
    const bool by_tls = reason == net::close_reason::tls_failed;
    give_up(by_tls && step_ == step::handshake ? tls_failure()
            : by_tls                           ? "TLS failed"
                                               : "lost connection");
}

void client::give_up(const std::string& why) {
    if (step_ == step::closed) {
        return;
    }
    if (has_job_) {
        end_job_as_lost(why);
    }
    finish(!was_ready_, why);
}

// From outside the stream's own calls. What is not sent yet stays here: a peer that reads next to
// nothing would keep it for long, and an end mark that comes after all is a message that comes
// twice.
void client::abandon(const std::string& why) {
    if (stream_ != nullptr && stream_->output_bytes() > 0) {
        std::exchange(stream_, nullptr)->abort();
    }
    give_up(why);
}

void client::finish(bool before_ready, const std::string& why) {
    if (step_ == step::closed) {
        return;
    }
    step_ = step::closed;
    if (before_ready && push_back_ == push_back::none && !stopping_) {
        push_back_ = push_back::lost_early;
    }
    reactor_.timers().clear(deadline_);
    if (net::stream* open = std::exchange(stream_, nullptr); open != nullptr) {
        open->close();
    }
    owner_.on_closed(*this, before_ready, why);
    reactor_.post([this] { delete this; });
}

} // namespace ebbgate::deliver
