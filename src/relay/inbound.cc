#include "relay/inbound.h"

#include "ebbgate/smtp/reply_table.h"

#include "crypto/base64.h"
#include "relay/outbound.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::uint64_t handshake_timeout_ms = 60'000;
constexpr std::uint64_t proxy_timeout_ms = 10'000; // It has the header when it connects.
// Replies that a client may leave unread before its commands wait, and how much input is looked at
// between two looks at them.
constexpr std::size_t unread_reply_bytes_max = 32 * kib;
constexpr std::size_t input_slice_bytes = 4 * kib;

std::uint64_t milliseconds(std::chrono::seconds time) noexcept {
    return static_cast<std::uint64_t>(time.count()) * 1000;
}

constexpr offence to_offence(session::strike_cause cause) noexcept {
    switch (cause) {
    case session::strike_cause::login:
        return offence::login;
    case session::strike_cause::insecure_authentication:
        return offence::insecure_authentication;
    case session::strike_cause::sender:
        break;
    }
    return offence::sender;
}

} // namespace

// A strike being counted. The connection may go; it counts all the same.
struct inbound_connection::strike_wait {
    inbound_connection* connection = nullptr;
};

// A password check under way. The connection may go; the check then ends in nothing.
struct inbound_connection::login_check {
    inbound_connection* connection = nullptr;
    std::string login;
    std::string password;
    std::string hash;
    config::ip_address client;
    std::atomic<bool> abandoned{false}; // The connection is gone. The one member for both threads.
    bool known = false;                 // The login exists; else the hash is nobody's.
    bool right = false;
};

inbound_connection::inbound_connection(relay::context& context,
                                       relay::outbound& outbound,
                                       connection_registry& registry,
                                       const listener_settings& settings,
                                       int fd)
    : context_(context), outbound_(outbound), registry_(registry), settings_(settings),
      policy_(context.policy),
      stream_(new net::stream(context.reactor, context.flusher, fd, *this)),
      address_(net::peer_of(fd).address),
      client_(config::parse_ip_address(address_).value_or(config::ip_address{})),
      session_(settings.session, *this) {
    deadline_.owner = this;
    deadline_.on_expire = [](task::timer& timer) noexcept {
        inbound_connection& self = *static_cast<deadline_timer&>(timer).owner;
        self.context_.journal.connection_lost(
            self.context_.reactor.unix_us(), self.address_, "timeout", true);
        self.note_interrupted_login();
        if (self.proxy_header_ != nullptr) {
            self.close();
            return;
        }
        if (self.context_.reactor.now_ms() >= self.end_ms_) {
            self.session_.lasted_too_long();
        } else {
            self.session_.timed_out();
        }
    };
}

inbound_connection::~inbound_connection() {
    context_.reactor.timers().clear(deadline_);
}

void inbound_connection::start() {
    ++context_.counters.connections_total;
    ++context_.counters.connections_open;
    end_ms_ = context_.reactor.now_ms() + milliseconds(context_.server.limits.session_time_max);
    const bool proxied = std::any_of(settings_.proxies.begin(),
                                     settings_.proxies.end(),
                                     [this](const auto& one) { return one.holds(client_); });
    stream_->start_input(); // Nothing arrives before this returns.
    if (!proxied) {
        begin();
        return;
    }
    proxy_header_ = std::make_unique<proxy::header_reader>();
    context_.reactor.timers().set(deadline_, context_.reactor.now_ms() + proxy_timeout_ms);
}

void inbound_connection::shut_down() {
    if (!over_) {
        session_.shut_down();
    }
}

void inbound_connection::cut() {
    if (!over_) {
        session_.cut();
    }
}

void inbound_connection::arm_deadline() {
    if (over_) {
        return;
    }
    task::timer_wheel& timers = context_.reactor.timers();
    if (handshaking_) {
        timers.set(deadline_, context_.reactor.now_ms() + handshake_timeout_ms);
        return;
    }
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
        wait_ms = milliseconds(context_.server.limits.client_timeout);
        break;
    }
    timers.set(deadline_, std::min(context_.reactor.now_ms() + wait_ms, end_ms_));
}

std::size_t inbound_connection::on_input(byte_view bytes) noexcept {
    std::size_t taken = 0;
    if (proxy_header_ != nullptr) {
        taken = take_proxy_header(bytes);
        if (over_ || taken == bytes.size()) {
            return bytes.size();
        }
    }
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
        note_interrupted_login();
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
    note_interrupted_login();
    session_.connection_lost();
    over();
}

