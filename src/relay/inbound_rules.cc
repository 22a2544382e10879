// What the policy says to a connection: who may send, to whom, how much.

#include "ebbgate/message/message_id.h"
#include "ebbgate/smtp/reply_table.h"

#include "config/domain.h"
#include "relay/destinations.h"
#include "relay/inbound.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

smtp::reply sender_rejected(std::string_view address) {
    return {553,
            {5, 7, 1},
            fmt::format("<{}>: Sender address rejected: not authorized to send", address)};
}

// For a reply to a client that did not ask for SMTPUTF8 (RFC 6531 3.5).
std::string to_ascii(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7e; }, '?');
    return text;
}

} // namespace

bool inbound_connection::may_relay() {
    sender_.clear(); // Of the message before.
    return tenant_of_address(*context_.policy) != nullptr;
}

std::optional<session::sender_refusal>
inbound_connection::check_sender(const smtp::path& sender, const smtp::mail_parameters&) {
    sender_ = sender.text;
    limits_.reset();
    policy_ = context_.policy; // Beyond this point a reload does not change this message's rules.
    keys_ = context_.keys;
    account_ = session_.authenticated() ? policy_->find_account(login_name_) : nullptr;
    if (account_ != nullptr && (account_->password_hash != login_hash_ ||
                                policy_->tenant_of(*account_).name != login_tenant_)) {
        account_ = nullptr; // Another's by now, or with another password.
    }
    tenant_ = account_ != nullptr        ? &policy_->tenant_of(*account_)
              : session_.authenticated() ? nullptr
                                         : tenant_of_address(*policy_);
    if (tenant_ == nullptr) {
        // A reload took it away (RFC 4954 section 6).
        return session::sender_refusal{smtp::reply_table::authentication_required};
    }
    const policy::limit_settings& limits =
        account_ == nullptr ? tenant_->limits : policy_->limits_of(*account_);
    if (!enter_tenant(*tenant_, limits)) {
        return session::sender_refusal{smtp::reply_table::too_many_connections};
    }
    tenant_found(*tenant_, limits);
    if (auto refused = judge_sender(sender.text)) {
        rule_ = sender_rule();
        return refused;
    }
    if (!context_.writer.intake_open()) {
        return session::sender_refusal{context_.writer.intake_status() ==
                                               spool::append_status::no_space
                                           ? smtp::reply_table::storage_full
                                           : smtp::reply_table::storage_failed};
    }
    limits_ = message_limits::make(
        context_.limiter, context_.limit_clock, policy_, *tenant_, account_, sender.text);
    expect_signature(!tenant_->dkim.empty());
    return std::nullopt;
}

std::optional<session::sender_refusal> inbound_connection::judge_sender(byte_view sender) const {
    const policy::sender_verdict verdict = account_ != nullptr
                                               ? policy_->may_send(*account_, sender)
                                               : policy_->may_send(*tenant_, sender);
    if (verdict.allowed) {
        return std::nullopt;
    }
    return session::sender_refusal{sender_rejected(sender), true};
}

std::string inbound_connection::sender_rule() const {
    const policy::rule_place place =
        account_ != nullptr ? policy_->place_of(*account_) : policy_->place_of(*tenant_);
    return fmt::format("authorized_senders of {} ({}: {})", place.text, place.file, place.pointer);
}

std::string inbound_connection::size_rule(policy::limit_key key) const {
    const policy::tenant* tenant = policy_->find_tenant(tenant_name_);
    if (tenant == nullptr) {
        return {}; // The listener's own bound.
    }
    const policy::account* account = policy_->find_account(login_name_);
    const policy::rule_place place = policy_->place_of_limit(*tenant, account, key);
    return fmt::format("{} of {} ({}: {})",
                       key == policy::limit_key::message_size ? "message_size" : "upload_size",
                       tenant_name_,
                       place.file,
                       place.pointer);
}

