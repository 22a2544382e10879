// Replies as the large receivers and the usual servers write them, and the class of each.

#include "stage/bounces/classifier.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace ebbgate::bounces {
namespace {

struct reply_case {
    const char* name;
    int code;
    smtp::enhanced_status status;
    const char* text;
};

constexpr reply_case replies[] = {
    // Gmail
    {"InvalidRecipient",
     550,
     {5, 1, 1},
     "The email account that you tried to reach does not exist. Please try double-checking the "
     "recipient's email address for typos"},
    {"QuotaIssues",
     452,
     {4, 2, 2},
     "The recipient's inbox is out of storage space. Please direct the recipient to"},
    {"InactiveMailbox", 550, {5, 2, 1}, "The email account that you tried to reach is inactive."},
    {"AuthenticationFailed",
     550,
     {5, 7, 26},
     "Your email has been blocked because the sender is unauthenticated. Gmail requires all "
     "senders to authenticate with either SPF or DKIM."},
    {"SpamBlock",
     421,
     {4, 7, 28},
     "Gmail has detected an unusual rate of unsolicited mail originating from your IP Netblock"},
    {"SpamContent",
     550,
     {5, 7, 1},
     "[203.0.113.5      12] Our system has detected that this message is likely unsolicited mail. "
     "To reduce the amount of spam sent to Gmail, this message has been blocked."},
    {"ProhibitedAttachment",
     552,
     {5, 7, 0},
     "This message was blocked because its content presents a potential security issue."},
    {"BadConfiguration",
     550,
     {5, 7, 25},
     "The IP address sending this message does not have a PTR record setup"},
    {"TransientFailure",
     450,
     {4, 2, 1},
     "The user you are trying to contact is receiving mail at a rate that prevents additional "
     "messages from being delivered."},
    // Microsoft
    {"InvalidRecipient",
     550,
     {5, 5, 0},
     "Requested action not taken: mailbox unavailable (S2017062302)."},
    {"InvalidRecipient",
     550,
     {5, 4, 1},
     "Recipient address rejected: Access denied. AS(201806281)"},
    {"InvalidRecipient",
     550,
     {5, 1, 10},
     "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"},
    {"SpamBlock", 550, {5, 7, 606}, "Access denied, banned sending IP [203.0.113.5]"},
    {"SpamBlock",
     550,
     {5, 7, 1},
     "Unfortunately, messages from [203.0.113.5] weren't sent. Please contact your Internet "
     "service provider since part of their network is on our block list (S3150)."},
    {"SpamBlock",
     550,
     {5, 7, 1},
     "Service unavailable, Client host [203.0.113.5] blocked using Spamhaus."},
    {"TransientFailure",
     451,
     {4, 7, 500},
     "Server busy. Please try again later from [203.0.113.5]. (S77719)"},
    {"RelayDenied", 550, {5, 7, 64}, "TenantAttribution; Relay Access Denied"},
    {"AuthenticationFailed",
     550,
     {5, 7, 509},
     "Access denied, sending domain a.example does not pass DMARC verification and has a DMARC "
     "policy of reject."},
    {"InvalidSender", 550, {5, 1, 8}, "Access denied, bad outbound sender"},
    {"RoutingErrors", 554, {5, 4, 14}, "Hop count exceeded - possible mail loop ATTR34"},
    {"QuotaIssues",
     552,
     {5, 2, 2},
     "This message is larger than the current system limit or the recipient's mailbox is full."},
    // Yahoo, AOL
    {"InvalidRecipient",
     554,
     {},
     "delivery error: dd This user doesn't have a yahoo.com account (x@yahoo.com) [0] - "
     "mta1.mail.yahoo.com"},
    {"InactiveMailbox",
     554,
     {},
     "30 Sorry, your message to x@yahoo.com cannot be delivered. This mailbox is disabled "
     "(554.30)."},
    {"SpamBlock",
     421,
     {4, 7, 0},
     "[TSS04] Messages from 203.0.113.5 temporarily deferred due to unexpected volume or user "
     "complaints"},
    {"SpamBlock",
     553,
     {5, 7, 1},
     "[BL21] Connections will not be accepted from 203.0.113.5, because the ip is in Spamhaus's "
     "list"},
    {"PolicyRelated", 554, {5, 7, 9}, "Message not accepted for policy reasons."},
    {"InvalidRecipient", 552, {}, "1 Requested mail action aborted, mailbox not found"},
    // Others
    {"SpamBlock", 550, {5, 7, 0}, "[CS01] Message rejected due to local policy."},
    {"SpamBlock", 554, {}, "Blocked - see https://ipcheck.proofpoint.com/?ip=203.0.113.5"},
    {"InvalidRecipient", 550, {}, "#5.1.0 Address rejected."},
    {"SpamBlock",
     554,
     {},
     "Your access to this mail system has been rejected due to the sending MTA's poor reputation."},
    {"VirusRelated", 554, {5, 7, 1}, "Message contains a virus: Heuristics.Phishing"},
    {"SpamContent", 554, {5, 7, 1}, "Message rejected as spam by Content Filtering."},
    // Postfix
    {"InvalidRecipient",
     550,
     {5, 1, 1},
     "<x@b.example>: Recipient address rejected: User unknown in virtual mailbox table"},
    {"RelayDenied", 554, {5, 7, 1}, "<x@b.example>: Relay access denied"},
    {"TransientFailure",
     450,
     {4, 2, 0},
     "<x@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example"},
    {"BadConfiguration",
     450,
     {4, 7, 1},
     "Client host rejected: cannot find your reverse hostname, [203.0.113.5]"},
    {"SpamBlock",
     554,
     {5, 7, 1},
     "Service unavailable; Client host [203.0.113.5] blocked using zen.spamhaus.org"},
    {"InvalidSender", 450, {4, 1, 8}, "<a@b.example>: Sender address rejected: Domain not found"},
    {"ContentRelated", 552, {5, 3, 4}, "Message size exceeds fixed limit"},
    {"TooManyRecipients", 452, {4, 5, 3}, "Error: too many recipients"},
    {"ProtocolErrors", 503, {5, 5, 1}, "Error: need MAIL command"},
    {"QuotaIssues", 452, {4, 3, 1}, "Insufficient system storage"},
    // Exim, Dovecot, Exchange, qmail
    {"InvalidRecipient", 550, {}, "Unrouteable address: no such user here"},
    {"InvalidRecipient", 550, {}, "No Such User Here"},
    {"InvalidRecipient", 550, {5, 1, 1}, "<x@b.example> User doesn't exist: x@b.example"},
    {"QuotaIssues", 552, {5, 2, 2}, "<x@b.example> Quota exceeded (mailbox for user is full)"},
    {"InvalidRecipient", 550, {}, "sorry, no mailbox here by that name. (#5.7.17)"},
    {"RelayDenied", 553, {}, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"},
    {"InvalidSender", 550, {}, "Sender verify failed"},
    {"PolicyRelated", 550, {5, 7, 1}, "RESOLVER.RST.NotAuthorized; not authorized"},
    // Our own words.
    {"NoAnswerFromHost", 0, {}, "connect: Connection refused"},
    {"NoAnswerFromHost", 0, {4, 4, 1}, "connection timed out"},
    {"BadConnection", 0, {}, "the connection was lost amid DATA"},
    {"BadConnection", 0, {}, "TLS handshake failed"},
    {"BadDomain", 0, {5, 1, 10}, "the domain does not accept mail (null MX)"},
    {"DNSFailure", 0, {4, 4, 3}, "DNS lookup failed"},
    // Near to others.
    {"InvalidSender", 550, {}, "Your sending domain has no MX record"},
    {"InvalidSender", 550, {}, "Your domain a.example does not exist"},
    {"InactiveMailbox", 550, {}, "Mailbox is frozen. See http://www.b.example"},
    {"SpamContent", 554, {}, "rejected due to spam URL in content"},
    {"SpamBlock", 550, {5, 7, 1}, "Mailbox unavailable. Your IP is on our blocklist"},
    {"AuthenticationFailed",
     550,
     {5, 7, 1},
     "<a@b.example>: Recipient address rejected: SPF check failed"},
    {"InvalidRecipient", 550, {}, "User bob@b.example is not a known one: unknown"},
    {"InvalidRecipient", 550, {}, "Mailbox for bob@mail.b.example was not found"},
    // No rule knows the text.
    {"InvalidRecipient", 550, {5, 1, 1}, "nope"},
    {"ContentRelated", 550, {5, 6, 0}, "nope"},
    {"PolicyRelated", 550, {5, 7, 1}, "nope"},
    {"RelayDenied", 551, {}, "nope"},
    {"TransientFailure", 451, {}, "nope"},
    {"Uncategorized", 550, {}, "nope"},
    {"Uncategorized", 554, {5, 0, 0}, ""},
    // Not the recipient's fault, though it is named.
    {"PolicyRelated",
     550,
     {5, 7, 1},
     "<x@b.example>: Recipient address rejected: Message refused by local policy"},
    {"InvalidSender",
     554,
     {5, 7, 1},
     "<x@b.example>: Sender address rejected: Domain does not exist"},
};

TEST(BounceClassifier, KnowsTheUsualReplies) {
    const auto made = classifier::make_default();
    for (const reply_case& c : replies) {
        EXPECT_EQ(made->classify(c.code, c.status, c.text), c.name)
            << c.code << ' ' << smtp::to_text(c.status) << ' ' << c.text;
    }
}

TEST(BounceClassifier, OnlyRecipientsAreHard) {
    const auto made = classifier::make_default();
    for (const char* hard : {"InvalidRecipient", "BadDomain", "InactiveMailbox"}) {
        EXPECT_TRUE(made->is_hard(hard));
    }
    for (const char* soft : {"SpamBlock", "PolicyRelated", "QuotaIssues", "Uncategorized", ""}) {
        EXPECT_FALSE(made->is_hard(soft));
    }
    for (const reply_case& c : replies) {
        if (std::string_view(c.name).starts_with("Spam")) {
            EXPECT_FALSE(made->is_hard(made->classify(c.code, c.status, c.text))) << c.text;
        }
    }
}

TEST(BounceClassifier, HostileTextsEndInAClass) {
    const auto made = classifier::make_default();
    EXPECT_EQ(made->classify(550, {}, std::string(1'000'000, 'x')), "Uncategorized");
    EXPECT_EQ(made->classify(550, {}, std::string("\0\xff\r\n", 4)), "Uncategorized");
    // Behind the bound.
    EXPECT_EQ(made->classify(550, {}, std::string(text_bytes_max, 'x') + " user unknown"),
              "Uncategorized");
    // Lines are one.
    EXPECT_EQ(made->classify(550, {}, "user\nunknown"), "InvalidRecipient");
    std::string many;
    while (many.size() < text_bytes_max) {
        many += "user mailbox message content connection spam server ";
    }
    EXPECT_FALSE(made->classify(550, {}, many).empty());
}

TEST(BounceClassifier, IsSharedByThreads) {
    const auto made = classifier::make_default();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (const reply_case& c : replies) {
                EXPECT_EQ(made->classify(c.code, c.status, c.text), c.name);
            }
        });
    }
    for (std::thread& one : threads) {
        one.join();
    }
}

