#include "relay/inbound.h"

#include "ebbgate/smtp/reply_table.h"

#include "relay/outbound.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::uint64_t handshake_timeout_ms = 60'000;
// Replies that a client may leave unread before its commands wait, and how much input is looked at
// between two looks at them.
constexpr std::size_t unread_reply_bytes_max = 32 * kib;
constexpr std::size_t input_slice_bytes = 4 * kib;

// "Tue, 24 Nov 2026 07:52:10 +0000" (RFC 5322 section 3.3).
std::string date_text(std::int64_t unix_seconds) {
    const std::time_t seconds = unix_seconds;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[64];
    const std::size_t bytes =
        std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    return {text, bytes};
}

} // namespace

// A password check under way. The connection may go; the check then ends in nothing.
struct inbound_connection::login_check {
    inbound_connection* connection = nullptr;
    std::string login;
    std::string password;
    std::string hash;
    bool known = false; // The login exists; else the hash is nobody's.
    bool right = false;
};

inbound_connection::inbound_connection(relay::context& context,
                                       relay::outbound& outbound,
                                       connection_registry& registry,
                                       const session::settings& settings,
                                       int fd)
    : context_(context), outbound_(outbound), registry_(registry), settings_(settings),
      policy_(context.policy),
      stream_(new net::stream(context.reactor, context.flusher, fd, *this)),
      address_(net::peer_of(fd).address), session_(settings, *this) {
    deadline_.owner = this;
    deadline_.on_expire = [](task::timer& timer) noexcept {
        inbound_connection& self = *static_cast<deadline_timer&>(timer).owner;
        self.context_.journal.connection_lost(
            self.context_.reactor.unix_us(), self.address_, "timeout", true);
        self.session_.timed_out();
    };
}

inbound_connection::~inbound_connection() {
    context_.reactor.timers().clear(deadline_);
}

void inbound_connection::start() {
    ++context_.counters.connections_total;
    ++context_.counters.connections_open;
    admission_ = registry_.admit(*this);
    context_.journal.connected(context_.reactor.unix_us(), address_);
    found_by_address();
    if (settings_.implicit_tls) {
        start_tls();
    }
    arm_deadline();
    stream_->start_input();
    if (!settings_.implicit_tls) {
        session_.start();
    }
}

void inbound_connection::shut_down() {
    if (!over_) {
        session_.shut_down();
    }
}

void inbound_connection::found_by_address() {
    if (const policy::tenant* tenant = policy_->tenant_for_address(address_); tenant != nullptr) {
        tenant_found(*tenant);
    }
}

void inbound_connection::tenant_found(const policy::tenant& tenant) {
    tenant_name_ = tenant.name;
    message_bytes_max_ = tenant.limits.message_bytes;
    recipients_max_ = tenant.limits.recipients_per_message;
    session_.set_message_bytes_max(tenant.limits.upload_bytes);
}

void inbound_connection::arm_deadline() {
    if (over_) {
        return;
    }
    task::timer_wheel& timers = context_.reactor.timers();
    const auto minutes = [](std::chrono::seconds time) {
        return static_cast<std::uint64_t>(time.count()) * 1000;
    };
    std::uint64_t wait_ms = 0;
    switch (session_.deadline()) {
    case session::deadline_kind::none:
    case session::deadline_kind::closed:
        timers.clear(deadline_);
        return;
    case session::deadline_kind::tls_handshake:
        wait_ms = handshake_timeout_ms;
        break;
    case session::deadline_kind::command:
    case session::deadline_kind::sasl:
    case session::deadline_kind::data:
        wait_ms = minutes(context_.server.limits.client_timeout);
        break;
    }
    timers.set(deadline_, context_.reactor.now_ms() + wait_ms);
}

std::size_t inbound_connection::on_input(byte_view bytes) noexcept {
    std::size_t taken = 0;
    while (taken < bytes.size()) {
        // The disk is behind, or the client does not read: the stream keeps the rest, and then
        // TCP holds the client.
        if ((draft_ != nullptr && draft_->is_blocked()) ||
            (stream_ != nullptr && stream_->output_bytes() > unread_reply_bytes_max)) {
            break;
        }
        const byte_view slice = bytes.substr(taken, input_slice_bytes);
        feeding_ = true;
        const std::size_t used = session_.feed(slice, taken + slice.size() < bytes.size());
        feeding_ = false;
        taken += used;
        if (over_) {
            return bytes.size();
        }
        if (used < slice.size()) {
            break;
        }
    }
    arm_deadline();
    return taken;
}

bool inbound_connection::on_peer_finished() noexcept {
    // Owed: a reply to what it sent (the session waits for us), replies not sent yet, or commands
    // that wait behind them. A client amid a message or with nothing asked is just gone.
    peer_finished_ = session_.deadline() == session::deadline_kind::none ||
                     stream_->output_bytes() > 0 || stream_->has_kept_input();
    return peer_finished_;
}

