// Fetches the policy of one domain over HTTPS, by libcurl.
//
// Input   A domain in its ASCII form.
// Output  The policy, or what TLS-RPT calls the fault.
// Owner   Worker threads: it blocks, timeout_s at most.
// Bounds  policy_bytes_max of answer.
// Specs   RFC 8461 3.3: a valid certificate for mta-sts.DOMAIN, status 200, text/plain, and no
//         redirect is followed.

#pragma once

#include "codec/mta_sts/policy.h"
#include "codec/tls_report/report.h"

#include <expected>
#include <string>

namespace ebbgate::mta_sts {

struct fetch_settings {
    std::string ca_file;    // PEM bundle; empty: libcurl's own.
    std::string connect_to; // "127.0.0.1:PORT" instead of the host's own address: for tests.
    long timeout_s = 60;
};

struct fetch_fault {
    tls_report::result_type type = tls_report::result_type::sts_policy_fetch_error;
    std::string detail;
};

[[nodiscard]] std::expected<policy, fetch_fault> fetch_policy(const fetch_settings& settings,
                                                              const std::string& domain);

} // namespace ebbgate::mta_sts
