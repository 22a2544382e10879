#include "ebbgate/smtp/address.h"

#include "codec/smtp/text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace ebbgate::smtp {
namespace {

// One look-up a character: the parser reads every address of every message with these tables.
// RFC 6531 3.3 adds everything that is not ASCII; whether that is allowed is asked later.
constexpr std::array<bool, 256> make_table(byte_view others) noexcept {
    std::array<bool, 256> table{};
    for (std::size_t byte = 0; byte < table.size(); ++byte) {
        table[byte] = byte >= 0x80 || is_alnum(static_cast<char>(byte));
    }
    for (const char c : others) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}

constexpr std::array<bool, 256> atext_table = make_table("!#$%&'*+-/=?^_`{|}~");
constexpr std::array<bool, 256> label_table = make_table("-");

constexpr bool is_atext(char c) noexcept {
    return atext_table[static_cast<unsigned char>(c)];
}

constexpr bool in_label(char c) noexcept {
    return label_table[static_cast<unsigned char>(c)];
}

constexpr bool is_qtext(char c) noexcept {
    return !is_control(c) && c != '"' && c != '\\';
}

// Length of the local part at the front of `text`, or 0. Non-ASCII bytes pass here; that they are
// allowed and well formed is checked by the caller.
std::size_t dot_string_length(byte_view text) noexcept {
    std::size_t length = 0;
    bool atom_empty = true;
    for (; length < text.size(); ++length) {
        const char c = text[length];
        if (c == '.') {
            if (atom_empty) {
                return 0;
            }
            atom_empty = true;
        } else if (is_atext(c)) {
            atom_empty = false;
        } else {
            break;
        }
    }
    return atom_empty ? 0 : length;
}

std::size_t quoted_string_length(byte_view text) noexcept {
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            return i + 1;
        }
        if (text[i] == '\\') {
            ++i;
            // RFC 5321 quoted-pairSMTP: printable ASCII and blank only.
            if (i >= text.size() || is_control(text[i]) || !is_ascii(text[i])) {
                return 0;
            }
        } else if (!is_qtext(text[i])) {
            return 0;
        }
    }
    return 0;
}

bool is_label(byte_view label) noexcept {
    if (label.empty() || label.size() > domain_label_bytes_max || label.front() == '-' ||
        label.back() == '-') {
        return false;
    }
    return std::all_of(label.begin(), label.end(), in_label);
}

bool all_ascii(byte_view text) noexcept {
    unsigned char all = 0;
    for (const char c : text) {
        all = static_cast<unsigned char>(all | static_cast<unsigned char>(c));
    }
    return all < 0x80;
}

std::expected<path, address_fault> check_domain(path result, bool smtputf8) noexcept {
    if (result.local.size() > local_part_bytes_max || result.domain.size() > domain_bytes_max ||
        result.text.size() > path_bytes_max - 2) {
        return std::unexpected(address_fault::too_long);
    }
    result.utf8 = !all_ascii(result.text);
    if (result.utf8) {
        if (!is_utf8_text(result.text)) {
            return std::unexpected(all_ascii(result.local) ? address_fault::bad_domain
                                                           : address_fault::bad_local_part);
        }
        if (!smtputf8) {
            return std::unexpected(address_fault::needs_smtputf8);
        }
    }
    if (!result.domain.empty() && result.domain.front() == '[') {
        result.literal = true;
        if (!is_address_literal(result.domain)) {
            return std::unexpected(address_fault::bad_literal);
        }
    } else if (!is_domain(result.domain, smtputf8)) {
        return std::unexpected(address_fault::bad_domain);
    }
    return result;
}

std::size_t domain_length(byte_view text) noexcept {
    if (!text.empty() && text.front() == '[') {
        const std::size_t end = text.find(']');
        return end == byte_view::npos ? 0 : end + 1;
    }
    std::size_t length = 0;
    while (length < text.size() && (in_label(text[length]) || text[length] == '.')) {
        ++length;
    }
    return length;
}

// One well-formed character at the front; 0 when there is none.
std::size_t utf8_length(byte_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto within = [&](std::size_t i, unsigned char low, unsigned char high) {
        return i < text.size() && byte(i) >= low && byte(i) <= high;
    };
    const unsigned char first = byte(0);
    if (first < 0x80) {
        return is_control(text[0]) ? 0 : 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        // U+0080 to U+009F are controls; terminals and logs obey them.
        return within(1, first == 0xc2 ? 0xa0 : 0x80, 0xbf) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        const unsigned char low = first == 0xe0 ? 0xa0 : 0x80;
        const unsigned char high = first == 0xed ? 0x9f : 0xbf;
        return within(1, low, high) && within(2, 0x80, 0xbf) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const unsigned char low = first == 0xf0 ? 0x90 : 0x80;
        const unsigned char high = first == 0xf4 ? 0x8f : 0xbf;
        return within(1, low, high) && within(2, 0x80, 0xbf) && within(3, 0x80, 0xbf) ? 4 : 0;
    }
    return 0;
}

} // namespace

