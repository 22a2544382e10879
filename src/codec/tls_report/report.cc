#include "codec/tls_report/report.h"

#include "codec/json/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace ebbgate::tls_report {

namespace {

constexpr std::array policy_words = {"no-policy-found", "tlsa", "sts"};
constexpr std::array result_words = {"success",
                                     "starttls-not-supported",
                                     "certificate-host-mismatch",
                                     "certificate-expired",
                                     "certificate-not-trusted",
                                     "validation-failure",
                                     "tlsa-invalid",
                                     "dnssec-invalid",
                                     "dane-required",
                                     "sts-policy-fetch-error",
                                     "sts-policy-invalid",
                                     "sts-webpki-invalid"};

template <typename word, std::size_t count>
std::optional<word> find_word(const std::array<const char*, count>& words, std::string_view text) {
    const auto found = std::find(words.begin(), words.end(), text);
    if (found == words.end()) {
        return std::nullopt;
    }
    return static_cast<word>(found - words.begin());
}

void write_strings(json::writer& out, const char* key, const std::vector<std::string>& strings) {
    if (strings.empty()) {
        return;
    }
    out.key(key).begin_array();
    for (const std::string& one : strings) {
        out.string(one);
    }
    out.end_array();
}

void write_policy(json::writer& out,
                  policy_type type,
                  const std::string& domain,
                  std::span<const session_count> counts,
                  std::span<const policy_text> policies) {
    out.begin_object().key("policy").begin_object();
    out.key("policy-type").string(to_text(type));
    const auto text = std::find_if(policies.begin(), policies.end(), [type](const auto& one) {
        return one.policy_type == type;
    });
    if (text != policies.end()) {
        write_strings(out, "policy-string", text->lines);
    }
    out.key("policy-domain").string(domain);
    if (text != policies.end()) {
        write_strings(out, "mx-host", text->mx_hosts);
    }
    out.end_object();
    std::uint64_t good = 0;
    std::uint64_t bad = 0;
    for (const session_count& one : counts) {
        if (one.policy_type == type) {
            (one.result == result_type::success ? good : bad) += one.sessions;
        }
    }
    out.key("summary").begin_object();
    out.key("total-successful-session-count").number(good);
    out.key("total-failure-session-count").number(bad);
    out.end_object();
    if (bad > 0) {
        out.key("failure-details").begin_array();
        for (const session_count& one : counts) {
            if (one.policy_type != type || one.result == result_type::success) {
                continue;
            }
            out.begin_object().key("result-type").string(to_text(one.result));
            if (!one.sending_ip.empty()) {
                out.key("sending-mta-ip").string(one.sending_ip);
            }
            if (!one.mx_host.empty()) {
                out.key("receiving-mx-hostname").string(one.mx_host);
            }
            out.key("failed-session-count").number(one.sessions).end_object();
        }
        out.end_array();
    }
    out.end_object();
}

} // namespace

const char* to_text(policy_type type) noexcept {
    return policy_words[static_cast<std::size_t>(type)];
}

const char* to_text(result_type type) noexcept {
    return result_words[static_cast<std::size_t>(type)];
}

std::optional<policy_type> parse_policy_type(std::string_view text) noexcept {
    return find_word<policy_type>(policy_words, text);
}

std::optional<result_type> parse_result_type(std::string_view text) noexcept {
    return find_word<result_type>(result_words, text);
}

std::string write_report(const report_head& head,
                         std::span<const session_count> counts,
                         std::span<const policy_text> policies) {
    const std::chrono::year_month_day date{
        std::chrono::sys_days{std::chrono::days{static_cast<int>(head.day)}}};
    const std::string day = fmt::format("{:04}-{:02}-{:02}",
                                        static_cast<int>(date.year()),
                                        static_cast<unsigned>(date.month()),
                                        static_cast<unsigned>(date.day()));
    std::string text;
    json::writer out(text);
    out.begin_object();
    out.key("organization-name").string(head.organization);
    out.key("date-range").begin_object();
    out.key("start-datetime").string(day + "T00:00:00Z");
    out.key("end-datetime").string(day + "T23:59:59Z");
    out.end_object();
    out.key("contact-info").string(head.contact);
    out.key("report-id").string(head.report_id);
    out.key("policies").begin_array();
    for (const policy_type type :
         {policy_type::sts, policy_type::tlsa, policy_type::no_policy_found}) {
        if (std::any_of(counts.begin(), counts.end(), [type](const session_count& one) {
                return one.policy_type == type;
            })) {
            write_policy(out, type, head.domain, counts, policies);
        }
    }
    out.end_array().end_object();
    return text;
}

} // namespace ebbgate::tls_report
