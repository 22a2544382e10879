// One client connection: from the accepted socket to the durable message.
//
// Input   The stream's bytes; the session's requests (it is the session's handler).
// Output  Durable messages to outbound; replies to the client.
// Owner   The shard. Deletes itself when the connection is over and told its registry.
// Fails   Everything a client does is answered or closed; the journal says what it was.
// Bounds  One session and one draft; a draft's body is in memory up to the spool's inline limit
//         and beyond it only while the shard's hot budget allows.

#pragma once

#include "ebbgate/spool/large_body.h"

#include "relay/context.h"
#include "relay/draft.h"
#include "stage/session/session.h"

#include <memory>
#include <string>

namespace ebbgate::relay {

class outbound;
class inbound_connection;

enum class admission : std::uint8_t { granted, too_many, too_busy };

// Knows the open connections, for drain and limits.
class connection_registry {
public:
    // Not granted: the connection then refuses with 421.
    virtual admission admit(inbound_connection& connection) = 0;
    virtual void gone(inbound_connection& connection) = 0;
    // Calls body_file_may_be_free() once a turn, until it has one.
    virtual void wait_for_body_file(draft& draft) = 0;
    virtual void forget(draft& draft) = 0;

protected:
    ~connection_registry() = default;
};

class inbound_connection final : public session::handler, public net::stream_observer {
public:
    inbound_connection(relay::context& context,
                       relay::outbound& outbound,
                       connection_registry& registry,
                       const session::settings& settings,
                       int fd);
    inbound_connection(const inbound_connection&) = delete;
    inbound_connection& operator=(const inbound_connection&) = delete;

    void start();
    void shut_down();

    [[nodiscard]] const std::string& address() const noexcept { return address_; }

    // From the draft, when what it waited for has happened.
    void draft_settled(const smtp::reply& reply);
    void draft_has_room();

    // session::handler
    void send(byte_view reply_bytes) override;
    void start_tls() override;
    void refused(smtp::verb verb, const smtp::reply& reply) override;
    void close() override;
    std::optional<std::string> decode_base64(byte_view text) override;
    void authenticate(std::string login, std::string password) override;
    void authentication_in_clear() override;
    std::optional<smtp::reply> check_client() override;
    bool may_relay() override;
    std::optional<smtp::reply> check_sender(const smtp::path& sender,
                                            const smtp::mail_parameters& parameters) override;
    std::optional<smtp::reply> check_recipient(const message::envelope& envelope,
                                               byte_view address) override;
    std::expected<void, smtp::reply> begin_message(message::envelope&& envelope) override;
    void body(byte_view wire) override;
    void end_message() override;
    void abort_message() override;

    // net::stream_observer
    std::size_t on_input(byte_view bytes) noexcept override;
    void on_closed(net::close_reason reason) noexcept override;
    bool on_peer_finished() noexcept override;
    void on_output_sent() noexcept override;

private:
    struct deadline_timer : task::timer {
        inbound_connection* owner = nullptr;
    };
    struct login_check;

    ~inbound_connection() override;

    void login_checked(const login_check& check);
    void arm_deadline();
    void found_by_address();
    // Input that the session left, then, behind a client that sends no more, the end.
    void go_on();
    void note_loss(net::close_reason reason);
    void tenant_found(const policy::tenant& tenant);
    void over();
    [[nodiscard]] std::string received_header(const message::envelope& envelope) const;

    relay::context& context_;
    relay::outbound& outbound_;
    connection_registry& registry_;
    const session::settings& settings_;
    policy::snapshot_pointer policy_; // In force when the transaction began.
    net::stream* stream_;
    draft* draft_ = nullptr;
    std::shared_ptr<login_check> login_;
    std::string address_;
    std::string login_name_;
    std::string tenant_name_;
    session::session session_;
    std::string sender_; // Of the last MAIL: for the log.
    deadline_timer deadline_;
    std::uint64_t message_bytes_max_ = 0; // Of the tenant; 0: the listener's.
    std::uint32_t recipients_max_ = 0;
    admission admission_ = admission::granted;
    bool peer_finished_ = false; // It half-closed; it may still read.
    bool feeding_ = false;       // The session is reading: its input ends when it returns.
    bool over_ = false;
};

} // namespace ebbgate::relay
