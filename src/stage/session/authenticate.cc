#include "ebbgate/smtp/reply_table.h"

#include "stage/session/sasl_exchange.h"
#include "stage/session/transaction.h"

#include <algorithm>
#include <cstring>

namespace ebbgate::session {

namespace table = smtp::reply_table;

namespace {

bool equals_ignoring_case(byte_view text, byte_view upper) noexcept {
    return std::equal(text.begin(), text.end(), upper.begin(), upper.end(), [](char a, char b) {
        return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 'a' + 'A') : a) == b;
    });
}

} // namespace

void session::on_auth(const smtp::command& command) {
    const bool login = equals_ignoring_case(command.argument, "LOGIN");
    const bool plain = equals_ignoring_case(command.argument, "PLAIN");
    if (!authenticated_) {
        sasl_method_ = login ? "LOGIN" : plain ? "PLAIN" : "unknown";
    }
    if (const refusal refused = check_auth(sequence())) {
        if (settings_.authentication_offered && !tls_active_) {
            strike(strike_cause::insecure_authentication, *refused);
        } else {
            send(*refused);
        }
        return;
    }
    if (!login && !plain) {
        send(table::unknown_mechanism);
        return;
    }
    sasl_ = std::make_unique<sasl_exchange>();
    if (login) {
        sasl_->next = sasl_exchange::expected::login_name;
    }
    phase_ = phase::sasl;
    if (!command.has_initial_response) {
        send(login ? table::sasl_username : table::sasl_continue);
        return;
    }
    // RFC 4954 section 4: "=" stands for an initial response that is empty.
    if (command.initial_response == "=") {
        on_sasl_response({});
        return;
    }
    auto response = handler_.decode_base64(command.initial_response);
    if (!response) {
        end_sasl(table::bad_base64);
        return;
    }
    on_sasl_response(std::move(*response));
}

void session::on_sasl_line(byte_view line) {
    if (line == "*") {
        end_sasl(table::authentication_aborted);
        return;
    }
    std::optional<std::string> response;
    if (line.empty()) {
        response.emplace();
    } else {
        response = handler_.decode_base64(line);
    }
    if (!response) {
        end_sasl(table::bad_base64);
        return;
    }
    on_sasl_response(std::move(*response));
}

void session::on_sasl_response(std::string response) {
    using expected = sasl_exchange::expected;
    if (sasl_->next == expected::plain_response) {
        // RFC 4616: [authzid] NUL authcid NUL password.
        const std::size_t first = response.find('\0');
        const std::size_t second =
            first == std::string::npos ? first : response.find('\0', first + 1);
        if (second == std::string::npos || response.find('\0', second + 1) != std::string::npos) {
            end_sasl(table::bad_sasl_response);
            return;
        }
        std::string login = response.substr(first + 1, second - first - 1);
        // Acting for somebody else is not offered: it would pass the check of the sender.
        if (first != 0 && response.compare(0, first, login) != 0) {
            explicit_bzero(response.data(), response.size());
            refuse_login("another authorization identity");
            return;
        }
        std::string password = response.substr(second + 1);
        explicit_bzero(response.data(), response.size());
        verify(std::move(login), std::move(password));
        return;
    }
    if (response.find('\0') != std::string::npos) {
        end_sasl(table::bad_sasl_response);
        return;
    }
    if (sasl_->next == expected::login_name) {
        sasl_->login = std::move(response);
        sasl_->next = expected::login_password;
        send(table::sasl_password);
        return;
    }
    verify(std::move(sasl_->login), std::move(response));
}

void session::verify(std::string login, std::string password) {
    const limits& limits = settings_.limits;
    if (login.size() > limits.login_bytes_max || password.size() > limits.password_bytes_max) {
        refuse_login("login or password too long");
        return;
    }
    sasl_.reset();
    phase_ = phase::sasl_answer;
    handler_.authenticate(std::move(login), std::move(password));
}

void session::end_sasl(const smtp::fixed_reply& reply) {
    sasl_.reset();
    phase_ = phase::command;
    send(reply);
}

// Without a check of the password.
void session::refuse_login(std::string_view why) {
    handler_.refused(smtp::verb::auth, table::authentication_failed, why);
    fail_sasl();
}

void session::fail_sasl() {
    ++authentications_failed_;
    sasl_.reset();
    strike(strike_cause::login, table::authentication_failed);
}

void session::authentication_finished(authentication_result result) {
    if (phase_ != phase::sasl_answer) {
        return;
    }
    switch (result) {
    case authentication_result::accepted:
        authenticated_ = true;
        authentications_failed_ = 0;
        end_sasl(table::authenticated);
        break;
    case authentication_result::rejected:
        fail_sasl();
        break;
    case authentication_result::unavailable:
        end_sasl(table::authentication_unavailable);
        break;
    case authentication_result::too_many_connections:
        end_sasl(table::too_many_connections);
        break;
    }
    enforce_limits();
}

} // namespace ebbgate::session
