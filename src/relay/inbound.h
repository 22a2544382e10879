// One client connection: from the accepted socket to the durable message.
//
// Input   The stream's bytes; the session's requests (it is the session's handler).
// Output  Durable messages to outbound; replies to the client.
// Owner   The shard. Deletes itself when the connection is over and told its registry.
// Fails   Everything a client does is answered or closed; the journal says what it was.
// Bounds  One session and one draft; a draft's body is in memory up to the spool's inline limit
//         and beyond it only while the shard's hot budget allows.

#pragma once

#include "ebbgate/mail/authors.h"
#include "ebbgate/spool/large_body.h"

#include "codec/proxy/header_reader.h"
#include "relay/context.h"
#include "relay/draft.h"
#include "relay/message_limits.h"
#include "stage/content/chain.h"
#include "stage/session/session.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::relay {

class outbound;
class inbound_connection;

// One listener's, for its connections; outlives them.
struct listener_settings {
    session::settings session;
    std::string tenant;                      // Whose listener it is; empty: everybody's.
    std::vector<config::ip_network> proxies; // Whose connections begin with a PROXY header.
};

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

class inbound_connection final : public session::handler,
                                 public net::stream_observer,
                                 private content::chain_owner {
public:
    inbound_connection(relay::context& context,
                       relay::outbound& outbound,
                       connection_registry& registry,
                       const listener_settings& settings,
                       int fd);
    inbound_connection(const inbound_connection&) = delete;
    inbound_connection& operator=(const inbound_connection&) = delete;

    void start();
    void shut_down();
    // Its address is banned.
    void cut();
    // Outside a transaction nothing needs the old one any more.
    void policy_changed();
    // Ends it when it keeps an older one and sends no message meanwhile.
    void let_go_of_old_policy();

    [[nodiscard]] const config::ip_address& client() const noexcept { return client_; }

    // From the draft, when what it waited for has happened.
    void draft_settled(const smtp::reply& reply);
    void draft_has_room();

    // session::handler
    void send(byte_view reply_bytes) override;
    void start_tls() override;
    void refused(smtp::verb verb, const smtp::reply& reply, std::string_view rule) override;
    void close() override;
    std::optional<std::string> decode_base64(byte_view text) override;
    void authenticate(std::string login, std::string password) override;
    void strike(session::strike_cause cause) override;
    std::optional<smtp::reply> check_client() override;
    bool may_relay() override;
    std::optional<session::sender_refusal>
    check_sender(const smtp::path& sender, const smtp::mail_parameters& parameters) override;
    std::optional<smtp::reply> check_recipient(const message::envelope& envelope,
                                               byte_view address) override;
    std::expected<void, smtp::reply> begin_message(message::envelope&& envelope) override;
    void body(byte_view wire) override;
    void end_message() override;
    void abort_message() override;

    void transaction_dropped() override { expect_signature(false); }

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
    struct strike_wait;

    ~inbound_connection() override;

    // The client is known, by the connection or by its proxy.
    void begin();
    // Reads on until the PROXY header is there.
    [[nodiscard]] std::size_t take_proxy_header(byte_view bytes);
    // Counts the session for the tenant. False: there are too many.
    [[nodiscard]] bool enter_tenant(const policy::tenant& tenant,
                                    const policy::limit_settings& limits);
    void leave_tenant();
    void login_checked(const login_check& check);
    void arm_deadline();
    // The tenant's name for us, when it has one.
    void greet_for(const policy::tenant& tenant);
    void found_by_address();
    // Input that the session left, then, behind a client that sends no more, the end.
    void go_on();
    void note_loss(net::close_reason reason);
    // Lost or timed out between AUTH and its final reply: a strike.
    void note_interrupted_login();
    void tenant_found(const policy::tenant& tenant, const policy::limit_settings& limits);
    // The tenant of a client without login, where the listener takes it. Null: nobody's.
    [[nodiscard]] const policy::tenant* tenant_of_address(const policy::snapshot& policy) const;
    [[nodiscard]] std::optional<session::sender_refusal> judge_sender(byte_view sender) const;
    // By which it is judged: for the log.
    [[nodiscard]] std::string sender_rule() const;
    [[nodiscard]] std::string size_rule(policy::limit_key key) const;
    // content::chain_owner
    bool header_complete(const mail::header_scanner& header) override;
    void store(byte_view wire) override;

    void mark() override { draft_->mark(); }

    void rewind() override { draft_->rewind(); }

    void begin_file() override { draft_->begin_file(); }

    void add_to_file(byte_view decoded) override { draft_->add_to_file(decoded); }

    void drop_file() override { draft_->drop_file(); }

    std::string end_file(const content::large_file& file) override;

    std::span<const dkim::signer> signers() override { return signers_; }

    // Why the message is not to be stored: its content, then its sender's limits.
    [[nodiscard]] bool refuse_message();
    [[nodiscard]] bool refuse_content();
    // By the authors that the header names; the log has a note of what is wrong with them.
    [[nodiscard]] std::optional<session::sender_refusal>
    judge_authors(const mail::header_scanner& header);
    // Finds who signs for the first author's domain.
    [[nodiscard]] std::optional<session::sender_refusal>
    choose_signers(const std::vector<mail::mailbox>& authors);
    void note_authors(const mail::author_refusal& refusal);
    void forget_policy();
    void expect_signature(bool expected);
    void note_refused_connection(const smtp::reply& reply, std::string_view rule);
    void over();
    [[nodiscard]] std::string received_header(const message::envelope& envelope) const;

    relay::context& context_;
    relay::outbound& outbound_;
    connection_registry& registry_;
    const listener_settings& settings_;
    policy::snapshot_pointer policy_; // In force when the transaction began, or now.
    net::stream* stream_;
    draft* draft_ = nullptr;
    std::shared_ptr<login_check> login_;
    std::shared_ptr<strike_wait> strike_;
    std::string address_;
    config::ip_address client_;
    std::string login_name_;
    std::string login_hash_; // That the password matched: a new one ends what the old one opened.
    std::string login_tenant_;
    std::string tenant_name_;
    std::unique_ptr<proxy::header_reader>
        proxy_header_;           // Of a proxy's connection, until it is read.
    std::string counted_tenant_; // In the context's connection counts.
    session::session session_;
    // In policy_; of the transaction.
    const policy::tenant* tenant_ = nullptr;
    const policy::account* account_ = nullptr; // Null: by its address.
    std::unique_ptr<message_limits> limits_;   // Null: nothing counts the message.
    // Of the message.
    std::unique_ptr<content::chain> chain_;
    std::shared_ptr<const signing_keys> keys_;
    std::span<const dkim::signer> signers_; // In keys_.
    std::optional<session::sender_refusal> header_refusal_;
    bool signature_expected_ = false;
    bool refused_unsigned_ = false; // By header_refusal_.
    std::string sender_;            // Of the last MAIL: for the log.
    std::string rule_;              // Behind the refusal that comes next: for the log.
    deadline_timer deadline_;
    std::uint64_t message_bytes_max_ = 0; // Of what leaves, for the tenant; 0: the listener's.
    std::uint32_t recipients_max_ = 0;
    admission admission_ = admission::granted;
    bool peer_finished_ = false; // It half-closed; it may still read.
    bool feeding_ = false;       // The session is reading: its input ends when it returns.
    std::uint64_t end_ms_ = 0;   // However busy the session is.
    bool admitted_ = false;
    bool stranger_noted_ = false;
    bool handshaking_ = false; // Of implicit TLS.
    bool over_ = false;
};

} // namespace ebbgate::relay