void inbound_connection::on_output_sent() noexcept {
    // Nothing is kept for nearly every client; then this does nothing.
    if (!over_ && (peer_finished_ || (stream_ != nullptr && stream_->has_kept_input()))) {
        go_on();
    }
}

void inbound_connection::go_on() {
    // While the session reads, the call that feeds it goes on by itself.
    if (over_ || stream_ == nullptr || feeding_) {
        return;
    }
    stream_->resume_input();
    if (over_ || stream_ == nullptr) {
        return;
    }
    arm_deadline();
    if (peer_finished_ && session_.deadline() != session::deadline_kind::none &&
        stream_->output_bytes() == 0 && !stream_->has_kept_input()) {
        note_loss(net::close_reason::peer_closed);
        session_.connection_lost();
        close();
    }
}

void inbound_connection::on_closed(net::close_reason reason) noexcept {
    stream_ = nullptr;
    if (over_) {
        return;
    }
    note_loss(reason);
    session_.connection_lost();
    over();
}

void inbound_connection::note_loss(net::close_reason reason) {
    // A client that has said nothing since its last good-bye is no news; one amid something is.
    if (reason != net::close_reason::peer_closed || session_.in_transaction() ||
        session_.authenticating()) {
        context_.journal.connection_lost(context_.reactor.unix_us(),
                                         address_,
                                         session_.in_transaction()   ? "DATA"
                                         : session_.authenticating() ? "AUTH"
                                                                     : "CONNECT",
                                         false);
    }
}

void inbound_connection::over() {
    if (std::exchange(over_, true)) {
        return;
    }
    context_.reactor.timers().clear(deadline_);
    --context_.counters.connections_open;
    context_.journal.disconnected(context_.reactor.unix_us(), address_, session_.statistics());
    if (login_ != nullptr) {
        login_->connection = nullptr;
    }
    if (draft* left = std::exchange(draft_, nullptr); left != nullptr) {
        left->orphan(); // It waits for its commit: the message is nearly ours.
    }
    registry_.gone(*this);
    context_.reactor.post([this] { delete this; });
}

void inbound_connection::send(byte_view reply_bytes) {
    if (stream_ != nullptr) {
        stream_->write(reply_bytes);
    }
}

void inbound_connection::close() {
    if (net::stream* open = std::exchange(stream_, nullptr); open != nullptr) {
        open->close();
    }
    over();
}

