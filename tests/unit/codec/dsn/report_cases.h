// Reports of every kind, with what a parser must find in them: for the unit test, and printed for
// parsers that others wrote.

#pragma once

#include "codec/dsn/report.h"

#include <string>
#include <vector>

namespace ebbgate::dsn {

struct found_recipient {
    std::string address;
    std::string action;
    std::string status;
    std::string original; // "rfc822; a@b", or empty.
};

struct report_case {
    std::string name; // A file's.
    dsn::report report;
    std::vector<found_recipient> found;
    std::string last_type;
};

inline constexpr byte_view usual_header = "Received: from app.acme.example by gate.example.net;\r\n"
                                          "\tTue, 24 Nov 2026 15:56:53 +0000\r\n"
                                          "Received: from [10.1.2.3] by app.acme.example\r\n"
                                          "From: Ann <ann@acme.example>\r\n"
                                          "To: bob@example.org\r\n"
                                          "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= to you\r\n"
                                          "Date: Tue, 24 Nov 2026 15:56:50 +0000\r\n"
                                          "Message-ID: <4711@acme.example>\r\n";

inline constexpr byte_view usual_whole = "From: Ann <ann@acme.example>\r\n"
                                         "Subject: hello\r\n"
                                         "Message-ID: <4711@acme.example>\r\n"
                                         "\r\n"
                                         "Hello Bob,\r\n"
                                         ".\r\n"
                                         "--=_01ABC_0\r\n"
                                         "Ann\r\n";

inline report usual_report() {
    report made;
    made.id = "01ABC";
    made.hostname = "gate.example.net";
    made.now_unix_s = 1'795'535'900;
    made.sender = "ann@acme.example";
    made.arrival_unix_s = 1'795'535'813;
    made.header = usual_header;
    return made;
}

inline reported_recipient refused(std::string address,
                                  smtp::enhanced_status status = {5, 1, 1},
                                  std::string text = "No such user") {
    reported_recipient made;
    made.address = std::move(address);
    made.reply = {550, status, std::move(text)};
    made.remote_name = "mx.example.org";
    made.last_attempt_unix_s = 1'795'535'899;
    return made;
}

inline std::vector<report_case> report_cases() {
    std::vector<report_case> all;
    const auto add = [&all](std::string name) -> report_case& {
        all.push_back({std::move(name), usual_report(), {}, "text/rfc822-headers"});
        return all.back();
    };
    const std::string bob = "bob@example.org";
    {
        report_case& c = add("failed");
        c.report.recipients = {refused(bob)};
        c.found = {{bob, "failed", "5.1.1", ""}};
    }
    {
        report_case& c = add("failed_all_parameters");
        c.report.envelope_id = "QQ314159+2B+20x";
        c.report.recipients = {refused(bob)};
        c.report.recipients[0].original = "rfc822;Bob+2Bnews@example.com";
        c.found = {{bob, "failed", "5.1.1", "rfc822; Bob+news@example.com"}};
    }
    {
        report_case& c = add("failed_whole");
        c.report.ret = message::dsn_return::full;
        c.report.header = usual_whole.substr(0, usual_whole.find("\r\n\r\n") + 2);
        c.report.whole = usual_whole;
        c.report.recipients = {refused(bob)};
        c.found = {{bob, "failed", "5.1.1", ""}};
        c.last_type = "message/rfc822";
    }
    {
        report_case& c = add("several");
        c.report.recipients = {refused(bob),
                               refused("carl@example.org", {5, 2, 2}, "Mailbox full"),
                               refused("\"d e\"@example.org", {}, "Transaction failed")};
        c.report.recipients[2].reply.code = 554;
        c.found = {{bob, "failed", "5.1.1", ""},
                   {"carl@example.org", "failed", "5.2.2", ""},
                   {"\"d e\"@example.org", "failed", "5.0.0", ""}};
    }
    {
        report_case& c = add("expired");
        c.report.recipients = {refused(bob)};
        c.report.recipients[0].expired = true;
        c.report.recipients[0].remote_name = "";
        c.report.recipients[0].reply = {0, {}, "connect to 10.20.30.40:25: Connection timed out"};
        c.found = {{bob, "failed", "4.4.7", ""}};
    }
    {
        report_case& c = add("delayed");
        c.report.recipients = {refused(bob, {4, 2, 1}, "Try again later")};
        c.report.recipients[0].action = action::delayed;
        c.report.recipients[0].reply.code = 450;
        c.report.recipients[0].retry_until_unix_s = 1'795'900'000;
        c.found = {{bob, "delayed", "4.2.1", ""}};
    }
    {
        report_case& c = add("relayed");
        c.report.recipients = {refused(bob, {}, "Ok: queued as 17")};
        c.report.recipients[0].action = action::relayed;
        c.report.recipients[0].reply.code = 250;
        c.found = {{bob, "relayed", "2.0.0", ""}};
    }
    {
        report_case& c = add("delivered");
        c.report.ret = message::dsn_return::full; // Holds for failures only.
        c.report.whole = usual_whole;
        c.report.recipients = {refused(bob)};
        c.report.recipients[0].action = action::delivered;
        c.report.recipients[0].reply = {250, {2, 1, 5}, "Ok"};
        c.found = {{bob, "delivered", "2.1.5", ""}};
    }
    {
        report_case& c = add("failed_and_delayed");
        c.report.recipients = {refused("late@example.org", {4, 7, 1}, "Greylisted"), refused(bob)};
        c.report.recipients[0].action = action::delayed;
        c.report.recipients[0].reply.code = 451;
        c.found = {{"late@example.org", "delayed", "4.7.1", ""}, {bob, "failed", "5.1.1", ""}};
    }
    {
        report_case& c = add("words_in_utf8");
        c.report.from_name = "Poststelle \xc3\x96sterreich (gate)";
        c.report.recipients = {refused(bob,
                                       {5, 2, 1},
                                       "Postfach geschlossen, Gr\xc3\xbc\xc3\x9f"
                                       "e")};
        c.found = {{bob, "failed", "5.2.1", ""}};
    }
    {
        report_case& c = add("global");
        c.report.smtputf8 = true;
        c.report.header =
            "From: J\xc3\xb6rg <j\xc3\xb6rg@acme.example>\r\nMessage-ID: <1@acme.example>\r\n";
        c.report.sender = "j\xc3\xb6rg@acme.example";
        c.report.recipients = {refused("\xe7\x94\xb0@example.org")};
        c.report.recipients[0].original = "utf-8;\\x{7530}@example.com";
        c.found = {
            {"\xe7\x94\xb0@example.org", "failed", "5.1.1", "utf-8; \xe7\x94\xb0@example.com"}};
        c.last_type = "message/global-headers";
    }
    {
        report_case& c = add("hostile");
        c.report.sender = "ann@acme.example\r\nBcc: x@y.example";
        c.report.envelope_id = "a+0D+0AFinal-Recipient:+20x";
        c.report.header = "Subject: =?utf-8?Q?a=0D=0AAction:_failed?=\r\nMessage-ID: <a\rb@c>\r\n"
                          "X: a\nb\r\n\r\nnot a header\r\n";
        c.report.recipients = {refused(bob,
                                       {5, 1, 1},
                                       "x\r\n\r\nFinal-Recipient: rfc822; z@z.example\nAction: "
                                       "delivered\n--=_01ABC_0--\x1b[2J" +
                                           std::string(5'000, 'y'))};
        c.report.recipients[0].remote_name = "mx\r\nX: y";
        c.report.recipients[0].original = "rfc822;a+0D+0AAction:+20failed";
        c.found = {{bob, "failed", "5.1.1", ""}};
    }
    return all;
}

} // namespace ebbgate::dsn
