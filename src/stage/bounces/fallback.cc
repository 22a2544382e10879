#include "stage/bounces/fallback.h"

#include <cstdint>

namespace ebbgate::bounces {

namespace {

struct known_status {
    std::uint16_t subject;
    std::uint16_t detail;
    std::string_view name;
};

constexpr known_status known[] = {
    {1, 1, "InvalidRecipient"},      {1, 2, "BadDomain"},
    {1, 3, "InvalidRecipient"},      {1, 6, "InvalidRecipient"},
    {1, 7, "InvalidSender"},         {1, 8, "InvalidSender"},
    {1, 9, "RoutingErrors"},         {1, 10, "BadDomain"},
    {2, 1, "InactiveMailbox"},       {2, 2, "QuotaIssues"},
    {2, 3, "ContentRelated"},        {2, 4, "RoutingErrors"},
    {3, 1, "TransientFailure"},      {3, 2, "TransientFailure"},
    {3, 3, "ProtocolErrors"},        {3, 4, "ContentRelated"},
    {3, 5, "BadConfiguration"},      {4, 1, "NoAnswerFromHost"},
    {4, 2, "BadConnection"},         {4, 3, "DNSFailure"},
    {4, 4, "RoutingErrors"},         {4, 5, "TransientFailure"},
    {4, 6, "RoutingErrors"},         {4, 7, "MessageExpired"},
    {5, 3, "TooManyRecipients"},     {7, 8, "AuthenticationFailed"},
    {7, 9, "AuthenticationFailed"},  {7, 11, "AuthenticationFailed"},
    {7, 13, "AuthenticationFailed"}, {7, 20, "AuthenticationFailed"},
    {7, 21, "AuthenticationFailed"}, {7, 22, "AuthenticationFailed"},
    {7, 23, "AuthenticationFailed"}, {7, 24, "AuthenticationFailed"},
    {7, 25, "BadConfiguration"},     {7, 26, "AuthenticationFailed"},
    {7, 27, "InvalidSender"},        {7, 28, "SpamBlock"},
    {7, 29, "AuthenticationFailed"},
};

std::string_view class_of_status(const smtp::enhanced_status& status) noexcept {
    for (const known_status& one : known) {
        if (one.subject == status.subject && one.detail == status.detail) {
            return one.name;
        }
    }
    switch (status.subject) {
    case 5:
        return "ProtocolErrors";
    case 6:
        return "ContentRelated";
    case 7:
        return "PolicyRelated";
    default:
        return {}; // Too little: 5.1.0, 5.2.0, 5.0.0.
    }
}

} // namespace

std::string_view class_of_codes(int code, const smtp::enhanced_status& status) noexcept {
    if (status.present()) {
        if (const std::string_view found = class_of_status(status); !found.empty()) {
            return found;
        }
    }
    // 550, 553 and 554 are said for everything: what is not known must not end in a suppression.
    switch (code) {
    case 500:
    case 501:
    case 502:
    case 503:
    case 504:
    case 555:
        return "ProtocolErrors";
    case 521:
    case 556:
        return "BadDomain";
    case 530:
    case 534:
    case 535:
    case 538:
        return "AuthenticationFailed";
    case 551:
        return "RelayDenied";
    case 552:
        return "QuotaIssues";
    default:
        return code >= 400 && code < 500 ? "TransientFailure" : uncategorized;
    }
}

} // namespace ebbgate::bounces