std::optional<smtp::reply> inbound_connection::check_recipient(const message::envelope& envelope,
                                                               byte_view address) {
    if (recipients_max_ > 0 && envelope.recipients.size() >= recipients_max_) {
        context_.journal.rejected(context_.reactor.unix_us(),
                                  address_,
                                  "RCPT",
                                  smtp::reply_table::too_many_recipients,
                                  envelope,
                                  address,
                                  fmt::format("recipients_per_message: {}", recipients_max_));
        return smtp::reply_table::too_many_recipients;
    }
    std::optional<smtp::reply> refusal;
    const std::size_t at = address.rfind('@');
    if (at == byte_view::npos || policy_->route_for(domain_of(address)) == nullptr) {
        refusal.emplace(550,
                        smtp::enhanced_status{5, 4, 4},
                        fmt::format("<{}>: No route to this domain", address));
    } else if (tenant_ != nullptr && tenant_->suppression_keep &&
               context_.suppression.is_suppressed(tenant_name_, address)) {
        refusal.emplace(
            550,
            smtp::enhanced_status{5, 1, 1},
            fmt::format("<{}>: Recipient address rejected: it bounced before and is suppressed",
                        address));
        rule_ = "suppression";
    } else if (limits_ != nullptr) {
        if (auto refused = limits_->check(address, envelope.recipients.size() + 1)) {
            refusal = std::move(refused->reply);
            rule_ = std::move(refused->rule);
        }
    } else {
        return std::nullopt;
    }
    if (refusal) {
        context_.journal.rejected(
            context_.reactor.unix_us(), address_, "RCPT", *refusal, envelope, address, rule_);
        rule_.clear();
    }
    return refusal;
}

std::expected<void, smtp::reply> inbound_connection::begin_message(message::envelope&& envelope) {
    const std::int64_t now_us = context_.reactor.unix_us();
    envelope.id = context_.ids.next(now_us);
    envelope.received_unix_ms = now_us / 1000;
    envelope.tenant = tenant_name_;
    envelope.account = login_name_;
    envelope.client_address = address_;
    header_refusal_.reset();
    refused_unsigned_ = false;
    signers_ = {};
    content::chain_settings settings{message::to_text(envelope.id),
                                     session_.hostname(),
                                     now_us / 1'000'000,
                                     tenant_->attachments.get(),
                                     tenant_->filelink.get(),
                                     tenant_->company};
    chain_.reset(new content::chain(*this, std::move(settings)));
    draft_ = new draft(context_, outbound_, registry_, *this, std::move(envelope));
    return {};
}

// Others wait for it a moment, to be signed together.
void inbound_connection::expect_signature(bool expected) {
    if (expected && !signature_expected_) {
        context_.signing.expect();
    } else if (!expected && signature_expected_) {
        context_.signing.arrived();
    }
    signature_expected_ = expected;
}

void inbound_connection::end_message() {
    expect_signature(false);
    chain_->finish();
    if (refuse_message()) {
        return;
    }
    const std::unique_ptr<content::chain> done = std::move(chain_);
    std::string prefix = received_header(draft_->envelope());
    draft_->finish(done->to_sign(context_.reactor.unix_us() / 1'000'000),
                   std::move(prefix),
                   {session_.protocol(draft_->envelope().smtputf8), session_.sasl_method()});
}

std::string inbound_connection::end_file(const content::large_file& file) {
    const policy::filelink_settings& settings = *tenant_->filelink;
    const message::envelope& envelope = draft_->envelope();
    blob::link wanted;
    wanted.token = blob::make_token();
    wanted.extension = blob::extension_of(file.name);
    wanted.tenant = tenant_->name;
    wanted.url = settings.url;
    wanted.name = blob::clipped_name(file.name);
    wanted.content_type =
        file.type.size() <= blob::content_type_bytes_max ? file.type : "application/octet-stream";
    wanted.sender = envelope.sender;
    wanted.message_id = message::to_text(envelope.id);
    wanted.created_unix_s = context_.reactor.unix_us() / 1'000'000;
    wanted.expires_unix_s = settings.expiry_unix_s(wanted.created_unix_s);
    std::string url = settings.url + wanted.file_name();
    draft_->keep_file(std::move(wanted));
    return url;
}

bool inbound_connection::header_complete(const mail::header_scanner& header) {
    header_refusal_ = judge_authors(header);
    return !header_refusal_.has_value();
}

