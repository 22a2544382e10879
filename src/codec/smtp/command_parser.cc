#include "ebbgate/smtp/command_parser.h"

#include "ebbgate/smtp/reply_table.h"

#include "codec/smtp/parameters.h"
#include "codec/smtp/text.h"

#include <algorithm>
#include <array>

namespace ebbgate::smtp {
namespace {

struct verb_row {
    byte_view name;
    smtp::verb verb;
};

constexpr verb_row verb_rows[] = {
    {"mail", verb::mail},
    {"rcpt", verb::rcpt},
    {"data", verb::data},
    {"bdat", verb::bdat},
    {"ehlo", verb::ehlo},
    {"helo", verb::helo},
    {"rset", verb::rset},
    {"noop", verb::noop},
    {"vrfy", verb::vrfy},
    {"help", verb::help},
    {"quit", verb::quit},
    {"auth", verb::auth},
    {"starttls", verb::starttls},
    {"expn", verb::unimplemented},
    {"etrn", verb::unimplemented},
    {"turn", verb::unimplemented},
    {"atrn", verb::unimplemented},
    {"send", verb::unimplemented},
    {"soml", verb::unimplemented},
    {"saml", verb::unimplemented},
    {"xclient", verb::unimplemented},
    {"xforward", verb::unimplemented},
    {"proxy", verb::unimplemented},
    {"get", verb::http},
    {"post", verb::http},
    {"head", verb::http},
    {"put", verb::http},
    {"options", verb::http},
    {"connect", verb::http},
    {"delete", verb::http},
    {"trace", verb::http},
    {"patch", verb::http},
};

constexpr std::uint32_t four(byte_view name) noexcept {
    std::uint32_t key = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        key = (key << 8) | static_cast<unsigned char>(name[i]);
    }
    return key;
}

// A verb of a session that works: compared as one number before the table is searched.
smtp::verb common_verb(byte_view word) noexcept {
    std::uint32_t key = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        key = (key << 8) | (static_cast<unsigned char>(word[i]) | 0x20U);
    }
    switch (key) {
    case four("mail"):
        return verb::mail;
    case four("rcpt"):
        return verb::rcpt;
    case four("data"):
        return verb::data;
    case four("bdat"):
        return verb::bdat;
    case four("rset"):
        return verb::rset;
    default:
        return verb::unknown;
    }
}

smtp::verb verb_of_word(byte_view word) noexcept {
    // The bit 0x20 folds some other characters too, so only letters count.
    if (word.size() == 4 && std::all_of(word.begin(), word.end(), is_letter)) {
        if (const smtp::verb found = common_verb(word); found != verb::unknown) {
            return found;
        }
    }
    for (const verb_row& row : verb_rows) {
        if (equals_ignoring_case(word, row.name)) {
            return row.verb;
        }
    }
    return verb::unknown;
}

command_fault fault_of(address_fault fault, command_fault syntax) noexcept {
    switch (fault) {
    case address_fault::source_route:
        return command_fault::source_route;
    case address_fault::too_long:
        return command_fault::address_too_long;
    case address_fault::needs_smtputf8:
        return command_fault::needs_smtputf8;
    case address_fault::no_angle_brackets:
    case address_fault::bad_local_part:
    case address_fault::bad_domain:
    case address_fault::bad_literal:
        break;
    }
    return syntax;
}

// "FROM:" or "TO:", then the path. Blanks before the path are common and change no meaning.
std::optional<command_fault>
take_keyword_and_path(byte_view& rest, byte_view keyword, path_rules rules, command& out) noexcept {
    const bool reverse = rules.kind == path_kind::reverse;
    if (!starts_ignoring_case(rest, keyword)) {
        return reverse ? command_fault::bad_mail : command_fault::bad_rcpt;
    }
    rest = without_leading_blanks(rest.substr(keyword.size()));
    const auto path = take_path(rest, rules);
    if (!path) {
        return fault_of(path.error(),
                        reverse ? command_fault::bad_sender : command_fault::bad_recipient);
    }
    out.path = *path;
    // Parameters need a blank in front: "<a@b>SIZE=1" is neither address nor parameter.
    if (!rest.empty() && rest.front() != ' ' && rest.front() != '\t') {
        return reverse ? command_fault::bad_mail : command_fault::bad_rcpt;
    }
    rest = without_leading_blanks(rest);
    return std::nullopt;
}

std::optional<command_fault> parse_mail(byte_view rest, command& out) {
    // SMTPUTF8 stands behind the address that needs it: UTF-8 is let through, then judged.
    if (const auto fault = take_keyword_and_path(rest, "from:", {path_kind::reverse, true}, out)) {
        return fault;
    }
    const auto parameters = parse_mail_parameters(rest);
    if (!parameters) {
        return parameters.error();
    }
    out.mail = *parameters;
    if (out.path.utf8 && !out.mail.smtputf8) {
        return command_fault::needs_smtputf8;
    }
    return std::nullopt;
}

std::optional<command_fault> parse_rcpt(byte_view rest, bool smtputf8, command& out) {
    if (const auto fault =
            take_keyword_and_path(rest, "to:", {path_kind::forward, smtputf8}, out)) {
        return fault;
    }
    const auto parameters = parse_recipient_parameters(rest, smtputf8);
    if (!parameters) {
        return parameters.error();
    }
    out.recipient = *parameters;
    return std::nullopt;
}