void inbound_connection::refused(smtp::verb verb, const smtp::reply& reply) {
    message::envelope known;
    known.sender = sender_;
    known.client_helo = session_.helo_name();
    known.account = login_name_;
    std::string stage(smtp::to_text(verb));
    std::transform(stage.begin(), stage.end(), stage.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    context_.journal.rejected(context_.reactor.unix_us(), address_, stage, reply, known, "");
}

void inbound_connection::start_tls() {
    stream_->set_filter(context_.server_tls->make_filter("", [this](const std::string&) {
        ++context_.counters.tls_handshakes;
        if (over_) {
            return;
        }
        if (settings_.implicit_tls) {
            session_.start();
        } else if (stream_->has_kept_input()) {
            // Clear text behind STARTTLS (RFC 3207 section 6): nothing of it may be run.
            note_loss(net::close_reason::tls_failed);
            session_.connection_lost();
            close();
            return;
        } else {
            session_.tls_started();
            found_by_address();
        }
        arm_deadline();
    }));
}

std::optional<std::string> inbound_connection::decode_base64(byte_view text) {
    return tls::decode_base64(text);
}

void inbound_connection::authentication_in_clear() {
    context_.journal.login_failed(context_.reactor.unix_us(), address_, session_.sasl_method(), "");
}

void inbound_connection::authenticate(std::string login, std::string password) {
    const policy::account* account = context_.policy->find_account(login);
    auto check = std::make_shared<login_check>();
    check->connection = this;
    check->known = account != nullptr;
    // An unknown login costs the same time as a wrong password.
    check->hash = account != nullptr ? account->password_hash : crypto::hash_of_nobody();
    check->login = std::move(login);
    check->password = std::move(password);
    login_ = check;
    if (check->known &&
        context_.credentials.knows(
            check->login, check->password, check->hash, context_.reactor.now_ms())) {
        check->right = true;
        login_checked(*check);
        return;
    }
    const bool queued = context_.workers.submit(
        context_.reactor,
        [check] { check->right = crypto::password_matches(check->password, check->hash); },
        [check, &context = context_] {
            check->right = check->right && check->known;
            if (check->right) {
                context.credentials.remember(
                    check->login, check->password, check->hash, context.reactor.now_ms());
            }
            if (check->connection != nullptr) {
                inbound_connection& self = *check->connection;
                self.login_checked(*check);
                self.go_on();
            }
        });
    if (!queued) {
        login_.reset();
        session_.authentication_finished(session::authentication_result::unavailable);
    }
}

void inbound_connection::login_checked(const login_check& check) {
    login_.reset();
    // Looked up again: a reload may have removed or changed it while the hash was computed.
    const policy::account* account =
        check.right ? context_.policy->find_account(check.login) : nullptr;
    if (account == nullptr || account->password_hash != check.hash) {
        ++context_.counters.logins_failed;
        context_.journal.login_failed(
            context_.reactor.unix_us(), address_, session_.sasl_method(), check.login);
        session_.authentication_finished(session::authentication_result::rejected);
        return;
    }
    ++context_.counters.logins;
    login_name_ = check.login;
    tenant_found(context_.policy->tenant_of(*account));
    session_.authentication_finished(session::authentication_result::accepted);
}

std::optional<smtp::reply> inbound_connection::check_client() {
    if (admission_ == admission::granted) {
        return std::nullopt;
    }
    ++context_.counters.connections_refused;
    return admission_ == admission::too_many ? smtp::reply_table::too_many_connections
                                             : smtp::reply_table::too_busy;
}

bool inbound_connection::may_relay() {
    sender_.clear(); // Of the message before.
    return context_.policy->tenant_for_address(address_) != nullptr;
}

std::optional<smtp::reply> inbound_connection::check_sender(const smtp::path& sender,
                                                            const smtp::mail_parameters&) {
    sender_ = sender.text;
    policy_ = context_.policy; // Beyond this point a reload does not change this message's rules.
    if (session_.authenticated()) {
        const policy::account* account = policy_->find_account(login_name_);
        if (account == nullptr) {
            // A reload took it away (RFC 4954 section 6).
            return smtp::reply(smtp::reply_table::authentication_required);
        }
        tenant_found(policy_->tenant_of(*account));
    } else {
        found_by_address();
    }
    if (!context_.writer.intake_open()) {
        return context_.writer.intake_status() == spool::append_status::no_space
                   ? smtp::reply(smtp::reply_table::storage_full)
                   : smtp::reply(smtp::reply_table::storage_failed);
    }
    return std::nullopt;
}

std::optional<smtp::reply> inbound_connection::check_recipient(const message::envelope& envelope,
                                                               byte_view address) {
    if (recipients_max_ > 0 && envelope.recipients.size() >= recipients_max_) {
        return smtp::reply_table::too_many_recipients;
    }
    const std::size_t at = address.rfind('@');
    if (at == byte_view::npos || policy_->route_for(address.substr(at + 1)) == nullptr) {
        smtp::reply refusal(550, {5, 4, 4}, fmt::format("<{}>: No route to this domain", address));
        context_.journal.rejected(
            context_.reactor.unix_us(), address_, "RCPT", refusal, envelope, address);
        return refusal;
    }
    return std::nullopt;
}

std::expected<void, smtp::reply> inbound_connection::begin_message(message::envelope&& envelope) {
    const std::int64_t now_us = context_.reactor.unix_us();
    envelope.id = context_.ids.next(now_us);
    envelope.received_unix_ms = now_us / 1000;
    envelope.tenant = tenant_name_;
    envelope.account = login_name_;
    envelope.client_address = address_;
    draft_ = new draft(context_, outbound_, registry_, *this, std::move(envelope));
    return {};
}

void inbound_connection::body(byte_view wire) {
    draft_->append(wire);
}

void inbound_connection::abort_message() {
    if (draft* dropped = std::exchange(draft_, nullptr); dropped != nullptr) {
        dropped->abandon();
    }
}

std::string inbound_connection::received_header(const message::envelope& envelope) const {
    const bool v6 = address_.find(':') != std::string::npos;
    return fmt::format("Received: from {} ([{}{}])\r\n\tby {} (Ebbgate) with {} id {};\r\n\t{}\r\n",
                       envelope.client_helo,
                       v6 ? "IPv6:" : "",
                       address_,
                       settings_.hostname,
                       session_.protocol(envelope.smtputf8),
                       message::to_text(envelope.id),
                       date_text(envelope.received_unix_ms / 1000));
}

void inbound_connection::end_message() {
    if (message_bytes_max_ > 0 && session_.message_bytes() > message_bytes_max_) {
        ++context_.counters.messages_refused;
        abort_message();
        session_.message_finished(smtp::reply_table::message_too_big);
        return;
    }
    std::string prefix = received_header(draft_->envelope());
    draft_->finish(std::move(prefix),
                   {session_.protocol(draft_->envelope().smtputf8), session_.sasl_method()});
}

void inbound_connection::draft_settled(const smtp::reply& reply) {
    draft_ = nullptr;
    session_.message_finished(reply);
    go_on();
}

void inbound_connection::draft_has_room() {
    go_on();
}

} // namespace ebbgate::relay
