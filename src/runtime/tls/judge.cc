#include "runtime/tls/judge.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ebbgate::tls {

namespace {

constexpr std::uint8_t usage_ta = 2;
constexpr std::uint8_t usage_ee = 3;
constexpr std::uint8_t matching_full = 0;
constexpr std::uint8_t matching_sha256 = 1;
constexpr std::uint8_t matching_sha512 = 2;

std::string digest(std::uint8_t matching, const std::string& of) {
    const auto* bytes = reinterpret_cast<const byte*>(of.data());
    const auto length = static_cast<word32>(of.size());
    if (matching == matching_sha256) {
        std::string out(WC_SHA256_DIGEST_SIZE, '\0');
        return wc_Sha256Hash(bytes, length, reinterpret_cast<byte*>(out.data())) == 0 ? out : "";
    }
    if (matching == matching_sha512) {
        std::string out(WC_SHA512_DIGEST_SIZE, '\0');
        return wc_Sha512Hash(bytes, length, reinterpret_cast<byte*>(out.data())) == 0 ? out : "";
    }
    return of;
}

bool matches(const tlsa& record, const certificate& certificate) {
    const std::string& selected = record.selector == 0 ? certificate.der : certificate.public_key;
    return record.data == digest(record.matching, selected);
}

bool is_usable(const tlsa& record) {
    if ((record.usage != usage_ta && record.usage != usage_ee) || record.selector > 1) {
        return false;
    }
    switch (record.matching) {
    case matching_full:
        return record.selector == 0 ? parse_certificate(record.data).has_value()
                                    : !record.data.empty();
    case matching_sha256:
        return record.data.size() == WC_SHA256_DIGEST_SIZE;
    case matching_sha512:
        return record.data.size() == WC_SHA512_DIGEST_SIZE;
    default:
        return false;
    }
}

// RFC 5280 4.2.1.10: the name itself, or with labels in front of it.
bool lies_within(byte_view host, byte_view base) {
    if (base.starts_with('.')) {
        return host.ends_with(base);
    }
    return base.empty() || host == base ||
           (host.size() > base.size() && host.ends_with(base) &&
            host[host.size() - base.size() - 1] == '.');
}

bool allows_names_of(const certificate& authority, const certificate& leaf) {
    const auto covers = [](const std::vector<std::string>& bases, const std::string& host) {
        return std::any_of(bases.begin(), bases.end(), [&](const std::string& base) {
            return lies_within(host, base);
        });
    };
    return std::all_of(
        leaf.host_names.begin(), leaf.host_names.end(), [&](const std::string& host) {
            return (authority.permitted.empty() || covers(authority.permitted, host)) &&
                   !covers(authority.excluded, host);
        });
}

// Looks for a way from the leaf to an anchor, through what the peer sent.
class path_search {
public:
    path_search(const std::vector<certificate>& chain,
                const trust_store* authorities,
                std::vector<certificate> anchors,
                std::vector<tlsa> anchor_records,
                std::int64_t now_s)
        : chain_(chain), authorities_(authorities), anchors_(std::move(anchors)),
          anchor_records_(std::move(anchor_records)), now_s_(now_s), used_(chain.size(), false) {}

    // none, certificate_expired or certificate_not_trusted.
    failure run() {
        used_[0] = true;
        return climb(chain_.front(), 0, in_date(chain_.front()));
    }

private:
    [[nodiscard]] bool in_date(const certificate& one) const {
        return now_s_ >= one.not_before_s && now_s_ <= one.not_after_s;
    }

    [[nodiscard]] bool is_anchor(const certificate& one, bool is_leaf) const {
        if (authorities_ != nullptr && authorities_->holds(one)) {
            return true;
        }
        return !is_leaf && std::any_of(anchor_records_.begin(),
                                       anchor_records_.end(),
                                       [&](const tlsa& record) { return matches(record, one); });
    }

    // May `issuer` stand above `below`, with so many authorities between it and the leaf?
    bool is_link(const certificate& below, const certificate& issuer, std::size_t between) {
        if (below.issuer != issuer.subject || !issuer.may_issue ||
            (issuer.path_length && between > *issuer.path_length) ||
            !allows_names_of(issuer, chain_.front()) || links_tried_ >= links_tried_max) {
            return false;
        }
        ++links_tried_;
        return is_signed_by(below, issuer);
    }

    failure climb(const certificate& from, std::size_t between, bool all_in_date) {
        const failure here = all_in_date ? failure::none : failure::certificate_expired;
        if (is_anchor(from, &from == &chain_.front())) {
            return here;
        }
        failure best = failure::certificate_not_trusted;
        const auto consider = [&best](failure found) {
            if (found == failure::none ||
                (found == failure::certificate_expired && best != failure::none)) {
                best = found;
            }
        };
        const auto try_anchor = [&](const certificate& anchor) {
            if (best != failure::none && is_link(from, anchor, between)) {
                consider(all_in_date && in_date(anchor) ? failure::none
                                                        : failure::certificate_expired);
            }
        };
        if (authorities_ != nullptr) {
            if (const auto* named = authorities_->find(from.issuer); named != nullptr) {
                std::for_each(named->begin(), named->end(), try_anchor);
            }
        }
        std::for_each(anchors_.begin(), anchors_.end(), try_anchor);
        for (std::size_t at = 1; at < chain_.size() && best != failure::none; ++at) {
            if (!used_[at] && is_link(from, chain_[at], between)) {
                used_[at] = true;
                consider(climb(chain_[at], between + 1, all_in_date && in_date(chain_[at])));
                used_[at] = false;
            }
        }
        return best;
    }

