#include "stage/deliver/tls_policy.h"

#include "runtime/tls/judge.h"

namespace ebbgate::deliver {

namespace {

tls::requirement named(const std::string& host, bool enforced) {
    return {tls::check::names, enforced, {host}, {}};
}

// What the route alone asks for.
tls_decision by_route(tls_level level, const std::string& host) {
    tls_decision out;
    switch (level) {
    case tls_level::off:
        out.tls = tls_use::off;
        break;
    case tls_level::opportunistic:
        break;
    case tls_level::required:
        out.tls = tls_use::required;
        break;
    case tls_level::verify:
        out.tls = tls_use::required;
        out.requirement = named(host, true);
        break;
    }
    return out;
}

void add_sts(tls_decision& out, tls_level level, const host_facts& facts) {
    const bool enforce = facts.sts->mode == mta_sts::mode::enforce;
    if (facts.sts->mode == mta_sts::mode::none) {
        return;
    }
    out.policy = tls_report::policy_type::sts;
    if (!facts.sts->matches(facts.host)) {
        out.fault = tls_report::result_type::validation_failure;
        out.use = enforce ? host_use::skip : host_use::use;
    }
    if (enforce) {
        out.tls = tls_use::required;
    }
    if (level != tls_level::verify) {
        out.requirement = named(facts.host, enforce);
    }
}

} // namespace

tls_decision decide_tls(tls_level level, const host_facts& facts) {
    tls_decision out = by_route(level, facts.host);
    if (level == tls_level::off) {
        return out;
    }
    if (facts.is_secure && facts.tlsa_failed) {
        // RFC 7672 2.1.2: who can forge that must not get the mail in the clear.
        out.use = host_use::defer;
        out.policy = tls_report::policy_type::tlsa;
        out.fault = tls_report::result_type::dnssec_invalid;
        return out;
    }
    if (facts.is_secure && !facts.tlsa.empty()) {
        out.policy = tls_report::policy_type::tlsa;
        out.tls = tls_use::required;
        if (!tls::usable_records(facts.tlsa).empty()) {
            // MTA-STS is not asked: it must not override DANE (RFC 8461 2).
            out.requirement = {tls::check::dane, true, {facts.domain, facts.host}, facts.tlsa};
            return out;
        }
        // Encrypted, whoever it is (RFC 7672 2.2), unless there is more to go by.
    }
    if (facts.sts_unknown) {
        // Whoever keeps us busy must not choose when mail to another domain goes without a policy.
        out.use = host_use::defer;
        out.policy = tls_report::policy_type::sts;
        return out;
    }
    if (facts.sts != nullptr) {
        add_sts(out, level, facts);
    }
    return out;
}

std::string
log_text(const tls_decision& decision, tls_state state, const tls::session_facts& facts) {
    const tls::requirement& asked = decision.requirement;
    std::string text = decision.tls == tls_use::off                         ? "none"
                       : asked.check == tls::check::dane                    ? "dane"
                       : decision.tls != tls_use::required                  ? "may"
                       : asked.check == tls::check::none || !asked.enforced ? "encrypt"
                       : decision.policy == tls_report::policy_type::sts    ? "sts"
                                                                            : "verify";
    if (state != tls_state::established) {
        return text + "/none";
    }
    switch (facts.verdict.failure == tls::failure::none ? facts.verdict.proof
                                                        : tls::proof::unchecked) {
    case tls::proof::authority:
        return text + "/verify";
    case tls::proof::dane_ee:
    case tls::proof::dane_ta:
        return text + "/dane";
    case tls::proof::unchecked:
        break;
    }
    return text + "/encrypt";
}

tls_report::result_type result_of(tls_state state, tls::failure failure) noexcept {
    using enum tls_report::result_type;
    if (state != tls_state::established && state != tls_state::failed) {
        return starttls_not_supported;
    }
    switch (failure) {
    case tls::failure::none:
        return state == tls_state::established ? success : validation_failure;
    case tls::failure::handshake:
        return validation_failure;
    case tls::failure::certificate_expired:
        return certificate_expired;
    case tls::failure::certificate_not_trusted:
        return certificate_not_trusted;
    case tls::failure::certificate_host_mismatch:
        return certificate_host_mismatch;
    case tls::failure::dane_mismatch:
        return tlsa_invalid;
    }
    return validation_failure;
}

} // namespace ebbgate::deliver