bool is_utf8_text(byte_view text) noexcept {
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

bool is_domain(byte_view text, bool smtputf8) noexcept {
    if (text.empty() || text.size() > domain_bytes_max) {
        return false;
    }
    if (!all_ascii(text) && (!smtputf8 || !is_utf8_text(text))) {
        return false;
    }
    for (;;) {
        const std::size_t dot = text.find('.');
        if (!is_label(text.substr(0, dot))) {
            return false;
        }
        if (dot == byte_view::npos) {
            return true;
        }
        text.remove_prefix(dot + 1);
    }
}

bool is_address_literal(byte_view text) noexcept {
    if (text.size() < 3 || text.front() != '[' || text.back() != ']') {
        return false;
    }
    text = text.substr(1, text.size() - 2);
    const bool six = starts_ignoring_case(text, "ipv6:");
    if (six) {
        text.remove_prefix(5);
    }
    char terminated[INET6_ADDRSTRLEN];
    if (text.empty() || text.size() >= sizeof(terminated) || text.find('\0') != byte_view::npos) {
        return false;
    }
    terminated[text.copy(terminated, text.size())] = '\0';
    unsigned char address[sizeof(in6_addr)];
    return inet_pton(six ? AF_INET6 : AF_INET, terminated, address) == 1;
}

std::expected<path, address_fault> take_path(byte_view& input, path_rules rules) noexcept {
    if (input.empty() || input.front() != '<') {
        return std::unexpected(address_fault::no_angle_brackets);
    }
    byte_view rest = input.substr(1);
    if (rest.starts_with('>')) {
        if (rules.kind == path_kind::forward) {
            return std::unexpected(address_fault::bad_local_part);
        }
        input = rest.substr(1);
        return path{};
    }
    // RFC 5321 appendix C: a server may refuse them. Nothing sends them but open relay tests.
    if (rest.starts_with('@')) {
        return std::unexpected(address_fault::source_route);
    }
    path result;
    const std::size_t local_bytes =
        rest.starts_with('"') ? quoted_string_length(rest) : dot_string_length(rest);
    if (local_bytes == 0 || local_bytes >= rest.size()) {
        return std::unexpected(address_fault::bad_local_part);
    }
    result.local = rest.substr(0, local_bytes);
    // RFC 5321 4.5.1: the one address that needs no domain.
    if (rest[local_bytes] == '>' && rules.kind == path_kind::forward &&
        equals_ignoring_case(result.local, "postmaster")) {
        result.text = result.local;
        input = rest.substr(local_bytes + 1);
        return result;
    }
    if (rest[local_bytes] != '@') {
        return std::unexpected(address_fault::bad_local_part);
    }
    const std::size_t domain_bytes = domain_length(rest.substr(local_bytes + 1));
    const std::size_t text_bytes = local_bytes + 1 + domain_bytes;
    if (domain_bytes == 0 || text_bytes >= rest.size() || rest[text_bytes] != '>') {
        return std::unexpected(address_fault::bad_domain);
    }
    result.text = rest.substr(0, text_bytes);
    result.domain = rest.substr(local_bytes + 1, domain_bytes);
    const auto checked = check_domain(result, rules.smtputf8);
    if (checked) {
        input = rest.substr(text_bytes + 1);
    }
    return checked;
}

std::expected<path, address_fault> parse_mailbox(byte_view text, bool smtputf8) noexcept {
    path result;
    result.text = text;
    if (text.starts_with('@')) {
        return std::unexpected(address_fault::source_route);
    }
    const std::size_t local_bytes =
        text.starts_with('"') ? quoted_string_length(text) : dot_string_length(text);
    if (local_bytes == 0 || local_bytes >= text.size() || text[local_bytes] != '@') {
        return std::unexpected(address_fault::bad_local_part);
    }
    result.local = text.substr(0, local_bytes);
    result.domain = text.substr(local_bytes + 1);
    if (result.domain.empty() || domain_length(result.domain) != result.domain.size()) {
        return std::unexpected(address_fault::bad_domain);
    }
    return check_domain(result, smtputf8);
}

} // namespace ebbgate::smtp