std::optional<session::sender_refusal>
inbound_connection::judge_authors(const mail::header_scanner& header) {
    const auto authors = mail::authors_of(header);
    if (!authors) {
        const mail::author_fault fault = authors.error().fault;
        if ((fault == mail::author_fault::no_from || fault == mail::author_fault::unclear_header) &&
            !tenant_->check_header_from && tenant_->dkim.empty()) {
            return std::nullopt; // The repair makes it clear, or refuses it.
        }
        note_authors(authors.error());
        switch (authors.error().fault) {
        case mail::author_fault::no_from:
            return session::sender_refusal{smtp::reply_table::author_missing, true};
        case mail::author_fault::unclear_header:
        case mail::author_fault::long_header:
            return session::sender_refusal{smtp::reply_table::malformed_header};
        case mail::author_fault::several_froms:
        case mail::author_fault::unclear_from:
        case mail::author_fault::address:
            break;
        }
        return session::sender_refusal{smtp::reply_table::unclear_author, true};
    }
    if (tenant_->check_header_from) {
        for (const mail::mailbox& author : *authors) {
            const std::string address = author.local + '@' + author.domain;
            if (judge_sender(address)) {
                return session::sender_refusal{
                    sender_rejected(draft_->envelope().smtputf8 ? address : to_ascii(address)),
                    true};
            }
        }
    }
    return choose_signers(*authors);
}

void inbound_connection::note_authors(const mail::author_refusal& refusal) {
    context_.journal.note(
        context_.reactor.unix_us(),
        "smtpd",
        fmt::format("{}: {}", message::to_text(draft_->envelope().id), mail::text_of(refusal)));
}

std::optional<session::sender_refusal>
inbound_connection::choose_signers(const std::vector<mail::mailbox>& authors) {
    if (tenant_->dkim.empty()) {
        return std::nullopt;
    }
    const auto domain = config::to_a_labels(authors.front().domain);
    if (domain && keys_ != nullptr) {
        signers_ = keys_->find(*tenant_, *domain);
    }
    if (!signers_.empty() || tenant_->unsigned_mail == policy::strictness::allow) {
        return std::nullopt;
    }
    refused_unsigned_ = true;
    return session::sender_refusal{smtp::reply_table::unsigned_message};
}

bool inbound_connection::refuse_content() {
    const auto& refused = chain_->refused();
    if (!refused) {
        return false;
    }
    session::sender_refusal answer;
    const policy::rule_place place = policy_->place_of(*tenant_);
    if (const auto* attachment = std::get_if<content::attachment_refusal>(&*refused)) {
        answer.reply = policy::attachment_refusal(
            *tenant_->attachments, attachment->name, tenant_->company, draft_->envelope().smtputf8);
        rule_ = fmt::format("attachments of {} ({}: {}/attachments): {}: {}",
                            place.text,
                            place.file,
                            place.pointer,
                            content::name_of(attachment->fault),
                            attachment->detail);
    } else if (const auto* header = std::get_if<content::header_refusal>(&*refused)) {
        answer.reply = content::to_reply(*header);
        rule_ = "header";
    } else {
        answer = *header_refusal_;
        rule_ = refused_unsigned_
                    ? fmt::format("dkim of {} ({}: {}/dkim)", place.text, place.file, place.pointer)
                : tenant_->check_header_from ? "check_header_from; " + sender_rule()
                                             : "header From";
    }
    ++context_.counters.messages_refused;
    abort_message();
    if (answer.is_strike) {
        session_.message_refused(answer.reply, session::strike_cause::sender);
    } else {
        session_.message_finished(answer.reply);
    }
    return true;
}

bool inbound_connection::refuse_message() {
    if (refuse_content()) {
        return true;
    }
    // Links make a message smaller: without them what counts is what the client sent.
    const std::uint64_t bytes = tenant_->filelink == nullptr
                                    ? session_.message_bytes()
                                    : std::min(session_.message_bytes(), draft_->body_bytes());
    // Of one that has failed it is not known: it may have failed before a link took its bytes away.
    if (message_bytes_max_ > 0 && bytes > message_bytes_max_ && !draft_->has_failed()) {
        ++context_.counters.messages_refused;
        abort_message();
        rule_ = size_rule(policy::limit_key::message_size);
        session_.message_finished(smtp::reply_table::message_too_big);
        return true;
    }
    if (limits_ != nullptr) {
        const auto& recipients = draft_->envelope().recipients;
        const auto taken = limits_->take(recipients.front().address, recipients.size());
        if (!taken) {
            ++context_.counters.messages_refused;
            abort_message();
            rule_ = taken.error().rule;
            session_.message_finished(taken.error().reply);
            return true;
        }
        draft_->counted(*taken);
    }
    return false;
}

} // namespace ebbgate::relay
