#include "store/blob/link_record.h"

#include "base/text.h"
#include "codec/json/document.h"
#include "codec/json/writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>

namespace ebbgate::blob {

namespace {

// A byte that is not UTF-8 became three.
constexpr std::size_t growth_max = 3;

struct text_member {
    std::string_view key;
    std::string link::* place;
    std::size_t bytes_max;
};

constexpr text_member texts[] = {
    {"token", &link::token, token_digits},
    {"extension", &link::extension, extension_bytes_max},
    {"tenant", &link::tenant, tenant_bytes_max},
    {"url", &link::url, url_bytes_max},
    {"name", &link::name, name_bytes_max},
    {"content_type", &link::content_type, content_type_bytes_max},
    {"sender", &link::sender, sender_bytes_max},
    {"message_id", &link::message_id, message_id_bytes_max},
};

struct time_member {
    std::string_view key;
    std::int64_t link::* place;
};

constexpr time_member times[] = {
    {"created", &link::created_unix_s},
    {"expires", &link::expires_unix_s},
    {"revoked", &link::revoked_unix_s},
};

// Those, and version, sha256 and bytes.
constexpr std::size_t members = std::size(texts) + std::size(times) + 3;

bool is_extension(std::string_view text) {
    return std::ranges::all_of(
        text, [](char c) { return is_digit(c) || (is_letter(c) && lower(c) == c); });
}

std::unexpected<failure> not_a_record(std::string_view why) {
    return fail(failure_kind::corrupt, fmt::format("not a link record: {}", why));
}

// Nothing, or the name of the member that is wrong.
std::string_view read_members(const json::value& root, link& into) {
    for (const text_member& one : texts) {
        const json::value* found = root.find(one.key);
        if (found == nullptr || !found->is_string() ||
            found->text().size() > one.bytes_max * growth_max) {
            return one.key;
        }
        into.*one.place = found->text();
    }
    for (const time_member& one : times) {
        const json::value* found = root.find(one.key);
        if (found == nullptr || !found->is(json::kind::integer) || found->integer() < 0) {
            return one.key;
        }
        into.*one.place = found->integer();
    }
    const json::value* bytes = root.find("bytes");
    if (bytes == nullptr || !bytes->is(json::kind::integer) || bytes->integer() < 0) {
        return "bytes";
    }
    into.bytes = static_cast<std::uint64_t>(bytes->integer());
    const json::value* hash = root.find("sha256");
    return hash != nullptr && read_hash(hash->text(), into.hash) ? "" : "sha256";
}

} // namespace

std::string hexadecimal(const content_hash& hash) {
    return fmt::format("{:02x}", fmt::join(hash, ""));
}

bool read_hash(std::string_view text, content_hash& into) noexcept {
    if (text.size() != 2 * into.size()) {
        return false;
    }
    for (std::size_t at = 0; at < into.size(); ++at) {
        const auto high = hex_digit(text[2 * at]);
        const auto low = hex_digit(text[2 * at + 1]);
        if (!high || !low || text[2 * at] != lower(text[2 * at]) ||
            text[2 * at + 1] != lower(text[2 * at + 1])) {
            return false;
        }
        into[at] = static_cast<std::uint8_t>(*high * 16 + *low);
    }
    return true;
}

result<void> check_link(const link& checked) {
    if (!is_token(checked.token)) {
        return fail(failure_kind::bad_input, "link: the token is not 40 hex digits");
    }
    if (!is_extension(checked.extension)) {
        return fail(failure_kind::bad_input, "link: the extension has other than a-z and 0-9");
    }
    for (const text_member& one : texts) {
        if ((checked.*one.place).size() > one.bytes_max) {
            return fail(failure_kind::bad_input,
                        fmt::format("link: {} is above {} bytes", one.key, one.bytes_max));
        }
    }
    for (const time_member& one : times) {
        if (checked.*one.place < 0) {
            return fail(failure_kind::bad_input, fmt::format("link: {} is negative", one.key));
        }
    }
    if (std::cmp_greater(checked.bytes, std::numeric_limits<std::int64_t>::max())) {
        return fail(failure_kind::bad_input, "link: bytes is above 2^63 - 1");
    }
    return {};
}

std::string to_record(const link& written) {
    std::string text;
    json::writer out(text);
    out.begin_object().member("version", record_version);
    for (const text_member& one : texts) {
        out.member(one.key, written.*one.place);
    }
    out.member("sha256", hexadecimal(written.hash)).member("bytes", written.bytes);
    for (const time_member& one : times) {
        out.member(one.key, written.*one.place);
    }
    out.end_object();
    text += '\n';
    return text;
}

result<link> from_record(std::string_view text) {
    if (text.size() > record_bytes_max || !text.ends_with('\n')) {
        return not_a_record("it does not end with its line");
    }
    text.remove_suffix(1);
    if (text.contains('\n')) {
        return not_a_record("more than one line");
    }
    const auto parsed = json::document::parse(text);
    if (!parsed) {
        return not_a_record(parsed.error().message);
    }
    const json::value& root = parsed->root();
    const json::value* version = root.find("version");
    if (!root.is_object() || version == nullptr || version->integer() != record_version) {
        return not_a_record("version");
    }
    link read;
    if (const std::string_view wrong = read_members(root, read); !wrong.empty()) {
        return not_a_record(wrong);
    }
    if (root.children().size() != members) {
        return not_a_record("a member too many");
    }
    if (!is_token(read.token) || !is_extension(read.extension)) {
        return not_a_record("token or extension");
    }
    return read;
}

} // namespace ebbgate::blob
