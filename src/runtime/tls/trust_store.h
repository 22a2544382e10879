// The certificate authorities that are trusted, found by their names.
//
// Input   A PEM bundle, or a folder: its ca-certificates.crt, else every file in it.
// Owner   Made once, then shared by all shards; it does not change.
// Fails   When the file cannot be read or has no certificate; single faulty ones are left out.
// Bounds  bundle_bytes_max.

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/tls/certificate.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::tls {

class trust_store {
public:
    static constexpr std::size_t bundle_bytes_max = 16 * mib;
    static constexpr const char* standard_path = "/etc/ssl/certs";

    [[nodiscard]] static result<std::shared_ptr<const trust_store>> load(const std::string& path);

    void add(certificate authority);

    // Those with this name, as it is encoded. Null: none.
    [[nodiscard]] const std::vector<certificate>* find(const std::string& subject) const;
    [[nodiscard]] bool holds(const certificate& certificate) const;

    [[nodiscard]] std::size_t size() const noexcept { return count_; }

private:
    std::unordered_map<std::string, std::vector<certificate>> by_subject_;
    std::size_t count_ = 0;
};

} // namespace ebbgate::tls
