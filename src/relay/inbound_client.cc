// Who the client of a connection is: by its address, its proxy, the tenant that it belongs to.

#include "ebbgate/smtp/reply_table.h"

#include "relay/inbound.h"

#include <fmt/format.h>

#include <utility>

namespace ebbgate::relay {

std::size_t inbound_connection::take_proxy_header(byte_view bytes) {
    const proxy::header_step step = proxy_header_->feed(bytes);
    if (step.fault) {
        context_.journal.note(
            context_.reactor.unix_us(), "smtpd", fmt::format("no PROXY header from {}", address_));
        std::exchange(stream_, nullptr)->abort();
        over();
        return bytes.size();
    }
    if (!step.header) {
        return bytes.size();
    }
    proxy_header_.reset();
    if (step.header->kind == proxy::header_kind::proxied) {
        client_ = step.header->source.address;
        address_ = config::to_text(client_);
        if (context_.guard.is_banned(client_)) { // The kernel saw the proxy only.
            std::exchange(stream_, nullptr)->abort();
            over();
            return bytes.size();
        }
    }
    begin();
    const byte_view rest = bytes.substr(step.consumed_bytes);
    if (settings_.session.implicit_tls && !over_ && !rest.empty()) {
        stream_->take_wire(rest); // Through the filter that begin() has set.
        return bytes.size();
    }
    return step.consumed_bytes;
}

void inbound_connection::begin() {
    admission_ = registry_.admit(*this);
    admitted_ = true;
    context_.journal.connected(context_.reactor.unix_us(), address_);
    if (admission_ != admission::granted && settings_.session.implicit_tls) {
        // A refusal in clear is of no use to it, and a handshake is what it may want us to pay.
        (void)check_client();
        std::exchange(stream_, nullptr)->abort();
        over();
        return;
    }
    found_by_address();
    if (settings_.session.implicit_tls) {
        handshaking_ = true;
        start_tls();
    }
    arm_deadline();
    if (!settings_.session.implicit_tls) {
        session_.start();
    }
}

void inbound_connection::policy_changed() {
    if (!over_ && !session_.in_transaction() && draft_ == nullptr) {
        forget_policy();
    }
}

void inbound_connection::forget_policy() {
    expect_signature(false);
    limits_.reset();
    tenant_ = nullptr;
    account_ = nullptr;
    policy_ = context_.policy;
    signers_ = {};
    keys_.reset();
}

void inbound_connection::let_go_of_old_policy() {
    if (!over_ && draft_ == nullptr && policy_ != context_.policy) {
        session_.shut_down();
    }
}

const policy::tenant* inbound_connection::tenant_of_address(const policy::snapshot& policy) const {
    const policy::tenant* tenant = policy.tenant_for_address(client_);
    const bool taken =
        tenant != nullptr && (settings_.tenant.empty() || settings_.tenant == tenant->name);
    return taken ? tenant : nullptr;
}

void inbound_connection::greet_for(const policy::tenant& tenant) {
    if (!tenant.hostname.empty()) {
        session_.set_hostname(tenant.hostname);
    }
}

void inbound_connection::found_by_address() {
    if (const policy::tenant* owner = policy_->find_tenant(settings_.tenant); owner != nullptr) {
        greet_for(*owner);
    }
    if (const policy::tenant* tenant = tenant_of_address(*policy_); tenant != nullptr) {
        greet_for(*tenant);
        tenant_found(*tenant, tenant->limits);
    }
}

void inbound_connection::tenant_found(const policy::tenant& tenant,
                                      const policy::limit_settings& limits) {
    tenant_name_ = tenant.name;
    message_bytes_max_ = limits.message_bytes;
    recipients_max_ = limits.recipients_per_message;
    session_.set_message_bytes_max(limits.upload_bytes);
    session_.set_recipients_max(limits.recipients_per_message);
}

bool inbound_connection::enter_tenant(const policy::tenant& tenant,
                                      const policy::limit_settings& limits) {
    if (counted_tenant_ == tenant.name) {
        return true;
    }
    leave_tenant();
    if (!context_.connections.enter_tenant(tenant.name, limits.connections)) {
        note_refused_connection(
            smtp::reply_table::too_many_connections,
            fmt::format("connections of {}: {}", tenant.name, limits.connections));
        return false;
    }
    counted_tenant_ = tenant.name;
    return true;
}

void inbound_connection::leave_tenant() {
    if (!counted_tenant_.empty()) {
        context_.connections.leave_tenant(counted_tenant_);
        counted_tenant_.clear();
    }
}

std::optional<smtp::reply> inbound_connection::check_client() {
    if (admission_ == admission::granted) {
        return std::nullopt;
    }
    const bool too_many = admission_ == admission::too_many;
    const smtp::reply reply =
        too_many ? smtp::reply_table::too_many_connections : smtp::reply_table::too_busy;
    note_refused_connection(
        reply, too_many ? "limits/max_connections_per_ip" : "limits/max_connections or memory");
    return reply;
}

void inbound_connection::note_refused_connection(const smtp::reply& reply, std::string_view rule) {
    ++context_.counters.connections_refused;
    message::envelope known;
    known.client_helo = session_.helo_name();
    known.account = login_name_;
    context_.journal.rejected(
        context_.reactor.unix_us(), address_, "CONNECT", reply, known, "", rule);
}

} // namespace ebbgate::relay
