// Law: a session gives the same replies and the same messages however its input is cut, and whether
// its handler answers at once or later. Nothing is sent after close; every message that was begun
// ends once; no stored message holds a bare CR or LF.

#include "ebbgate/base/assert.h"

#include "stage/session/session.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using ebbgate::byte_view;
namespace smtp = ebbgate::smtp;
namespace message = ebbgate::message;

class recording_handler : public ebbgate::session::handler {
public:
    explicit recording_handler(bool answer_at_once) : answer_at_once_(answer_at_once) {}

    ebbgate::session::session* owner = nullptr;
    std::string record;
    bool answer_owed = false;

    void send(byte_view reply_bytes) override {
        EBBGATE_ASSERT(!closed_ && reply_bytes.ends_with("\r\n"));
        record += reply_bytes;
    }

    void start_tls() override { EBBGATE_ASSERT(false); } // It is not offered here.

    void refused(ebbgate::smtp::verb, const ebbgate::smtp::reply&, std::string_view) override {}

    void close() override {
        EBBGATE_ASSERT(!closed_ && !begun_);
        closed_ = true;
        record += "(close)";
    }

    std::optional<std::string> decode_base64(byte_view text) override {
        if (text.find('!') != byte_view::npos) {
            return std::nullopt;
        }
        std::string out(text);
        for (char& c : out) {
            c = c == '|' ? '\0' : c;
        }
        return out;
    }

    void authenticate(std::string login, std::string password) override {
        good_login_ = login == password;
        owe();
    }

    void strike(ebbgate::session::strike_cause cause) override {
        EBBGATE_ASSERT(cause !=
                       ebbgate::session::strike_cause::insecure_authentication); // TLS is on.
        record += "(strike)";
        ++strikes_;
        strike_owed_ = true;
        owe();
    }

    std::optional<smtp::reply> check_client() override { return std::nullopt; }

    bool may_relay() override { return true; }

    std::optional<ebbgate::session::sender_refusal>
    check_sender(const smtp::path& sender, const smtp::mail_parameters& /*given*/) override {
        if (sender.local.starts_with("z")) {
            return ebbgate::session::sender_refusal{smtp::reply(553, {5, 7, 1}, "no"), true};
        }
        const auto refused = refuse_when(sender.local.starts_with("x"));
        return refused ? std::optional(ebbgate::session::sender_refusal{*refused}) : std::nullopt;
    }

    std::optional<smtp::reply> check_recipient(const message::envelope& /*envelope*/,
                                               byte_view address) override {
        return refuse_when(address.starts_with("x"));
    }

    std::expected<void, smtp::reply> begin_message(message::envelope&& envelope) override {
        EBBGATE_ASSERT(!begun_ && !envelope.recipients.empty());
        if (envelope.sender.starts_with("y")) {
            return std::unexpected(smtp::reply(452, {4, 3, 1}, "full"));
        }
        record += "(begin " + message::encode(envelope) + ")";
        begun_ = true;
        body_.clear();
        return {};
    }

    void body(byte_view wire) override {
        EBBGATE_ASSERT(begun_);
        body_ += wire;
    }

    void end_message() override {
        EBBGATE_ASSERT(begun_);
        begun_ = false;
        check_body();
        record += "(message " + body_ + ")";
        owe();
    }

    void abort_message() override {
        EBBGATE_ASSERT(begun_);
        begun_ = false;
        record += "(abort)";
    }

    void answer() {
        answer_owed = false;
        if (strike_owed_) {
            strike_owed_ = false;
            owner->strike_settled(strikes_ >= 5);
        } else if (owner->authenticating()) {
            using enum ebbgate::session::authentication_result;
            owner->authentication_finished(good_login_ ? accepted : rejected);
        } else if (body_.starts_with("z")) {
            owner->message_refused(smtp::reply(553, {5, 7, 1}, "no"),
                                   ebbgate::session::strike_cause::sender);
        } else {
            owner->message_finished(smtp::reply::queued("ID"));
        }
    }

private:
    static std::optional<smtp::reply> refuse_when(bool refused) {
        return refused ? std::optional(smtp::reply(550, {5, 7, 1}, "no")) : std::nullopt;
    }

    void owe() {
        answer_owed = true;
        if (answer_at_once_) {
            answer();
        }
    }

    void check_body() const {
        EBBGATE_ASSERT(body_.empty() || body_.ends_with("\r\n"));
        for (std::size_t i = 0; i < body_.size(); ++i) {
            EBBGATE_ASSERT(body_[i] != '\n' || (i > 0 && body_[i - 1] == '\r'));
            EBBGATE_ASSERT(body_[i] != '\r' || body_[i + 1] == '\n');
        }
        EBBGATE_ASSERT(!body_.starts_with(".\r\n"));
        EBBGATE_ASSERT(body_.find("\r\n.\r\n") == std::string::npos);
    }

    bool answer_at_once_;
    bool closed_ = false;
    bool begun_ = false;
    bool good_login_ = false;
    bool strike_owed_ = false;
    int strikes_ = 0;
    std::string body_;
};

std::string converse(byte_view input, std::size_t chunk_bytes_max, bool answer_at_once) {
    ebbgate::session::settings settings;
    settings.implicit_tls = true;
    settings.limits.message_bytes_max = 200;
    settings.limits.recipients_per_message_max = 3;
    recording_handler handler(answer_at_once);
    ebbgate::session::session session(settings, handler);
    handler.owner = &session;
    session.start();
    std::size_t length = 1;
    while (!input.empty()) {
        const std::string copy(input.substr(0, length));
        input.remove_prefix(copy.size());
        length = length % chunk_bytes_max + 1;
        byte_view chunk = copy;
        while (!chunk.empty()) {
            const std::size_t taken = session.feed(chunk);
            EBBGATE_ASSERT(taken == chunk.size() || handler.answer_owed);
            chunk.remove_prefix(taken);
            while (handler.answer_owed) {
                handler.answer();
            }
        }
    }
    session.connection_lost();
    return handler.record;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    const byte_view input(reinterpret_cast<const char*>(data + 1), bytes - 1);
    const std::string few_cuts = converse(input, input.size() + 1, true);
    EBBGATE_ASSERT(converse(input, data[0] % 60U + 1, true) == few_cuts);
    EBBGATE_ASSERT(converse(input, data[0] / 4U + 1, false) == few_cuts);
    return 0;
}