TEST(BounceRules, TheShippedOnesAreMany) {
    const auto rules = parse_rules(default_rules_text, "rules.json");
    ASSERT_TRUE(rules) << config::to_text(rules.error());
    const std::set<std::string> names = {"InvalidRecipient",
                                         "DNSFailure",
                                         "SpamBlock",
                                         "SpamContent",
                                         "ProhibitedAttachment",
                                         "RelayDenied",
                                         "AutoReply",
                                         "TransientFailure",
                                         "Subscribe",
                                         "Unsubscribe",
                                         "ChallengeResponse",
                                         "BadConfiguration",
                                         "BadConnection",
                                         "BadDomain",
                                         "ContentRelated",
                                         "InactiveMailbox",
                                         "InvalidSender",
                                         "MessageExpired",
                                         "NoAnswerFromHost",
                                         "PolicyRelated",
                                         "ProtocolErrors",
                                         "QuotaIssues",
                                         "RelayingIssues",
                                         "RoutingErrors",
                                         "SpamRelated",
                                         "VirusRelated",
                                         "AuthenticationFailed",
                                         "TooManyRecipients",
                                         "Uncategorized"};
    std::size_t patterns = 0;
    for (const rule& one : rules->rules) {
        EXPECT_TRUE(names.contains(one.name)) << one.name;
        patterns += one.patterns.size();
    }
    EXPECT_GE(patterns, 150U);
}

