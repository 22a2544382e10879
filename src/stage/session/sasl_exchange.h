// Stage 2 of 8. What a session remembers between the lines of AUTH.

#pragma once

#include "stage/session/session.h"

#include <cstdint>
#include <string>

namespace ebbgate::session {

struct session::sasl_exchange {
    enum class expected : std::uint8_t { plain_response, login_name, login_password };

    expected next = expected::plain_response;
    std::string login;
};

} // namespace ebbgate::session
