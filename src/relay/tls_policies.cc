#include "relay/tls_policies.h"

#include "codec/dns/rdata.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

mta_sts::txt_answer texts_of(const dns::answer& answer) {
    mta_sts::txt_answer texts;
    texts.failed = answer.status == dns::answer_status::trouble;
    for (const std::string& rdata : answer.rdata) {
        if (auto text = dns::read_txt(rdata)) {
            texts.records.push_back(std::move(*text));
        }
    }
    return texts;
}

tlsa_set records_of(const dns::answer& answer) {
    tlsa_set set;
    set.failed = answer.status == dns::answer_status::trouble;
    if (answer.status != dns::answer_status::found || !answer.secure) {
        return set; // Without DNSSEC records are as none (RFC 7672 2.1.1).
    }
    for (const std::string& rdata : answer.rdata) {
        if (auto read = dns::read_tlsa(rdata)) {
            set.records.push_back(
                {read->usage, read->selector, read->matching, std::move(read->data)});
        } else {
            set.records.push_back({}); // There is a record, which no certificate fits.
        }
    }
    return set;
}

} // namespace

tls_policies::tls_policies(task::reactor& reactor,
                           dns::asker& names,
                           mta_sts::policy_finder& policies)
    : reactor_(reactor), names_(names), policies_(policies), known_(hosts_max),
      here_(std::make_shared<tls_policies*>(this)) {}

void tls_policies::find(const std::string& domain,
                        const dns::route_pointer& route,
                        std::uint16_t port,
                        facts_done then) {
    auto asked = std::make_shared<search>();
    asked->then = std::move(then);
    asked->missing = 1; // Until all is asked: answers may come at once.
    find_sts(domain, asked);
    for (const dns::mail_host& host : route->hosts) {
        if (route->mx_secure && host.secure) {
            find_tlsa(host, port, asked);
        }
    }
    come_nearer(asked);
}

void tls_policies::come_nearer(const std::shared_ptr<search>& asked) {
    if (--asked->missing == 0) {
        asked->then(asked->facts);
    }
}

void tls_policies::find_sts(const std::string& domain, const std::shared_ptr<search>& asked) {
    ++asked->missing;
    // Others wait for this answer too: it is passed on whether this object is there or not.
    const mta_sts::ask_txt ask = [&names = names_, &reactor = reactor_](
                                     const std::string& name,
                                     const std::function<void(mta_sts::txt_answer)>& done) {
        names.ask(reactor, name, dns::record_type::txt, [done](const dns::answer& answer) {
            done(texts_of(answer));
        });
    };
    policies_.find(domain,
                   reactor_,
                   ask,
                   [here = std::weak_ptr(here_), asked](const mta_sts::found_policy& found) {
                       if (!here.expired()) {
                           asked->facts->sts = found;
                           come_nearer(asked);
                       }
                   });
}

// RFC 7672 2.2.2: first where the aliases end, then the name of the MX record.
void tls_policies::find_tlsa(const dns::mail_host& host,
                             std::uint16_t port,
                             const std::shared_ptr<search>& asked) {
    ++asked->missing;
    const std::string name = host.name;
    const std::string end = host.canonical_name.empty() ? name : host.canonical_name;
    ask_tlsa(dns::tlsa_name(port, end), [this, asked, name, end, port](const tlsa_pointer& found) {
        asked->facts->hosts[name] = {end, found};
        if (end == name || found->failed || !found->records.empty()) {
            come_nearer(asked);
            return;
        }
        ask_tlsa(dns::tlsa_name(port, name), [asked, name](const tlsa_pointer& of_name) {
            asked->facts->hosts[name] = {name, of_name};
            come_nearer(asked);
        });
    });
}

void tls_policies::ask_tlsa(const std::string& name, const tlsa_done& then) {
    if (const tlsa_pointer known = known_.find(name, reactor_.now_ms())) {
        then(known);
        return;
    }
    auto& others = waiting_[name];
    others.push_back(then);
    if (others.size() == 1) {
        names_.ask(reactor_,
                   name,
                   dns::record_type::tlsa,
                   [this, here = std::weak_ptr(here_), name](const dns::answer& answer) {
                       if (!here.expired()) { // On the thread that it belongs to: it stays.
                           on_answer(name, answer);
                       }
                   });
    }
}

void tls_policies::on_answer(const std::string& name, const dns::answer& answer) {
    auto set = std::make_shared<tlsa_set>(records_of(answer));
    set->until_ms =
        reactor_.now_ms() +
        (set->failed ? trouble_ms
                     : std::clamp<std::uint64_t>(answer.ttl_seconds * std::uint64_t{1000},
                                                 lifetime_min_ms,
                                                 lifetime_max_ms));
    known_.put(name, set);
    const auto node = waiting_.extract(name);
    for (const tlsa_done& each : node.mapped()) {
        each(set);
    }
}

} // namespace ebbgate::relay
