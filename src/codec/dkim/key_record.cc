#include "ebbgate/dkim/key_record.h"

#include "base/text.h"
#include "codec/dkim/tag_list.h"

#include <algorithm>
#include <utility>

namespace ebbgate::dkim {
namespace {

constexpr std::size_t record_tags_max = 32;
constexpr std::size_t record_bytes_max = 8 * kib;

bool lists(const tag_list& tags, byte_view name, byte_view wanted, byte_view any) {
    const tag* given = tags.find(name);
    return given == nullptr ||
           std::ranges::any_of(split_at_colons(given->value), [&](byte_view one) {
               return same_ignoring_case(one, wanted) || (!any.empty() && one == any);
           });
}

bool has_flag(const tag_list& tags, byte_view flag) {
    const tag* given = tags.find("t");
    return given != nullptr &&
           std::ranges::any_of(split_at_colons(given->value),
                               [&](byte_view one) { return same_ignoring_case(one, flag); });
}

} // namespace

std::expected<key_record, reason> parse_key_record(byte_view text) {
    const auto tags =
        text.size() > record_bytes_max ? std::nullopt : tag_list::parse(text, record_tags_max);
    if (!tags) {
        return std::unexpected(reason::key_syntax);
    }
    // v= is first or not there at all.
    const tag* version = tags->find("v");
    if (version != nullptr && (version != tags->tags().data() || version->value != "DKIM1")) {
        return std::unexpected(reason::key_version);
    }
    const tag* key = tags->find("p");
    if (key == nullptr) {
        return std::unexpected(reason::key_syntax);
    }
    if (key->value.empty()) {
        return std::unexpected(reason::key_revoked);
    }
    key_record out;
    if (const tag* type = tags->find("k")) {
        if (same_ignoring_case(type->value, "ed25519")) {
            out.type = key_type::ed25519;
        } else if (!same_ignoring_case(type->value, "rsa")) {
            return std::unexpected(reason::key_type);
        }
    }
    if (!lists(*tags, "s", "email", "*")) {
        return std::unexpected(reason::key_service);
    }
    out.allows_sha1 = lists(*tags, "h", "sha1", "");
    out.allows_sha256 = lists(*tags, "h", "sha256", "");
    out.testing = has_flag(*tags, "y");
    out.no_subdomains = has_flag(*tags, "s");
    auto decoded = decode_base64(key->value);
    if (!decoded) {
        return std::unexpected(reason::key_malformed);
    }
    out.key = std::move(*decoded);
    return out;
}

} // namespace ebbgate::dkim
