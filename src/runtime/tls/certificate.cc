#include "runtime/tls/certificate.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <algorithm>
#include <ctime>
#include <memory>

namespace ebbgate::tls {

namespace {

constexpr unsigned char tag_sequence = 0x30;
constexpr unsigned char tag_version = 0xa0;
constexpr unsigned char tag_utc_time = 0x17;
constexpr unsigned char tag_generalized_time = 0x18;

struct element {
    unsigned char tag = 0;
    byte_view whole; // With tag and length.
    byte_view content;
};

std::optional<element> take_element(byte_view& from) {
    if (from.size() < 2) {
        return std::nullopt;
    }
    std::size_t length = static_cast<unsigned char>(from[1]);
    std::size_t header = 2;
    if (length >= 0x80) {
        const std::size_t count = length - 0x80;
        if (count == 0 || count > 3 || from.size() < 2 + count) {
            return std::nullopt;
        }
        length = 0;
        for (std::size_t at = 0; at < count; ++at) {
            length = length * 256 + static_cast<unsigned char>(from[2 + at]);
        }
        header += count;
    }
    if (from.size() - header < length) {
        return std::nullopt;
    }
    element taken{static_cast<unsigned char>(from[0]),
                  from.substr(0, header + length),
                  from.substr(header, length)};
    from.remove_prefix(header + length);
    return taken;
}

// RFC 5280 4.1.2.5: YYMMDDHHMMSSZ until 2049, else YYYYMMDDHHMMSSZ.
std::optional<std::int64_t> unix_time_of(const element& time) {
    const bool is_long = time.tag == tag_generalized_time;
    const std::size_t year_digits = is_long ? 4 : 2;
    if ((!is_long && time.tag != tag_utc_time) || time.content.size() != year_digits + 11 ||
        time.content.back() != 'Z') {
        return std::nullopt;
    }
    const byte_view digits = time.content.substr(0, time.content.size() - 1);
    if (digits.find_first_not_of("0123456789") != byte_view::npos) {
        return std::nullopt;
    }
    const auto number = [digits](std::size_t at, std::size_t count) {
        int value = 0;
        for (const char digit : digits.substr(at, count)) {
            value = value * 10 + (digit - '0');
        }
        return value;
    };
    std::tm parts{};
    const int year = number(0, year_digits);
    parts.tm_year = is_long ? year - 1900 : year < 50 ? year + 100 : year;
    parts.tm_mon = number(year_digits, 2) - 1;
    parts.tm_mday = number(year_digits + 2, 2);
    parts.tm_hour = number(year_digits + 4, 2);
    parts.tm_min = number(year_digits + 6, 2);
    parts.tm_sec = number(year_digits + 8, 2);
    return timegm(&parts);
}

// What the library does not give in this build: names and key as they are encoded, and the dates.
bool take_apart(byte_view der, certificate& out) {
    const auto whole = take_element(der);
    if (!whole || whole->tag != tag_sequence || !der.empty()) {
        return false;
    }
    byte_view rest = whole->content;
    const auto signed_part = take_element(rest);
    if (!signed_part || signed_part->tag != tag_sequence) {
        return false;
    }
    rest = signed_part->content;
    auto serial = take_element(rest);
    if (serial && serial->tag == tag_version) {
        serial = take_element(rest);
    }
    const auto algorithm = take_element(rest);
    const auto issuer = take_element(rest);
    const auto validity = take_element(rest);
    const auto subject = take_element(rest);
    const auto key = take_element(rest);
    if (!serial || !algorithm || !issuer || !validity || !subject || !key ||
        key->tag != tag_sequence) {
        return false;
    }
    byte_view times = validity->content;
    const auto begin = take_element(times);
    const auto end = take_element(times);
    const auto not_before = begin ? unix_time_of(*begin) : std::nullopt;
    const auto not_after = end ? unix_time_of(*end) : std::nullopt;
    if (!not_before || !not_after) {
        return false;
    }
    out.issuer = issuer->whole;
    out.subject = subject->whole;
    out.public_key = key->whole;
    out.not_before_s = *not_before;
    out.not_after_s = *not_after;
    return true;
}

std::string lower(byte_view text) {
    std::string out(text);
    for (char& c : out) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return out;
}

std::vector<std::string> hosts_of(const Base_entry* entry) {
    std::vector<std::string> hosts;
    for (; entry != nullptr; entry = entry->next) {
        if (entry->type == ASN_DNS_TYPE) {
            hosts.push_back(lower({entry->name, static_cast<std::size_t>(entry->nameSz)}));
        }
    }
    return hosts;
}

struct end_of_decoded {
    void operator()(DecodedCert* cert) const {
        wc_FreeDecodedCert(cert);
        delete cert;
    }
};

} // namespace

result<certificate> parse_certificate(byte_view der) {
    certificate out;
    if (der.size() > certificate_bytes_max || !take_apart(der, out)) {
        return fail(failure_kind::bad_input, "not a certificate");
    }
    out.der = der;
    const std::unique_ptr<DecodedCert, end_of_decoded> decoded(new DecodedCert{});
    wc_InitDecodedCert(decoded.get(),
                       reinterpret_cast<const byte*>(out.der.data()),
                       static_cast<word32>(out.der.size()),
                       nullptr);
    if (wc_ParseCert(decoded.get(), CERT_TYPE, NO_VERIFY, nullptr) != 0) {
        return fail(failure_kind::bad_input, "a certificate that cannot be decoded");
    }
    if (decoded->subjectCN != nullptr && decoded->subjectCNLen > 0) {
        out.common_name.assign(decoded->subjectCN, static_cast<std::size_t>(decoded->subjectCNLen));
    }
    for (const DNS_entry* name = decoded->altNames; name != nullptr; name = name->next) {
        if (name->type == ASN_DNS_TYPE) {
            out.host_names.push_back(lower({name->name, static_cast<std::size_t>(name->len)}));
        }
    }
    std::reverse(out.host_names.begin(), out.host_names.end()); // The library's list is.
    out.permitted = hosts_of(decoded->permittedNames);
    out.excluded = hosts_of(decoded->excludedNames);
    if (decoded->pathLengthSet != 0) {
        out.path_length = decoded->pathLength;
    }
    out.may_issue = decoded->isCA != 0 && (decoded->extKeyUsageSet == 0 ||
                                           (decoded->extKeyUsage & KEYUSE_KEY_CERT_SIGN) != 0);
    out.may_serve = decoded->extExtKeyUsageSet == 0 ||
                    (decoded->extExtKeyUsage & (EXTKEYUSE_ANY | EXTKEYUSE_SERVER_AUTH)) != 0;
    return out;
}

result<certificate> parse_authority(byte_view der) {
    std::string copy(der);
    byte_view rest = copy;
    const auto whole = take_element(rest);
    rest = whole ? whole->content : byte_view{};
    const auto signed_part = take_element(rest);
    rest = signed_part ? signed_part->content : byte_view{};
    auto serial = take_element(rest);
    if (serial && serial->tag == tag_version) {
        serial = take_element(rest);
    }
    if (serial && serial->content == byte_view("\0", 1)) {
        copy[static_cast<std::size_t>(serial->content.data() - copy.data())] = 1;
    }
    return parse_certificate(copy);
}

bool is_signed_by(const certificate& subject, const certificate& issuer) {
    if (subject.issuer != issuer.subject || !issuer.may_issue) {
        return false;
    }
    const std::unique_ptr<WOLFSSL_CERT_MANAGER, decltype(&wolfSSL_CertManagerFree)> manager(
        wolfSSL_CertManagerNew(), &wolfSSL_CertManagerFree);
    if (manager == nullptr || wolfSSL_CertManagerLoadCABuffer_ex(
                                  manager.get(),
                                  reinterpret_cast<const unsigned char*>(issuer.der.data()),
                                  static_cast<long>(issuer.der.size()),
                                  WOLFSSL_FILETYPE_ASN1,
                                  0,
                                  WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY) != WOLFSSL_SUCCESS) {
        return false;
    }
    const int verified =
        wolfSSL_CertManagerVerifyBuffer(manager.get(),
                                        reinterpret_cast<const unsigned char*>(subject.der.data()),
                                        static_cast<long>(subject.der.size()),
                                        WOLFSSL_FILETYPE_ASN1);
    // The library checks the signature first, and only then says that a date is wrong.
    return verified == WOLFSSL_SUCCESS || verified == ASN_BEFORE_DATE_E ||
           verified == ASN_AFTER_DATE_E;
}

bool matches_host(byte_view pattern, byte_view host) noexcept {
    const auto same = [](byte_view one, byte_view other) {
        return std::equal(one.begin(), one.end(), other.begin(), other.end(), [](char a, char b) {
            const auto low = [](char c) {
                return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
            };
            return low(a) == low(b);
        });
    };
    if (host.ends_with('.')) {
        host.remove_suffix(1);
    }
    if (!pattern.starts_with("*.")) {
        return !pattern.empty() && same(pattern, host);
    }
    const byte_view suffix = pattern.substr(1);
    const std::size_t dot = host.find('.');
    // Not a whole top-level domain.
    return dot != byte_view::npos && dot > 0 && suffix.find('.', 1) != byte_view::npos &&
           same(suffix, host.substr(dot));
}

std::vector<std::string> certificates_of_pem(byte_view text) {
    constexpr byte_view begin = "-----BEGIN CERTIFICATE-----";
    constexpr byte_view end = "-----END CERTIFICATE-----";
    std::vector<std::string> found;
    for (;;) {
        const std::size_t from = text.find(begin);
        const std::size_t to = from == byte_view::npos ? from : text.find(end, from);
        if (to == byte_view::npos) {
            return found;
        }
        const byte_view body = text.substr(from + begin.size(), to - from - begin.size());
        std::string der(body.size(), '\0');
        auto bytes = static_cast<word32>(der.size());
        if (body.size() < 2 * certificate_bytes_max &&
            Base64_Decode(reinterpret_cast<const byte*>(body.data()),
                          static_cast<word32>(body.size()),
                          reinterpret_cast<byte*>(der.data()),
                          &bytes) == 0) {
            der.resize(bytes);
            found.push_back(std::move(der));
        }
        text.remove_prefix(to + end.size());
    }
}

} // namespace ebbgate::tls