    const std::vector<certificate>& chain_;
    const trust_store* authorities_;
    std::vector<certificate> anchors_;
    std::vector<tlsa> anchor_records_;
    std::int64_t now_s_;
    std::vector<bool> used_;
    std::size_t links_tried_ = 0;
};

bool has_name(const certificate& leaf, const std::vector<std::string>& names, bool common_name) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& wanted) {
        if (leaf.host_names.empty() && common_name) {
            return matches_host(leaf.common_name, wanted); // RFC 7672 3.2.3.
        }
        return std::any_of(leaf.host_names.begin(),
                           leaf.host_names.end(),
                           [&](const std::string& has) { return matches_host(has, wanted); });
    });
}

verdict finish(verdict so_far, failure path, const certificate& leaf, bool named) {
    so_far.failure = path;
    if (path == failure::none && !leaf.may_serve) {
        so_far.failure = failure::certificate_not_trusted;
        so_far.detail = "the certificate is not for TLS servers";
    } else if (path == failure::none && !named) {
        so_far.failure = failure::certificate_host_mismatch;
        so_far.detail = "the certificate is for " +
                        (leaf.host_names.empty() ? leaf.common_name : leaf.host_names.front());
    }
    if (so_far.failure != failure::none) {
        so_far.proof = proof::unchecked;
    }
    return so_far;
}

verdict judge_dane(const std::vector<tlsa>& records,
                   const requirement& required,
                   const std::vector<certificate>& chain,
                   std::int64_t now_s,
                   verdict out) {
    std::vector<tlsa> anchor_records;
    std::vector<certificate> anchors;
    for (const tlsa& record : records) {
        if (record.usage == usage_ee && matches(record, chain.front())) {
            out.proof = proof::dane_ee; // Neither name nor date (RFC 7672 3.1.1).
            return out;
        }
        if (record.usage == usage_ta) {
            anchor_records.push_back(record);
            if (record.selector == 0 && record.matching == matching_full) {
                if (auto given = parse_certificate(record.data)) {
                    anchors.push_back(std::move(*given)); // Which the peer need not send.
                }
            }
        }
    }
    if (anchor_records.empty()) {
        out.failure = failure::dane_mismatch;
        return out;
    }
    const failure path =
        path_search(chain, nullptr, std::move(anchors), std::move(anchor_records), now_s).run();
    out.proof = proof::dane_ta;
    return finish(std::move(out),
                  path == failure::certificate_not_trusted ? failure::dane_mismatch : path,
                  chain.front(),
                  has_name(chain.front(), required.names, true));
}

} // namespace

const char* to_text(failure failure) noexcept {
    switch (failure) {
    case failure::none:
        return "none";
    case failure::handshake:
        return "TLS handshake failed";
    case failure::certificate_expired:
        return "certificate has expired or is not yet valid";
    case failure::certificate_not_trusted:
        return "certificate is not trusted";
    case failure::certificate_host_mismatch:
        return "certificate is for another host";
    case failure::dane_mismatch:
        return "certificate does not match the TLSA records";
    }
    return "";
}

const char* to_text(proof proof) noexcept {
    constexpr std::array texts = {"unchecked", "authority", "dane-ee", "dane-ta"};
    return texts[static_cast<std::size_t>(proof)];
}

std::vector<tlsa> usable_records(const std::vector<tlsa>& records) {
    std::vector<tlsa> usable;
    std::copy_if(records.begin(), records.end(), std::back_inserter(usable), is_usable);
    std::vector<tlsa> strongest;
    std::copy_if(usable.begin(), usable.end(), std::back_inserter(strongest), [&](const tlsa& one) {
        return one.matching != matching_sha256 ||
               std::none_of(usable.begin(), usable.end(), [&](const tlsa& other) {
                   return other.usage == one.usage && other.selector == one.selector &&
                          other.matching == matching_sha512;
               });
    });
    return strongest;
}

verdict judge(const requirement& required,
              std::span<const byte_view> chain,
              const trust_store* authorities,
              std::int64_t now_s) {
    verdict out;
    std::vector<certificate> parsed;
    for (const byte_view der : chain.first(std::min(chain.size(), chain_length_max))) {
        auto one = parse_certificate(der);
        if (one) {
            parsed.push_back(std::move(*one));
        } else if (parsed.empty()) {
            break; // The leaf. Above it, what is not understood leads nowhere.
        }
    }
    std::vector<tlsa> records;
    if (required.check == check::dane) {
        records = usable_records(required.records);
    }
    if (required.check == check::none || (required.check == check::dane && records.empty())) {
        return out;
    }
    if (parsed.empty()) {
        out.failure = failure::certificate_not_trusted;
        out.detail = "no certificate that can be decoded";
        return out;
    }
    const certificate& leaf = parsed.front();
    out.peer = leaf.common_name.empty() && !leaf.host_names.empty() ? leaf.host_names.front()
                                                                    : leaf.common_name;
    if (required.check == check::dane) {
        return judge_dane(records, required, parsed, now_s, std::move(out));
    }
    const failure path = path_search(parsed, authorities, {}, {}, now_s).run();
    out.proof = proof::authority;
    return finish(std::move(out), path, leaf, has_name(leaf, required.names, false));
}

} // namespace ebbgate::tls
