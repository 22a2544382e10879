#include "relay/signing_keys.h"

#include <sys/stat.h>

#include <utility>

namespace ebbgate::relay {

namespace {

dkim::canonicalization form_of(policy::canonical_form form) noexcept {
    return form == policy::canonical_form::simple ? dkim::canonicalization::simple
                                                  : dkim::canonicalization::relaxed;
}

} // namespace

result<dkim::key_pointer> signing_keys::key_of(const std::string& file,
                                               const signing_keys* before) {
    if (const auto found = files_.find(file); found != files_.end()) {
        return found->second.key;
    }
    stamp now;
    struct stat status{};
    if (stat(file.c_str(), &status) == 0) {
        now = {status.st_dev,
               status.st_ino,
               status.st_size,
               status.st_mtim.tv_sec,
               status.st_mtim.tv_nsec};
        if (before != nullptr) {
            const auto found = before->files_.find(file);
            if (found != before->files_.end() && found->second.read_as == now) {
                files_.emplace(file, found->second);
                return found->second.key;
            }
        }
    }
    auto key = dkim::load_key(file);
    if (key) {
        files_.emplace(file, loaded_key{now, *key});
    }
    return key;
}

std::expected<std::shared_ptr<const signing_keys>, config::faults>
signing_keys::load(const policy::snapshot& policy, const signing_keys* before) {
    auto made = std::make_shared<signing_keys>();
    config::faults faults;
    made->signers_.resize(policy.tenants().size());
    for (const policy::tenant& tenant : policy.tenants()) {
        std::vector<dkim::signer>& signers = made->signers_[tenant.index];
        for (std::size_t index = 0; index < tenant.dkim.size(); ++index) {
            const policy::dkim_key& wanted = tenant.dkim[index];
            const auto key = made->key_of(wanted.file, before);
            auto signer =
                key ? dkim::signer::make(
                          {.domain = wanted.domain,
                           .selector = wanted.selector,
                           .identity = {},
                           .header_form = form_of(wanted.header),
                           .body_form = form_of(wanted.body),
                           .lifetime_s = static_cast<std::uint32_t>(wanted.expire.count()),
                           .key = *key})
                    : result<dkim::signer>(std::unexpected(key.error()));
            if (signer) {
                signers.push_back(std::move(*signer));
            } else if (faults.size() < config::faults_max) {
                const policy::rule_place place = policy.place_of(tenant);
                faults.push_back({place.file,
                                  0,
                                  place.pointer + "/dkim",
                                  wanted.selector + "._domainkey." + wanted.domain + ": " +
                                      signer.error().detail});
            }
        }
    }
    if (!faults.empty()) {
        return std::unexpected(std::move(faults));
    }
    return made;
}

std::span<const dkim::signer> signing_keys::find(const policy::tenant& tenant,
                                                 std::string_view domain) const {
    const std::span<const policy::dkim_key> keys = policy::keys_for(tenant.dkim, domain);
    if (keys.empty() || tenant.index >= signers_.size()) {
        return {};
    }
    const auto first = static_cast<std::size_t>(keys.data() - tenant.dkim.data());
    return std::span(signers_[tenant.index]).subspan(first, keys.size());
}

} // namespace ebbgate::relay
