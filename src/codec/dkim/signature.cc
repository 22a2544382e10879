#include "ebbgate/dkim/signature.h"

#include "base/text.h"
#include "codec/dkim/tag_list.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ebbgate::dkim {
namespace {

constexpr std::size_t time_digits_max = 12;   // RFC 6376: later than the year 30000.
constexpr std::size_t length_digits_max = 19; // The RFC says 76; more is no body's length.
constexpr std::size_t name_bytes_max = 253;
constexpr std::size_t names_max = 4096;

using checked = std::expected<void, rejection>;

std::unexpected<rejection> refuse(reason why, outcome what = outcome::permerror) {
    return std::unexpected(rejection{what, why});
}

// As in is_key_name(), and UTF-8.
bool is_domain(byte_view text) {
    std::string ascii(text);
    std::ranges::replace_if(
        ascii, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, 'x');
    return text.size() <= name_bytes_max && is_key_name(ascii);
}

bool is_within(byte_view domain, byte_view parent) noexcept {
    return domain.size() > parent.size()
               ? domain[domain.size() - parent.size() - 1] == '.' &&
                     same_ignoring_case(domain.substr(domain.size() - parent.size()), parent)
               : same_ignoring_case(domain, parent);
}

checked take_version(const tag_list& tags, leniency allow) {
    const tag* version = tags.find("v");
    if (version == nullptr) {
        return allow == leniency::none ? refuse(reason::missing_tag) : checked();
    }
    const bool known =
        version->value == "1" || (allow == leniency::obsolete && version->value == "0.5");
    return known ? checked() : refuse(reason::version, outcome::neutral);
}

checked take_algorithm(const tag_list& tags, leniency allow, signature& out) {
    const std::string name = lowered(tags.find("a")->value);
    if (name == "rsa-sha256") {
        out.type = key_type::rsa;
    } else if (name == "ed25519-sha256") {
        out.type = key_type::ed25519;
    } else if (name == "rsa-sha1") {
        out.sha1 = true;
        return allow == leniency::none ? refuse(reason::weak_algorithm) : checked();
    } else {
        return refuse(reason::algorithm, outcome::neutral);
    }
    return {};
}

std::optional<canonicalization> form_of(byte_view name) {
    return same_ignoring_case(name, "simple")    ? std::optional(canonicalization::simple)
           : same_ignoring_case(name, "relaxed") ? std::optional(canonicalization::relaxed)
                                                 : std::nullopt;
}

checked take_forms(const tag_list& tags, signature& out) {
    const tag* given = tags.find("c");
    if (given == nullptr) {
        return {};
    }
    const std::size_t slash = given->value.find('/');
    const auto header = form_of(given->value.substr(0, slash));
    const auto body = slash == byte_view::npos ? std::optional(canonicalization::simple)
                                               : form_of(given->value.substr(slash + 1));
    if (!header || !body) {
        return refuse(reason::canonicalization, outcome::neutral);
    }
    out.header_form = *header;
    out.body_form = *body;
    return {};
}

checked take_query(const tag_list& tags, leniency allow) {
    const tag* given = tags.find("q");
    if (given == nullptr) {
        return {};
    }
    for (const byte_view method : split_at_colons(given->value)) {
        if (same_ignoring_case(method, "dns/txt") ||
            (allow == leniency::obsolete && same_ignoring_case(method, "dns"))) {
            return {};
        }
    }
    return refuse(reason::query, outcome::neutral);
}

checked take_identity(const tag_list& tags, signature& out) {
    out.domain = tags.find("d")->value;
    out.selector = tags.find("s")->value;
    if (!is_domain(out.domain) || !is_domain(out.selector)) {
        return refuse(reason::syntax);
    }
    const tag* given = tags.find("i");
    if (given == nullptr) {
        out.identity = "@" + out.domain;
        return {};
    }
    auto identity = decode_quoted(given->value);
    const std::size_t at = identity ? identity->rfind('@') : std::string::npos;
    if (at == std::string::npos) {
        return refuse(reason::syntax);
    }
    const byte_view domain = byte_view(*identity).substr(at + 1);
    if (!is_domain(domain)) {
        return refuse(reason::syntax);
    }
    if (!is_within(domain, out.domain)) {
        return refuse(reason::foreign_identity);
    }
    out.identity = std::move(*identity);
    return {};
}

checked take_names(const tag_list& tags, signature& out) {
    bool from = false;
    for (const byte_view name : split_at_colons(tags.find("h")->value)) {
        if (name.empty() || std::ranges::any_of(name, is_space) || out.names.size() == names_max) {
            return refuse(reason::syntax);
        }
        from = from || same_ignoring_case(name, "from");
        out.names.emplace_back(name);
    }
    return from ? checked() : refuse(reason::from_not_signed);
}

checked take_numbers(const tag_list& tags, signature& out) {
    struct number {
        byte_view name;
        std::size_t digits_max;
        std::optional<std::uint64_t>& value;
    };

    for (const number& one : {number{"l", length_digits_max, out.body_bytes},
                              number{"t", time_digits_max, out.made_unix_s},
                              number{"x", time_digits_max, out.expires_unix_s}}) {
        if (const tag* given = tags.find(one.name)) {
            one.value = parse_number(given->value, one.digits_max);
            if (!one.value) {
                return refuse(reason::syntax);
            }
        }
    }
    const bool ordered =
        !out.made_unix_s || !out.expires_unix_s || *out.expires_unix_s > *out.made_unix_s;
    return ordered ? checked() : refuse(reason::times);
}

checked take_values(const tag_list& tags, byte_view field, signature& out) {
    auto value = decode_base64(tags.find("b")->value);
    auto body_hash = decode_base64(tags.find("bh")->value);
    if (!value || value->empty() || !body_hash || body_hash->empty()) {
        return refuse(reason::syntax);
    }
    out.value = std::move(*value);
    out.body_hash = std::move(*body_hash);
    const byte_view place = tags.find("b")->place;
    out.value_at = static_cast<std::size_t>(place.data() - field.data());
    out.value_bytes = place.size();
    return {};
}

} // namespace

std::expected<signature, rejection> parse_signature(byte_view field, leniency allow) {
    const std::size_t colon = field.find(':');
    byte_view text = field.substr(std::min(colon, field.size()));
    text.remove_prefix(text.empty() ? 0 : 1);
    text.remove_suffix(text.ends_with("\r\n") ? 2 : 0);
    const auto tags = tag_list::parse(text, tags_max);
    if (!tags) {
        return refuse(reason::syntax);
    }
    signature out;
    if (const auto good = take_version(*tags, allow); !good) {
        return std::unexpected(good.error());
    }
    for (const byte_view name : {"a", "b", "bh", "d", "h", "s"}) {
        if (tags->find(name) == nullptr) {
            return refuse(reason::missing_tag);
        }
    }
    for (const checked& good : {take_algorithm(*tags, allow, out),
                                take_forms(*tags, out),
                                take_query(*tags, allow),
                                take_identity(*tags, out),
                                take_names(*tags, out),
                                take_numbers(*tags, out),
                                take_values(*tags, field, out)}) {
        if (!good) {
            return std::unexpected(good.error());
        }
    }
    return out;
}

} // namespace ebbgate::dkim
