// What TLS has to be on a connection: asked for before it is opened, and how it ended counted.

#include "relay/outbound.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

deliver::tls_level level_of(policy::tls_mode mode) {
    switch (mode) {
    case policy::tls_mode::off:
        return deliver::tls_level::off;
    case policy::tls_mode::opportunistic:
        return deliver::tls_level::opportunistic;
    case policy::tls_mode::required:
        return deliver::tls_level::required;
    case policy::tls_mode::verify:
        return deliver::tls_level::verify;
    }
    return deliver::tls_level::verify;
}

struct host_decision {
    std::shared_ptr<const deliver::tls_decision> tls;
    std::string server_name; // Empty: the host's.
};

host_decision
decide(const destination& to, const dns::mail_host* host, const route_tls_facts* known) {
    deliver::host_facts facts;
    facts.domain = to.domain;
    facts.host = host == nullptr ? to.route.host.host : host->name;
    host_decision out;
    const tlsa_set* tlsa = nullptr;
    if (host != nullptr && known != nullptr) {
        facts.sts = known->sts.policy.get();
        facts.sts_unknown = known->sts.is_unknown;
        facts.is_secure = to.hosts->mx_secure && host->secure;
        if (const auto found = known->hosts.find(host->name); found != known->hosts.end()) {
            tlsa = found->second.tlsa.get();
            out.server_name = found->second.base;
        }
        // The route is another one than was asked for: nothing is known of its host yet.
        facts.tlsa_failed = facts.is_secure && (tlsa == nullptr || tlsa->failed);
        if (tlsa != nullptr) {
            facts.tlsa = tlsa->records;
        }
    }
    deliver::tls_decision made = deliver::decide_tls(level_of(to.route.tls), facts);
    if (made.requirement.check == tls::check::dane) {
        // RFC 7672 3.2.2: the names that the aliases end at count as well.
        for (const std::string& name : {out.server_name, to.hosts->canonical_domain}) {
            auto& names = made.requirement.names;
            if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) {
                names.push_back(name);
            }
        }
    } else {
        out.server_name.clear();
    }
    out.tls = std::make_shared<const deliver::tls_decision>(std::move(made));
    return out;
}

tls_report::policy_text text_of_sts(const mta_sts::policy& policy) {
    tls_report::policy_text text;
    text.policy_type = tls_report::policy_type::sts;
    text.mx_hosts = policy.mx;
    std::string whole = mta_sts::to_text(policy);
    for (std::size_t at = 0; at < whole.size();) {
        const std::size_t end = std::min(whole.find_first_of("\r\n", at), whole.size());
        if (end > at) {
            text.lines.push_back(whole.substr(at, end - at));
        }
        at = end + 1;
    }
    return text;
}

tls_report::policy_text text_of_tlsa(const std::string& host,
                                     const std::vector<tls::tlsa>& records) {
    tls_report::policy_text text;
    text.policy_type = tls_report::policy_type::tlsa;
    text.mx_hosts = {host};
    for (const tls::tlsa& one : records) {
        std::string line = fmt::format("{} {} {} ", one.usage, one.selector, one.matching);
        for (const char c : one.data) {
            line += fmt::format("{:02X}", static_cast<unsigned char>(c));
        }
        text.lines.push_back(std::move(line));
    }
    return text;
}

} // namespace

// Answers that are known come at once; questions for one name are asked once.
void outbound::ask_tls(connection& opened) {
    destination& to = *opened.to;
    if (to.hosts == nullptr || to.route.tls == policy::tls_mode::off) {
        set_out(opened);
        return;
    }
    connection* const waiting = &opened;
    tls_policies_.find(to.domain,
                       to.hosts,
                       context_.policy->delivery().mx_port,
                       [this, waiting](const tls_facts_pointer& facts) {
                           if (connections_.contains(waiting) && !stopping_) {
                               waiting->tls = facts;
                               set_out(*waiting);
                           }
                       });
}

