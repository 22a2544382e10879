// A certificate taken apart: what the decision whether to trust it needs.
//
// Input   One certificate in DER, from anybody.
// Output  Copies of its parts.
// Owner   A value; any thread.
// Fails   With what is wrong with it.
// Bounds  certificate_bytes_max.
// Specs   RFC 5280.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::tls {

inline constexpr std::size_t certificate_bytes_max = 64 * kib;

struct certificate {
    std::string der;
    std::string subject; // The name as it is encoded, to find issuers by.
    std::string issuer;
    std::string public_key; // SubjectPublicKeyInfo, in DER.
    std::string common_name;
    std::vector<std::string> host_names; // Of subjectAltName, in lower case.
    std::vector<std::string> permitted;  // Name constraints on hosts, in lower case.
    std::vector<std::string> excluded;
    std::int64_t not_before_s = 0; // Unix time.
    std::int64_t not_after_s = 0;
    std::optional<std::uint8_t> path_length;
    bool may_issue = false; // A certificate authority that may sign certificates.
    bool may_serve = false; // Not limited to other uses than TLS servers.
};

[[nodiscard]] result<certificate> parse_certificate(byte_view der);

// The same for an authority that is trusted as it is. The library takes no serial number of 0,
// which old roots have that many servers stand under: it becomes 1 in `der`, whose own signature
// nobody checks.
[[nodiscard]] result<certificate> parse_authority(byte_view der);

// `subject` was signed by `issuer`, which may issue. Dates are not looked at.
[[nodiscard]] bool is_signed_by(const certificate& subject, const certificate& issuer);

// RFC 6125 6.4.3: a wildcard is the whole leftmost label and stands for one label.
[[nodiscard]] bool matches_host(byte_view pattern, byte_view host) noexcept;

// Every certificate of a PEM text, in DER. What cannot be decoded is left out.
[[nodiscard]] std::vector<std::string> certificates_of_pem(byte_view text);

} // namespace ebbgate::tls