TEST(BounceRules, TheFirstInTheFileWins) {
    const auto rules = parse_rules(R"({"hard": ["Mine"], "rules": [
        {"class": "Mine", "patterns": ["^550 5\\.1\\.1 a", "zzz"]},
        {"class": "Theirs", "patterns": ["a+b"]}, {"class": "Mine", "patterns": ["c"]}]})",
                                   "f");
    ASSERT_TRUE(rules);
    const auto made = classifier::make(*rules);
    ASSERT_TRUE(made);
    EXPECT_EQ((*made)->classify(550, {5, 1, 1}, "AAB"), "Mine");
    EXPECT_EQ((*made)->classify(550, {5, 1, 2}, "xaab c"), "Theirs");
    EXPECT_EQ((*made)->classify(550, {5, 1, 2}, "c"), "Mine");
    EXPECT_EQ((*made)->classify(550, {5, 1, 2}, "d"), "BadDomain");
    EXPECT_TRUE((*made)->is_hard("Mine"));
    EXPECT_FALSE((*made)->is_hard("InvalidRecipient"));
    const auto none = classifier::make(*parse_rules(R"({"rules": []})", "f"));
    ASSERT_TRUE(none);
    EXPECT_EQ((*none)->classify(452, {}, "x"), "TransientFailure");
    EXPECT_TRUE((*none)->is_hard("BadDomain"));
}