std::optional<command_fault> parse_bdat(byte_view rest, command& out) noexcept {
    const auto chunk_bytes = parse_number(take_word(rest));
    if (!chunk_bytes) {
        return command_fault::bad_bdat;
    }
    out.chunk_bytes = *chunk_bytes;
    if (!rest.empty()) {
        out.last_chunk = equals_ignoring_case(take_word(rest), "last");
        if (!out.last_chunk || !rest.empty()) {
            return command_fault::bad_bdat;
        }
    }
    return std::nullopt;
}

// Not checked to be a domain: clients send host names with '_' and worse, and RFC 5321 4.1.4
// forbids to refuse mail for it. Only what could break a header or a log line is refused.
bool is_hello_name(byte_view name) noexcept {
    constexpr byte_view unsafe = "()<>@,;\\\"";
    return !name.empty() && name.size() <= hello_name_bytes_max &&
           std::all_of(name.begin(), name.end(), [&](char c) {
               return c > ' ' && c <= '~' && unsafe.find(c) == byte_view::npos;
           });
}

std::optional<command_fault> parse_auth(byte_view rest, command& out) noexcept {
    out.argument = take_word(rest);
    if (out.argument.empty()) {
        return command_fault::bad_auth;
    }
    if (!rest.empty()) {
        out.initial_response = take_word(rest);
        out.has_initial_response = true;
    }
    return rest.empty() ? std::nullopt : std::optional(command_fault::bad_auth);
}

std::optional<command_fault> parse_arguments(byte_view rest, bool smtputf8, command& out) {
    out.argument = rest;
    switch (out.verb) {
    case verb::mail:
        return parse_mail(rest, out);
    case verb::rcpt:
        return parse_rcpt(rest, smtputf8, out);
    case verb::bdat:
        return parse_bdat(rest, out);
    case verb::auth:
        return parse_auth(rest, out);
    case verb::ehlo:
        return is_hello_name(rest) ? std::nullopt : std::optional(command_fault::bad_ehlo);
    case verb::helo:
        return is_hello_name(rest) ? std::nullopt : std::optional(command_fault::bad_helo);
    case verb::vrfy:
        return rest.empty() ? std::optional(command_fault::bad_vrfy) : std::nullopt;
    case verb::data:
    case verb::rset:
    case verb::quit:
    case verb::starttls:
        return rest.empty() ? std::nullopt : std::optional(command_fault::unexpected_argument);
    case verb::noop:
    case verb::help:
    case verb::unimplemented:
    case verb::http:
    case verb::unknown:
        break;
    }
    return std::nullopt;
}

} // namespace

byte_view to_text(verb verb) noexcept {
    static constexpr std::array<byte_view, verb_count> names = {"ehlo",
                                                                "helo",
                                                                "mail",
                                                                "rcpt",
                                                                "data",
                                                                "bdat",
                                                                "rset",
                                                                "noop",
                                                                "vrfy",
                                                                "help",
                                                                "quit",
                                                                "starttls",
                                                                "auth",
                                                                "unimplemented",
                                                                "http",
                                                                "unknown"};
    return names[static_cast<std::size_t>(verb)];
}

fixed_reply reply_for(command_fault fault) noexcept {
    switch (fault) {
    case command_fault::bad_character:
        return reply_table::bad_character;
    case command_fault::bad_helo:
        return reply_table::bad_helo;
    case command_fault::bad_ehlo:
        return reply_table::bad_ehlo;
    case command_fault::bad_mail:
        return reply_table::bad_mail;
    case command_fault::bad_rcpt:
        return reply_table::bad_rcpt;
    case command_fault::bad_auth:
        return reply_table::bad_auth;
    case command_fault::bad_vrfy:
        return reply_table::bad_vrfy;
    case command_fault::bad_bdat:
        return reply_table::bad_bdat;
    case command_fault::unexpected_argument:
        return reply_table::no_argument_allowed;
    case command_fault::bad_sender:
        return reply_table::bad_sender;
    case command_fault::bad_recipient:
        return reply_table::bad_recipient;
    case command_fault::source_route:
        return reply_table::source_route;
    case command_fault::address_too_long:
        return reply_table::address_too_long;
    case command_fault::needs_smtputf8:
        return reply_table::utf8_not_announced;
    case command_fault::bad_parameter:
        return reply_table::bad_parameter;
    case command_fault::repeated_parameter:
        return reply_table::repeated_parameter;
    case command_fault::unknown_parameter:
        return reply_table::unknown_parameter;
    case command_fault::binary_mime:
        return reply_table::binary_mime;
    case command_fault::require_tls:
        return reply_table::require_tls;
    }
    return reply_table::unknown_command;
}

verb verb_of(byte_view line) noexcept {
    return verb_of_word(take_word(line));
}

std::expected<command, command_fault> parse_command(byte_view line, bool smtputf8) {
    command out;
    byte_view rest = without_trailing_blanks(line);
    out.verb = verb_of_word(take_word(rest));
    // A NUL or an escape sequence has no place in any command. A tab separates words.
    bool bad = false;
    for (const char c : line) {
        bad = bad || (is_control(c) && c != '\t');
    }
    if (bad) {
        return std::unexpected(out.verb == verb::bdat ? command_fault::bad_bdat
                                                      : command_fault::bad_character);
    }
    if (const auto fault = parse_arguments(rest, smtputf8, out)) {
        return std::unexpected(*fault);
    }
    return out;
}

} // namespace ebbgate::smtp
