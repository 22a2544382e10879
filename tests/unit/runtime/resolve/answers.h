// Answers made by hand, in wire form, for tests of what is made of them.

#pragma once

#include "../../codec/dns/wire_name.h"
#include "runtime/resolve/answer.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebbgate::dns {

inline answer found(std::vector<std::string> rdata, bool secure = false) {
    answer made;
    made.status = answer_status::found;
    made.secure = secure;
    made.ttl_seconds = 300;
    made.rdata = std::move(rdata);
    return made;
}

inline answer nothing(answer_status status) {
    answer made;
    made.status = status;
    made.ttl_seconds = 300;
    return made;
}

inline answer trouble(std::string text = "SERVFAIL") {
    answer made;
    made.text = std::move(text);
    return made;
}

inline std::string mx_record(std::uint8_t preference, std::string_view host) {
    return std::string{'\0', static_cast<char>(preference)} + wire_name(host);
}

inline std::string a_record(std::uint8_t last) {
    return std::string{'\xc0', '\0', '\2', static_cast<char>(last)};
}

inline std::string aaaa_record(std::uint8_t last) {
    return "\x20\x01\x0d\xb8" + std::string(11, '\0') + static_cast<char>(last);
}

} // namespace ebbgate::dns
