// A handler that keeps what a session does to it, and a way to feed a session in pieces.

#pragma once

#include "ebbgate/smtp/reply_table.h"

#include "stage/session/session.h"

#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace ebbgate::session {

class scripted_handler : public handler {
public:
    // What it answers.
    bool relay_allowed = true;
    bool answer_at_once = true; // From within the call; else through `answer`.
    std::optional<smtp::reply> client_refusal;
    std::optional<smtp::reply> begin_refusal;
    authentication_result login_result = authentication_result::accepted;
    smtp::reply message_reply = smtp::reply::queued("ID");
    std::size_t strikes_to_ban = 1000;
    bool from_is_forged = false; // The message itself is a strike.

    // What it saw.
    std::string output;
    std::vector<std::string> log; // One line an event, in order.
    std::string current_body;
    message::envelope last_envelope;
    bool closed = false;
    bool answer_owed = false;
    session* owner = nullptr;

    void send(byte_view reply_bytes) override {
        if (closed) {
            log.emplace_back("SENT AFTER CLOSE");
        }
        output += reply_bytes;
    }

    void start_tls() override { log.emplace_back("start_tls"); }

    std::vector<std::string> refusals; // "verb line".

    void refused(smtp::verb verb, const smtp::reply& reply, std::string_view /*rule*/) override {
        refusals.push_back(std::string(smtp::to_text(verb)) + " " + smtp::to_line(reply));
    }

    void close() override {
        log.emplace_back(closed ? "CLOSED TWICE" : "close");
        closed = true;
    }

    // Stands for base64: text that starts with '!' is not decodable; '|' is a NUL.
    std::optional<std::string> decode_base64(byte_view text) override {
        if (text.starts_with('!')) {
            return std::nullopt;
        }
        std::string out(text);
        for (char& c : out) {
            c = c == '|' ? '\0' : c;
        }
        return out;
    }

    void authenticate(std::string login, std::string password) override {
        log.push_back("authenticate " + login + " " + password);
        answer_owed = true;
        if (answer_at_once) {
            answer();
        }
    }

    std::vector<strike_cause> strikes;
    bool strike_owed = false;

    void strike(strike_cause cause) override {
        strikes.push_back(cause);
        strike_owed = true;
        answer_owed = true;
        if (answer_at_once) {
            answer();
        }
    }

    std::optional<smtp::reply> check_client() override { return client_refusal; }

    bool may_relay() override { return relay_allowed; }

    std::optional<sender_refusal>
    check_sender(const smtp::path& sender, const smtp::mail_parameters& /*parameters*/) override {
        if (sender.local == "spoofed") {
            return sender_refusal{smtp::reply(553, {5, 7, 1}, "no"), true};
        }
        if (sender.local == "later") {
            return sender_refusal{smtp::reply(smtp::reply_table::storage_full)};
        }
        return std::nullopt;
    }

    std::optional<smtp::reply> check_recipient(const message::envelope& /*envelope*/,
                                               byte_view address) override {
        if (address.starts_with("refused")) {
            return smtp::reply(smtp::reply_table::relay_denied);
        }
        return std::nullopt;
    }

    std::expected<void, smtp::reply> begin_message(message::envelope&& envelope) override {
        if (begin_refusal) {
            return std::unexpected(*begin_refusal);
        }
        std::string line = "begin <" + envelope.sender + ">";
        for (const message::recipient& recipient : envelope.recipients) {
            line += " " + recipient.address;
        }
        log.push_back(line);
        last_envelope = std::move(envelope);
        current_body.clear();
        return {};
    }

    void body(byte_view wire) override { current_body += wire; }

    void end_message() override {
        log.push_back("end " + current_body);
        answer_owed = true;
        if (answer_at_once) {
            answer();
        }
    }

    void abort_message() override {
        log.emplace_back("abort");
        current_body.clear();
    }

    void answer() {
        answer_owed = false;
        if (std::exchange(strike_owed, false)) {
            owner->strike_settled(strikes.size() >= strikes_to_ban);
        } else if (owner->deadline() == deadline_kind::none && owner->authenticating()) {
            owner->authentication_finished(login_result);
        } else if (from_is_forged) {
            owner->message_refused(smtp::reply(553, {5, 7, 1}, "no"), strike_cause::sender);
        } else {
            owner->message_finished(message_reply);
        }
    }
};

struct outcome {
    std::string output;
    std::vector<std::string> log;
    std::vector<std::string> refusals;
    std::vector<strike_cause> strikes;

    bool operator==(const outcome&) const = default;
};

// Feeds `input`, cut at the given places, to a new session. Each chunk is a copy of its own, so
// that a sanitizer sees a view that is kept too long.
inline outcome converse(scripted_handler handler,
                        const settings& settings,
                        byte_view input,
                        const std::vector<std::size_t>& cuts) {
    session session(settings, handler);
    handler.owner = &session;
    session.start();
    std::size_t start = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : input.size();
        const std::string chunk(input.substr(start, end - start));
        start = end;
        byte_view rest = chunk;
        while (!rest.empty()) {
            rest.remove_prefix(session.feed(rest));
            while (handler.answer_owed) {
                handler.answer();
            }
        }
    }
    session.connection_lost();
    return {handler.output, handler.log, handler.refusals, handler.strikes};
}

// The same whole, cut once at every place, and byte by byte; answered at once and later.
inline outcome converse_every_way(const scripted_handler& handler,
                                  const settings& settings,
                                  byte_view input,
                                  bool& all_equal) {
    const outcome whole = converse(handler, settings, input, {});
    scripted_handler late = handler;
    late.answer_at_once = false;
    all_equal = converse(late, settings, input, {}) == whole;
    std::vector<std::size_t> everywhere;
    for (std::size_t cut = 1; cut < input.size(); ++cut) {
        everywhere.push_back(cut);
        all_equal =
            all_equal && converse(cut % 2 == 0 ? handler : late, settings, input, {cut}) == whole;
    }
    all_equal = all_equal && converse(handler, settings, input, everywhere) == whole;
    return whole;
}

inline settings plain_settings() {
    settings out;
    out.hostname = "gate.test";
    out.limits.message_bytes_max = 1000;
    return out;
}

inline settings tls_settings() {
    settings out = plain_settings();
    out.implicit_tls = true;
    return out;
}

} // namespace ebbgate::session