// Those that may be connected to, each with what is asked of it. `why_not`: of the others.
target_list outbound::permitted(connection& opened, target_list targets, std::string& why_not) {
    const destination& to = *opened.to;
    std::unordered_map<std::string, host_decision> by_host;
    const auto judge = [&](const delivery_target& target) {
        const dns::mail_host* host = nullptr;
        if (to.hosts != nullptr) {
            const auto& hosts = to.hosts->hosts;
            host = &*std::find_if(hosts.begin(), hosts.end(), [&](const dns::mail_host& one) {
                return one.name == target.host;
            });
        }
        host_decision made = decide(to, host, opened.tls.get());
        if (made.tls->use != deliver::host_use::use) {
            why_not += why_not.empty() ? "no mail host may be used: " : "; ";
            why_not += target.host;
            opened.misses_hosts = opened.misses_hosts || made.tls->use == deliver::host_use::defer;
            why_not += made.tls->use == deliver::host_use::skip
                           ? " is not in the MTA-STS policy of " + to.domain
                       : made.tls->policy == tls_report::policy_type::sts
                           ? ": whether " + to.domain +
                                 " has an MTA-STS policy is not known yet, too many are asked for"
                           : ": no TLSA answer that can be relied on";
            if (made.tls->fault) {
                count_tls(opened, target.host, *made.tls, *made.tls->fault);
            }
        }
        return made;
    };
    std::erase_if(targets, [&](delivery_target& target) {
        auto known = by_host.find(target.host);
        if (known == by_host.end()) {
            known = by_host.emplace(target.host, judge(target)).first;
        }
        target.tls = known->second.tls;
        target.server_name = known->second.server_name;
        return target.tls->use != deliver::host_use::use;
    });
    return targets;
}

void outbound::count_session(const connection& used) {
    const delivery_target& target = used.targets[used.next_target - 1];
    const deliver::tls_state state = used.client->tls_state();
    if (target.tls->tls == deliver::tls_use::off || state == deliver::tls_state::untried) {
        return;
    }
    tls_report::result_type result =
        deliver::result_of(state, used.client->tls_facts().verdict.failure);
    if (result == tls_report::result_type::success && target.tls->fault) {
        result = *target.tls->fault;
    }
    count_tls(used, target.host, *target.tls, result);
}

// For TLS-RPT, which is of domains: routes to a named host are not counted.
void outbound::count_tls(const connection& used,
                         const std::string& host,
                         const deliver::tls_decision& decision,
                         tls_report::result_type result) {
    const destination& to = *used.to;
    if (to.hosts == nullptr || used.tls == nullptr) {
        return;
    }
    const std::int64_t now_s = context_.reactor.unix_us() / 1'000'000;
    tls_report::session session;
    session.domain = to.domain;
    session.policy_type = decision.policy;
    session.result = result;
    if (used.client != nullptr) { // Else there was no connection, for no host may be used.
        session.sending_ip = used.client->local_address();
    }
    session.mx_host = host;
    const mta_sts::found_policy& sts = used.tls->sts;
    if (decision.policy == tls_report::policy_type::no_policy_found && sts.fault) {
        // There is a policy, and it could not be had.
        session.policy_type = tls_report::policy_type::sts;
        session.result = *sts.fault;
    }
    context_.tls_sessions.add(session, now_s);
    if (session.policy_type == tls_report::policy_type::sts && sts.policy != nullptr) {
        context_.tls_sessions.set_policy(to.domain, text_of_sts(*sts.policy), now_s);
    }
    if (decision.policy == tls_report::policy_type::tlsa) {
        const auto found = used.tls->hosts.find(host);
        if (found != used.tls->hosts.end()) {
            context_.tls_sessions.set_policy(
                to.domain, text_of_tlsa(host, found->second.tlsa->records), now_s);
        }
    }
}

} // namespace ebbgate::relay
