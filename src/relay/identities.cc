#include "relay/identities.h"

#include "relay/signing_keys.h"
#include "runtime/net/listener.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace ebbgate::relay {

namespace {

// A certificate, the name that clients ask for it by, and where the policy has it.
struct named_files {
    std::string name;
    const config::tls_files* files = nullptr;
    std::string_view pointer;
};

// Nothing: the server's.
std::optional<named_files> hostname_files_of(const policy::tenant& tenant) {
    if (tenant.tls.certificate.empty() || tenant.hostname.empty()) {
        return std::nullopt;
    }
    return named_files{tenant.hostname, &tenant.tls, "/tls"};
}

std::optional<named_files> link_files_of(const policy::tenant& tenant) {
    if (tenant.filelink == nullptr) {
        return std::nullopt;
    }
    const bool has_own = !tenant.filelink->tls.certificate.empty();
    if (!has_own && tenant.tls.certificate.empty()) {
        return std::nullopt;
    }
    return named_files{policy::host_of_url(tenant.filelink->url),
                       has_own ? &tenant.filelink->tls : &tenant.tls,
                       has_own ? "/filelink/tls" : "/tls"};
}

class identity_loader {
public:
    explicit identity_loader(std::shared_ptr<tls::context> standard)
        : made_(std::make_shared<tls::server_identities>(std::move(standard))) {}

    // What is wrong with the files; each pair is read once, though many tenants may share it.
    std::optional<std::string> add(const named_files& wanted) {
        const auto known = loaded_.find({wanted.files->certificate, wanted.files->key});
        if (known != loaded_.end()) {
            add_name(wanted.name, known->second);
            return std::nullopt;
        }
        auto own = tls::context::for_server(wanted.files->certificate, wanted.files->key);
        if (!own) {
            return own.error().detail;
        }
        loaded_.insert({{wanted.files->certificate, wanted.files->key}, *own});
        add_name(wanted.name, std::move(*own));
        return std::nullopt;
    }

    [[nodiscard]] std::shared_ptr<const tls::server_identities> take() { return std::move(made_); }

private:
    // A host of links may be another tenant's hostname, or its host of links: the first has it.
    void add_name(const std::string& name, std::shared_ptr<tls::context> identity) {
        if (names_.insert(name).second) {
            made_->add(name, std::move(identity));
        }
    }

    std::shared_ptr<tls::server_identities> made_;
    std::map<std::pair<std::string, std::string>, std::shared_ptr<tls::context>> loaded_;
    std::set<std::string> names_;
};

} // namespace

std::expected<std::shared_ptr<const tls::server_identities>, config::faults>
load_identities(const config::server& server, const policy::snapshot& policy) {
    if (server.tls.certificate.empty()) {
        return nullptr;
    }
    config::faults faults;
    auto standard = tls::context::for_server(server.tls.certificate, server.tls.key);
    if (!standard) {
        faults.push_back({server.file, 0, "/tls", standard.error().detail});
        standard = nullptr;
    }
    identity_loader loader(std::move(*standard));
    const auto add = [&](const policy::tenant& tenant, const named_files& wanted) {
        const auto fault = loader.add(wanted);
        if (fault && faults.size() < config::faults_max) {
            const policy::rule_place place = policy.place_of(tenant);
            faults.push_back({place.file, 0, place.pointer + std::string(wanted.pointer), *fault});
        }
    };
    // No host of links takes a tenant's hostname.
    for (const policy::tenant& tenant : policy.tenants()) {
        if (const auto own = hostname_files_of(tenant)) {
            add(tenant, *own);
        }
    }
    for (const policy::tenant& tenant : policy.tenants()) {
        if (const auto own = link_files_of(tenant)) {
            add(tenant, *own);
        }
    }
    if (!faults.empty()) {
        return std::unexpected(std::move(faults));
    }
    return loader.take();
}

config::faults listener_faults(const config::server& server, const policy::snapshot& policy) {
    config::faults faults;
    for (std::size_t index = 0; index < server.listeners.size(); ++index) {
        const std::string& tenant = server.listeners[index].tenant;
        if (!tenant.empty() && policy.find_tenant(tenant) == nullptr) {
            faults.push_back({server.file,
                              0,
                              "/listeners/" + std::to_string(index) + "/tenant",
                              "the policy has no tenant \"" + tenant + '"'});
        }
    }
    const bool serves = std::ranges::any_of(server.listeners, [](const config::listener& one) {
        return one.kind == config::listener_kind::http || one.kind == config::listener_kind::https;
    });
    for (const policy::tenant& tenant : policy.tenants()) {
        if (!serves && tenant.filelink != nullptr && faults.size() < config::faults_max) {
            const policy::rule_place place = policy.place_of(tenant);
            faults.push_back({place.file,
                              0,
                              place.pointer + "/filelink",
                              "links would lead nowhere: expected a listener of kind http or https "
                              "in " +
                                  server.file});
        }
    }
    return faults;
}

config::faults source_faults(const policy::snapshot& policy) {
    config::faults faults;
    for (const policy::named_source& one : policy.sources()) {
        const std::string address = config::to_text(one.address);
        const auto bound = net::can_bind(address);
        if (!bound && faults.size() < config::faults_max) {
            faults.push_back(
                {policy.files()[one.file],
                 one.line,
                 one.pointer,
                 "expected an IP address of this machine, but no connection can leave from " +
                     address + ": " + bound.error().detail});
        }
    }
    return faults;
}

config::faults check_together(const config::server& server, const policy::snapshot& policy) {
    config::faults faults = listener_faults(server, policy);
    const config::faults sources = source_faults(policy);
    faults.insert(faults.end(), sources.begin(), sources.end());
    if (const auto identities = load_identities(server, policy); !identities) {
        faults.insert(faults.end(), identities.error().begin(), identities.error().end());
    }
    if (const auto keys = signing_keys::load(policy, nullptr); !keys) {
        faults.insert(faults.end(), keys.error().begin(), keys.error().end());
    }
    return faults;
}

std::vector<std::string> identity_files(const config::server& server,
                                        const policy::snapshot& policy) {
    std::vector<std::string> files = policy.key_files();
    if (server.tls.certificate.empty()) {
        return files;
    }
    files.push_back(server.tls.certificate);
    files.push_back(server.tls.key);
    for (const policy::tenant& tenant : policy.tenants()) {
        for (const auto& wanted : {hostname_files_of(tenant), link_files_of(tenant)}) {
            if (wanted) {
                files.push_back(wanted->files->certificate);
                files.push_back(wanted->files->key);
            }
        }
    }
    return files;
}

} // namespace ebbgate::relay
