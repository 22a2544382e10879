#include "ebbgate/dkim/outcome.h"

namespace ebbgate::dkim {

std::string_view to_text(outcome value) noexcept {
    switch (value) {
    case outcome::pass:
        return "pass";
    case outcome::fail:
        return "fail";
    case outcome::neutral:
        return "neutral";
    case outcome::permerror:
        return "permerror";
    case outcome::temperror:
        return "temperror";
    }
    return "";
}

std::string_view to_text(reason value) noexcept {
    switch (value) {
    case reason::none:
        return "none";
    case reason::syntax:
        return "syntax";
    case reason::missing_tag:
        return "missing_tag";
    case reason::version:
        return "version";
    case reason::algorithm:
        return "algorithm";
    case reason::weak_algorithm:
        return "weak_algorithm";
    case reason::canonicalization:
        return "canonicalization";
    case reason::query:
        return "query";
    case reason::from_not_signed:
        return "from_not_signed";
    case reason::foreign_identity:
        return "foreign_identity";
    case reason::times:
        return "times";
    case reason::expired:
        return "expired";
    case reason::key_unavailable:
        return "key_unavailable";
    case reason::key_missing:
        return "key_missing";
    case reason::key_syntax:
        return "key_syntax";
    case reason::key_version:
        return "key_version";
    case reason::key_revoked:
        return "key_revoked";
    case reason::key_type:
        return "key_type";
    case reason::key_hash:
        return "key_hash";
    case reason::key_service:
        return "key_service";
    case reason::key_identity:
        return "key_identity";
    case reason::key_too_weak:
        return "key_too_weak";
    case reason::key_malformed:
        return "key_malformed";
    case reason::body_too_short:
        return "body_too_short";
    case reason::body_hash:
        return "body_hash";
    case reason::signature:
        return "signature";
    }
    return "";
}

} // namespace ebbgate::dkim
