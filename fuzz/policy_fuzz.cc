// The policy loader against any bytes, and three laws: a fault has a place and a text; what a
// snapshot lists it also finds; and no difference is seen between a policy and itself.

#include "stage/policy/difference.h"
#include "stage/policy/snapshot.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

namespace config = ebbgate::config;
namespace policy = ebbgate::policy;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check_tenant(const policy::snapshot& in, const policy::tenant& tenant) {
    require(in.find_tenant(tenant.name) == &tenant);
    for (const policy::account& account : tenant.accounts) {
        require(in.find_account(account.login) == &account);
        require(&in.tenant_of(account) == &tenant);
        require(!in.place_of(account).file.empty());
        require(in.limits_of(account).upload_bytes <= in.largest_upload_bytes());
        require(in.limits_of(account).upload_bytes >= in.limits_of(account).message_bytes);
    }
    for (const std::string& domain : tenant.domains) {
        require(in.tenant_of_domain(domain) == &tenant);
    }
    for (const policy::listed_sender& sender : in.senders_of(tenant)) {
        const std::string pattern(sender.pattern);
        const bool subdomains = pattern.starts_with("@*.");
        const std::string address =
            (pattern.starts_with('@') ? "x" : "") +
            (subdomains ? "@a." + pattern.substr(std::string_view("@*.").size()) : pattern);
        const auto verdict = in.may_send(tenant, address);
        // A label before the longest of domains makes it longer than a domain can be.
        require(verdict.allowed || (subdomains && pattern.size() > 250));
        require(!verdict.allowed || !in.place_of_sender(verdict.rule).pointer.empty());
    }
    for (std::size_t key = 0; key < policy::limit_keys; ++key) {
        const auto place = in.place_of_limit(tenant, nullptr, static_cast<policy::limit_key>(key));
        require(place.file.empty() == place.pointer.empty());
    }
    const auto reply = tenant.limits.reply->to_reply({"r", "s", tenant.company});
    require(reply.code == 450 || reply.code == 550);
    require(reply.text.find_first_of("\r\n") == std::string::npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    // What cannot be merged is a note, whatever the policy says.
    policy::overlay changes;
    changes.senders.push_back({"a", "x@a.example", false});
    changes.senders.push_back({"a", "@a.example", true});
    changes.accounts.push_back({"a", "x", "", true});
    changes.limits.push_back({"messages_per_sender", "x@a.example", "5/day", 0});
    const auto merged = policy::parse(text, "p", changes);
    const auto plain = policy::parse(text, "p");
    require(merged.has_value() == plain.has_value());
    if (!plain) {
        const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
        require(!plain.error().empty() && plain.error().size() <= config::faults_max);
        for (const config::fault& fault : plain.error()) {
            require(fault.line >= 1 && fault.line <= lines && !fault.message.empty());
            require(config::to_text(fault).find('\n') == std::string::npos);
        }
        return 0;
    }
    for (const policy::tenant& tenant : (*plain)->tenants()) {
        check_tenant(**plain, tenant);
    }
    require(policy::diff(**plain, **plain).empty());
    (void)policy::diff(**plain, *merged->policy);
    return 0;
}
