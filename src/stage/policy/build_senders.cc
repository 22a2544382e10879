#include "config/domain.h"
#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

namespace {

// Byte order of the labels from the last to the first: a domain stands before its subdomains, and
// nothing else stands between them. The dot sorts below every byte of a label.
bool before_by_labels(std::string_view left, std::string_view right) {
    const auto rank = [](char c) { return c == '.' ? 0 : static_cast<unsigned char>(c); };
    const auto [l, r] = std::mismatch(left.rbegin(), left.rend(), right.rbegin(), right.rend());
    if (l == left.rend() || r == right.rend()) {
        return l == left.rend() && r != right.rend();
    }
    return rank(*l) < rank(*r);
}

bool is_subdomain(std::string_view domain, std::string_view parent) {
    return domain.size() > parent.size() && domain.ends_with(parent) &&
           domain[domain.size() - parent.size() - 1] == '.';
}

} // namespace

void snapshot_builder::parse_domains(const value& at, tenant& into) {
    if (!reader_.array(at, domains_max)) {
        return;
    }
    if (domains_.size() + at.children().size() > domains_max) {
        reader_.add_fault(at,
                          fmt::format("expected at most {} domains in all tenants", domains_max));
        return;
    }
    constexpr std::string_view expected =
        "a domain such as \"acme.example\" (international ones in UTF-8 or as A-labels)";
    std::uint32_t position = 0;
    for (const value& item : at.children()) {
        if (reader_.full()) {
            return;
        }
        const std::uint32_t here = position++;
        const auto text = reader_.string(item, expected);
        const auto domain = text ? config::to_a_labels(*text) : std::nullopt;
        if (text && !domain) {
            reader_.add_fault(item,
                              fmt::format("expected {}, found {}", expected, config::shown(item)));
        }
        if (!domain) {
            continue;
        }
        const auto [place, fresh] = built_->tenants_by_domain_.emplace(*domain, into.index);
        if (!fresh) {
            reader_.add_fault(
                item,
                fmt::format("the domain is {} already; expected each in one "
                            "tenant, once",
                            place->second == into.index ? "in this list" : "another tenant's"));
            continue;
        }
        domains_.push_back({place->first, into.index, here, item.line()});
        into.domains.push_back(*domain);
    }
}

bool snapshot_builder::covers(std::uint32_t tenant, std::string_view domain) const {
    for (;;) {
        const auto found = built_->tenants_by_domain_.find(domain);
        if (found != built_->tenants_by_domain_.end() && found->second == tenant) {
            return true;
        }
        const std::size_t dot = domain.find('.');
        if (dot == std::string_view::npos) {
            return false;
        }
        domain.remove_prefix(dot + 1);
    }
}

void snapshot_builder::parse_senders(const value& at, std::uint32_t tenant, std::uint32_t owner) {
    if (!reader_.array(at, senders_max)) {
        return;
    }
    sender_table& senders = built_->senders_;
    if (senders.entries().size() + at.children().size() > senders_max) {
        reader_.add_fault(
            at, fmt::format("expected at most {} authorised senders in all", senders_max));
        return;
    }
    senders.reserve(at.children().size());
    sender_text sender;
    std::uint32_t position = 0;
    for (const value& item : at.children()) {
        if (reader_.full()) {
            return;
        }
        const std::uint32_t here = position++;
        const auto text = reader_.string(item, "an address, \"@domain\" or \"@*.domain\"");
        if (!text) {
            continue;
        }
        if (const std::string_view expected = sender.set_pattern(*text); !expected.empty()) {
            reader_.add_fault(item,
                              fmt::format("expected {}, found {}", expected, config::shown(item)));
        } else if (!covers(tenant, sender.domain())) {
            reader_.add_fault(item,
                              fmt::format("is not in the tenant's domains; expected a sender in "
                                          "one of them, or \"{}\" among its \"domains\"",
                                          sender.domain()));
        } else if (!senders.add(owner, sender.text(), here)) {
            reader_.add_fault(item, "is in this list already; expected each once");
        }
    }
}

// Two tenants must never both speak for one address, so a subdomain of a tenant's domain is that
// tenant's too. Sorted by labels, one pass sees every domain right after those above it.
void snapshot_builder::check_domains() {
    std::sort(domains_.begin(), domains_.end(), [](const auto& left, const auto& right) {
        return before_by_labels(left.domain, right.domain);
    });
    std::vector<const domain_place*> above;
    for (const domain_place& place : domains_) {
        while (!above.empty() && !is_subdomain(place.domain, above.back()->domain)) {
            above.pop_back();
        }
        if (!above.empty() && above.back()->tenant != place.tenant && !full()) {
            const tenant& owner = built_->tenants_[above.back()->tenant];
            const tenant& holder = built_->tenants_[place.tenant];
            faults_.push_back(
                {built_->files_[holder.file],
                 place.line,
                 fmt::format("{}/domains/{}", built_->place_of(holder).pointer, place.position),
                 fmt::format("\"{}\" covers it and is tenant \"{}\"'s; expected "
                             "domains of one tenant only",
                             above.back()->domain,
                             owner.name)});
        }
        above.push_back(&place);
    }
    domains_ = {};
}

} // namespace ebbgate::policy