TEST(BounceRules, FaultsNameTheirPlace) {
    const std::pair<const char*, const char*> cases[] = {
        {"[]", "f:1: /: expected an object"},
        {"{", "f:1"},
        {R"({"rules": [{"class": "A", "patterns": ["(", "b"]}]})",
         "f:1: /rules/0/patterns/0: RE2: "},
        {R"({"rules": [{"class": "A", "patterns": ["b*"]}]})", "/rules/0/patterns/0: it matches"},
        {R"({"rules": [{"class": "A", "patterns": [7]}]})", "/rules/0/patterns/0: "},
        {R"({"rules": [{"class": "a b", "patterns": []}]})", "/rules/0/class: "},
        {R"({"rules": [{"class": "A"}]})", "/rules/0: "},
        {R"({"rules": [{"class": "A", "pattern": []}]})", "did you mean \"patterns\"?"},
        {R"({"hard": [1], "rules": []})", "/hard/0: "},
        {"{}", "rules"},
    };
    for (const auto& [text, expected] : cases) {
        const auto rules = parse_rules(text, "f");
        ASSERT_FALSE(rules) << text;
        EXPECT_NE(config::to_text(rules.error()).find(expected), std::string::npos)
            << config::to_text(rules.error());
    }
    EXPECT_FALSE(load_rules("/nonexistent/rules.json"));
}

} // namespace
} // namespace ebbgate::bounces
