// The report's text, against what RFC 8460 4.4 and its example have.

#include "codec/tls_report/report.h"

#include <gtest/gtest.h>

namespace ebbgate::tls_report {
namespace {

TEST(write_report, has_the_fields_of_the_rfc) {
    const session_count counts[] = {
        {policy_type::sts, result_type::success, "192.0.2.1", "mx1.test", 5326},
        {policy_type::sts, result_type::certificate_expired, "2001:db8::1", "mx1.test", 100},
        {policy_type::sts, result_type::starttls_not_supported, "2001:db8::1", "mx2.test", 200},
        {policy_type::no_policy_found, result_type::success, "", "", 7},
    };
    const policy_text policies[] = {
        {policy_type::sts, {"version: STSv1", "mode: testing"}, {"*.mail.test"}}};
    EXPECT_EQ(
        write_report({"Company-X", "sts@x.test", "2016-04-01T00:00:00Z_y.test", "y.test", 16892},
                     counts,
                     policies),
        R"({"organization-name":"Company-X",)"
        R"("date-range":{"start-datetime":"2016-04-01T00:00:00Z","end-datetime":"2016-04-01T23:59:59Z"},)"
        R"("contact-info":"sts@x.test","report-id":"2016-04-01T00:00:00Z_y.test","policies":[)"
        R"({"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: testing"],)"
        R"("policy-domain":"y.test","mx-host":["*.mail.test"]},)"
        R"("summary":{"total-successful-session-count":5326,"total-failure-session-count":300},)"
        R"("failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"2001:db8::1",)"
        R"("receiving-mx-hostname":"mx1.test","failed-session-count":100},)"
        R"({"result-type":"starttls-not-supported","sending-mta-ip":"2001:db8::1",)"
        R"("receiving-mx-hostname":"mx2.test","failed-session-count":200}]},)"
        R"({"policy":{"policy-type":"no-policy-found","policy-domain":"y.test"},)"
        R"("summary":{"total-successful-session-count":7,"total-failure-session-count":0}}]})");
}

TEST(words, are_read_as_they_are_written) {
    for (int at = 0; at <= static_cast<int>(result_type::sts_webpki_invalid); ++at) {
        const auto type = static_cast<result_type>(at);
        EXPECT_EQ(parse_result_type(to_text(type)), type);
    }
    for (const policy_type type :
         {policy_type::no_policy_found, policy_type::tlsa, policy_type::sts}) {
        EXPECT_EQ(parse_policy_type(to_text(type)), type);
    }
    EXPECT_FALSE(parse_result_type("").has_value());
    EXPECT_FALSE(parse_policy_type("STS").has_value());
}

} // namespace
} // namespace ebbgate::tls_report
