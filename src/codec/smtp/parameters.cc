#include "codec/smtp/parameters.h"

#include "ebbgate/smtp/xtext.h"

#include "codec/smtp/text.h"

#include <algorithm>

namespace ebbgate::smtp {
namespace {

struct parameter {
    byte_view keyword;
    byte_view value;
    bool has_value = false;
};

std::optional<parameter> take_parameter(byte_view& text) noexcept {
    const byte_view word = take_word(text);
    const std::size_t equals = word.find('=');
    parameter result;
    result.keyword = word.substr(0, equals);
    if (result.keyword.empty()) {
        return std::nullopt;
    }
    if (equals != byte_view::npos) {
        result.has_value = true;
        result.value = word.substr(equals + 1);
        if (result.value.empty()) {
            return std::nullopt;
        }
    }
    return result;
}

// One bit for each known keyword, to notice a repeated one.
enum mail_keyword : unsigned {
    keyword_size = 1,
    keyword_body = 2,
    keyword_ret = 4,
    keyword_envelope_id = 8,
    keyword_submitter = 16,
    keyword_smtputf8 = 32,
};

unsigned mail_keyword_of(byte_view keyword) noexcept {
    struct row {
        byte_view name;
        mail_keyword bit;
    };

    static constexpr row rows[] = {
        {"size", keyword_size},
        {"body", keyword_body},
        {"ret", keyword_ret},
        {"envid", keyword_envelope_id},
        {"auth", keyword_submitter},
        {"smtputf8", keyword_smtputf8},
    };
    for (const row& known : rows) {
        if (equals_ignoring_case(keyword, known.name)) {
            return known.bit;
        }
    }
    return 0;
}

std::optional<command_fault> set_body(byte_view value, mail_parameters& out) noexcept {
    if (equals_ignoring_case(value, "7bit")) {
        out.body = body_kind::seven_bit;
    } else if (equals_ignoring_case(value, "8bitmime")) {
        out.body = body_kind::eight_bit_mime;
    } else if (equals_ignoring_case(value, "binarymime")) {
        return command_fault::binary_mime;
    } else {
        return command_fault::bad_parameter;
    }
    return std::nullopt;
}

std::optional<command_fault>
set_mail_parameter(unsigned keyword, const parameter& given, mail_parameters& out) noexcept {
    if (given.has_value == (keyword == keyword_smtputf8)) {
        return command_fault::bad_parameter;
    }
    bool good = true;
    switch (keyword) {
    case keyword_size:
        out.message_bytes = parse_number(given.value);
        good = out.message_bytes.has_value();
        break;
    case keyword_body:
        return set_body(given.value, out);
    case keyword_ret:
        if (equals_ignoring_case(given.value, "full")) {
            out.ret = dsn_return_kind::full;
        } else {
            good = equals_ignoring_case(given.value, "hdrs");
            out.ret = dsn_return_kind::headers;
        }
        break;
    case keyword_envelope_id:
        out.envelope_id = given.value;
        good = given.value.size() <= envelope_id_bytes_max && is_printable_xtext(given.value);
        break;
    case keyword_submitter:
        out.submitter = given.value;
        good = is_printable_xtext(given.value);
        break;
    default: // keyword_smtputf8: its value was refused above.
        out.smtputf8 = true;
        break;
    }
    return good ? std::nullopt : std::optional(command_fault::bad_parameter);
}

// RFC 3461 4.1: NEVER alone, or a list of the other three.
bool set_notify(byte_view value, std::uint8_t& notify) noexcept {
    if (equals_ignoring_case(value, "never")) {
        notify = notify_never_bit;
        return true;
    }
    for (;;) {
        const std::size_t comma = value.find(',');
        const byte_view item = value.substr(0, comma);
        if (equals_ignoring_case(item, "success")) {
            notify |= notify_success_bit;
        } else if (equals_ignoring_case(item, "failure")) {
            notify |= notify_failure_bit;
        } else if (equals_ignoring_case(item, "delay")) {
            notify |= notify_delay_bit;
        } else {
            return false;
        }
        if (comma == byte_view::npos) {
            return true;
        }
        value.remove_prefix(comma + 1);
    }
}

// RFC 3461 4.2: addr-type ";" xtext. RFC 6533 section 3 adds the type utf-8, whose form with
// \x{...} is xtext too, and whose raw form needs SMTPUTF8.
bool is_original_recipient(byte_view value, bool smtputf8) noexcept {
    const std::size_t semicolon = value.find(';');
    if (semicolon == 0 || semicolon == byte_view::npos ||
        value.size() > original_recipient_bytes_max) {
        return false;
    }
    const byte_view type = value.substr(0, semicolon);
    const byte_view address = value.substr(semicolon + 1);
    const auto in_atom = [](char c) { return is_alnum(c) || c == '-'; };
    if (address.empty() || !std::all_of(type.begin(), type.end(), in_atom)) {
        return false;
    }
    if (is_printable_xtext(address)) {
        return true;
    }
    return smtputf8 && equals_ignoring_case(type, "utf-8") && is_utf8_text(address) &&
           address.find_first_of("+=") == byte_view::npos;
}

} // namespace

std::expected<mail_parameters, command_fault> parse_mail_parameters(byte_view text) {
    mail_parameters out;
    unsigned seen = 0;
    while (!text.empty()) {
        const auto given = take_parameter(text);
        if (!given) {
            return std::unexpected(command_fault::bad_parameter);
        }
        const unsigned keyword = mail_keyword_of(given->keyword);
        if (keyword == 0) {
            return std::unexpected(equals_ignoring_case(given->keyword, "requiretls")
                                       ? command_fault::require_tls
                                       : command_fault::unknown_parameter);
        }
        if ((seen & keyword) != 0) {
            return std::unexpected(command_fault::repeated_parameter);
        }
        seen |= keyword;
        if (const auto fault = set_mail_parameter(keyword, *given, out)) {
            return std::unexpected(*fault);
        }
    }
    return out;
}

std::expected<recipient_parameters, command_fault> parse_recipient_parameters(byte_view text,
                                                                              bool smtputf8) {
    recipient_parameters out;
    while (!text.empty()) {
        const auto given = take_parameter(text);
        if (!given) {
            return std::unexpected(command_fault::bad_parameter);
        }
        bool good = given->has_value;
        if (equals_ignoring_case(given->keyword, "notify")) {
            if (out.notify != 0) {
                return std::unexpected(command_fault::repeated_parameter);
            }
            good = good && set_notify(given->value, out.notify);
        } else if (equals_ignoring_case(given->keyword, "orcpt")) {
            if (!out.original.empty()) {
                return std::unexpected(command_fault::repeated_parameter);
            }
            out.original = given->value;
            good = good && is_original_recipient(given->value, smtputf8);
        } else {
            return std::unexpected(command_fault::unknown_parameter);
        }
        if (!good) {
            return std::unexpected(command_fault::bad_parameter);
        }
    }
    return out;
}

} // namespace ebbgate::smtp
