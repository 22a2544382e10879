// What a client asks of its peer's certificate, and what it learned of it.
//
// Owner   Values; any thread.
// Specs   RFC 6125 (names), RFC 6698, RFC 7671 and RFC 7672 (TLSA), RFC 8460 4.3 (failures).

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::tls {

// One TLSA record; `data` as bytes.
struct tlsa {
    std::uint8_t usage = 0;
    std::uint8_t selector = 0;
    std::uint8_t matching = 0;
    std::string data;

    bool operator==(const tlsa&) const = default;
};

enum class check : std::uint8_t {
    none,  // Encrypted, with whom is not asked (RFC 7435).
    names, // A chain to a trusted authority, dates, and one of `names`.
    dane,  // What the records say. None of them usable: as none (RFC 7672 2.2).
};

struct requirement {
    tls::check check = tls::check::none;
    // False: a fault is told, and the handshake goes on (MTA-STS in mode testing).
    bool enforced = true;
    std::vector<std::string> names; // Host names, of which the certificate must have one.
    std::vector<tlsa> records;

    bool operator==(const requirement&) const = default;
};

enum class failure : std::uint8_t {
    none,
    handshake, // No certificate was judged: versions, ciphers, alerts, a broken connection.
    certificate_expired,
    certificate_not_trusted,
    certificate_host_mismatch,
    dane_mismatch,
};

enum class proof : std::uint8_t { unchecked, authority, dane_ee, dane_ta };

// What the certificate was found to be.
struct verdict {
    tls::failure failure = tls::failure::none;
    tls::proof proof = tls::proof::unchecked;
    std::string peer;   // Its common name, else its first host name.
    std::string detail; // Of a failure, for the log.
};

// How a handshake ended.
struct session_facts {
    std::string cipher; // "TLSv1.3 with cipher NAME".
    // With `failure` set: it was not enforced. Unchecked: nothing is known of the peer.
    tls::verdict verdict;
};

// As in a log line: "certificate has expired".
[[nodiscard]] const char* to_text(failure failure) noexcept;
// "unchecked", "authority", "dane-ee", "dane-ta".
[[nodiscard]] const char* to_text(proof proof) noexcept;

} // namespace ebbgate::tls