void inbound_connection::note_interrupted_login() {
    if (session_.authenticating()) {
        context_.guard.strike(
            address_, offence::interrupted_authentication, context_.reactor, [](bool) {});
    }
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
    leave_tenant();
    expect_signature(false);
    if (login_ != nullptr) {
        login_->connection = nullptr;
        login_->abandoned.store(true, std::memory_order_relaxed);
    }
    if (strike_ != nullptr) {
        strike_->connection = nullptr;
    }
    if (draft* left = std::exchange(draft_, nullptr); left != nullptr) {
        left->orphan(); // It waits for its commit: the message is nearly ours.
    }
    if (admitted_) {
        context_.journal.disconnected(context_.reactor.unix_us(), address_, session_.statistics());
        registry_.gone(*this);
    }
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

void inbound_connection::refused(smtp::verb verb, const smtp::reply& reply, std::string_view rule) {
    // A stranger's commands, each of them long, must not be so many lines: the counts of the
    // session's last line tell the rest.
    constexpr int authentication_required = 530;
    if (reply.code == authentication_required && std::exchange(stranger_noted_, true)) {
        return;
    }
    message::envelope known;
    known.sender = sender_;
    known.client_helo = session_.helo_name();
    known.account = login_name_;
    std::string stage(smtp::to_text(verb));
    std::transform(stage.begin(), stage.end(), stage.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    constexpr int too_big = 552;
    if (!rule.empty()) {
        rule_ = rule;
    } else if (reply.code == too_big && rule_.empty()) {
        rule_ = size_rule(policy::limit_key::upload_size);
    }
    context_.journal.rejected(context_.reactor.unix_us(), address_, stage, reply, known, "", rule_);
    rule_.clear();
}

void inbound_connection::start_tls() {
    stream_->set_filter(tls::make_server_filter(
        context_.server_tls, [this](const std::string&, const std::string& name) {
            ++context_.counters.tls_handshakes;
            handshaking_ = false;
            if (over_) {
                return;
            }
            const policy::tenant* named = policy_->tenant_for_server_name(name);
            if (named != nullptr) {
                greet_for(*named);
            }
            if (settings_.session.implicit_tls) {
                session_.start();
            } else if (stream_->has_kept_input()) {
                // Clear text behind STARTTLS (RFC 3207 section 6): nothing of it may be run.
                note_loss(net::close_reason::tls_failed);
                session_.connection_lost();
                close();
                return;
            } else {
                session_.tls_started();
            }
            found_by_address();
            if (named != nullptr) {
                session_.set_message_bytes_max(named->limits.upload_bytes);
            }
            arm_deadline();
        }));
}

std::optional<std::string> inbound_connection::decode_base64(byte_view text) {
    return crypto::from_base64(text);
}

void inbound_connection::strike(session::strike_cause cause) {
    if (cause == session::strike_cause::insecure_authentication) {
        context_.journal.login_failed(context_.reactor.unix_us(),
                                      address_,
                                      session_.sasl_method(),
                                      "",
                                      smtp::reply_table::authentication_needs_tls,
                                      "authentication in the clear");
    }
    auto waiting = std::make_shared<strike_wait>();
    waiting->connection = this;
    strike_ = waiting;
    context_.guard.strike(address_, to_offence(cause), context_.reactor, [waiting](bool banned) {
        if (inbound_connection* self = waiting->connection; self != nullptr) {
            self->strike_.reset();
            self->session_.strike_settled(banned);
            self->go_on();
        }
    });
}

void inbound_connection::authenticate(std::string login, std::string password) {
    const policy::account* account = context_.policy->find_account(login);
    auto check = std::make_shared<login_check>();
    check->connection = this;
    check->known = account != nullptr;
    // An unknown login costs the same time as a wrong password, whatever kind of hash is usual
    // here.
    const policy::account* judged = check->known ? account : context_.policy->stand_in_for(login);
    check->hash = judged != nullptr ? judged->password_hash : crypto::hash_of_nobody();
    check->client = client_;
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
        [check, &guard = context_.guard] {
            // Nobody waits for the answer, or nobody who may have it: others wait behind it.
            if (!check->abandoned.load(std::memory_order_relaxed) &&
                !guard.is_banned(check->client)) {
                check->right = crypto::password_matches(check->password, check->hash);
            }
        },
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
        refused(smtp::verb::auth,
                smtp::reply_table::authentication_unavailable,
                "too many logins wait for their check");
        login_.reset();
        session_.authentication_finished(session::authentication_result::unavailable);
    }
}

void inbound_connection::login_checked(const login_check& check) {
    login_.reset();
    // Looked up again: a reload may have removed or changed it while the hash was computed.
    const policy::account* account =
        check.right ? context_.policy->find_account(check.login) : nullptr;
    // A listener of one tenant knows nobody else.
    if (account == nullptr || account->password_hash != check.hash ||
        (!settings_.tenant.empty() &&
         settings_.tenant != context_.policy->tenant_of(*account).name)) {
        ++context_.counters.logins_failed;
        context_.journal.login_failed(context_.reactor.unix_us(),
                                      address_,
                                      session_.sasl_method(),
                                      check.login,
                                      smtp::reply_table::authentication_failed,
                                      "authentication failure");
        session_.authentication_finished(session::authentication_result::rejected);
        return;
    }
    const policy::tenant& tenant = context_.policy->tenant_of(*account);
    const policy::limit_settings& limits = context_.policy->limits_of(*account);
    if (!enter_tenant(tenant, limits)) {
        session_.authentication_finished(session::authentication_result::too_many_connections);
        return;
    }
    ++context_.counters.logins;
    login_name_ = check.login;
    login_hash_ = check.hash;
    login_tenant_ = tenant.name;
    greet_for(tenant);
    tenant_found(tenant, limits);
    session_.authentication_finished(session::authentication_result::accepted);
}

void inbound_connection::body(byte_view wire) {
    chain_->push(wire);
}

void inbound_connection::store(byte_view wire) {
    draft_->append(wire);
}

void inbound_connection::abort_message() {
    expect_signature(false);
    chain_.reset();
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
                       session_.hostname(),
                       session_.protocol(envelope.smtputf8),
                       message::to_text(envelope.id),
                       content::date_text(envelope.received_unix_ms / 1000));
}

void inbound_connection::draft_settled(const smtp::reply& reply) {
    draft_ = nullptr;
    session_.message_finished(reply);
    if (policy_ != context_.policy) {
        policy_changed(); // It was reloaded meanwhile.
    }
    go_on();
}

void inbound_connection::draft_has_room() {
    go_on();
}

} // namespace ebbgate::relay
