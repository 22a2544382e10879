// The lines are compared byte for byte, and no text of a peer may make a second line or field.

#include "stage/outcome/escape.h"
#include "stage/outcome/text_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

namespace ebbgate::outcome {
namespace {

constexpr std::int64_t noon_us = 1'795'500'000'123'456; // 2026-11-24T06:00:00.123456Z

class TextLog : public ::testing::Test {
protected:
    void SetUp() override {
        setenv("TZ", "UTC", 1);
        tzset();
    }

    text_log log_{"gate.example", 42};
    std::string out_;
    client client_{"mx.far.example", "192.0.2.7"};
};

TEST_F(TextLog, AMessagesLifeReadsAsInPostfix) {
    log_.append_connect(out_, noon_us, client_);
    log_.append_client(out_, noon_us, "0QX3", client_, "PLAIN", "mailer@acme.example");
    log_.append_message_id(out_, noon_us, "0QX3", "<1@acme.example>");
    log_.append_from(out_, noon_us, "0QX3", "a@acme.example", 1234, 2);
    delivery sent;
    sent.queue_id = "0QX3";
    sent.recipient = "b@far.test";
    sent.relay_name = "mx.far.test";
    sent.relay_address = "198.51.100.1";
    sent.relay_port = 25;
    sent.before_queue_us = 100'000;
    sent.connection_us = 300'000;
    sent.transmission_us = 800'000;
    sent.dsn = "2.0.0";
    sent.text = "250 2.0.0 OK";
    log_.append_delivery(out_, noon_us, sent);
    sent.connection_uses = 3;
    sent.tls = "may";
    sent.original_recipient = "c@far.test";
    sent.status = delivery_status::deferred;
    sent.dsn = "4.4.1";
    sent.relay_name = {};
    sent.transmission_us = 65'400'000;
    sent.text = "connect to mx.far.test[198.51.100.1]:25: Connection refused";
    log_.append_delivery(out_, noon_us, sent);
    log_.append_removed(out_, noon_us, "0QX3");
    session_counts counts;
    counts.ehlo = {2, 2};
    counts.starttls = {1, 1};
    counts.auth = {0, 1};
    log_.append_disconnect(out_, noon_us, client_, counts);
    EXPECT_EQ(
        out_,
        "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: connect from mx.far.example[192.0.2.7]\n"
        "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: 0QX3: client=mx.far.example[192.0.2.7], "
        "sasl_method=PLAIN, sasl_username=mailer@acme.example\n"
        "Nov 24 06:00:00 gate.example ebbgate/cleanup[42]: 0QX3: message-id=<1@acme.example>\n"
        "Nov 24 06:00:00 gate.example ebbgate/qmgr[42]: 0QX3: from=<a@acme.example>, size=1234, "
        "nrcpt=2 (queue active)\n"
        "Nov 24 06:00:00 gate.example ebbgate/smtp[42]: 0QX3: to=<b@far.test>, "
        "relay=mx.far.test[198.51.100.1]:25, delay=1.2, delays=0.1/0/0.3/0.8, dsn=2.0.0, "
        "status=sent (250 2.0.0 OK)\n"
        "Nov 24 06:00:00 gate.example ebbgate/smtp[42]: 0QX3: to=<b@far.test>, "
        "orig_to=<c@far.test>, relay=none, conn_use=3, delay=66, delays=0.1/0/0.3/65, tls=may, "
        "dsn=4.4.1, status=deferred (connect to mx.far.test[198.51.100.1]:25: Connection refused)\n"
        "Nov 24 06:00:00 gate.example ebbgate/qmgr[42]: 0QX3: removed\n"
        "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: disconnect from mx.far.example[192.0.2.7] "
        "ehlo=2 starttls=1 auth=0/1 commands=3/4\n");
}

TEST_F(TextLog, RefusalsReadAsInPostfix) {
    reject refused;
    refused.stage = "RCPT";
    refused.client = client_;
    refused.code = 553;
    refused.text = "5.7.1 <a@x.test>: Sender address rejected: not owned by user u";
    refused.from = "a@x.test";
    refused.to = "b@y.test";
    refused.has_from = refused.has_to = true;
    refused.helo = "h.test";
    refused.sasl_username = "u";
    log_.append_reject(out_, noon_us, refused);
    log_.append_auth_failure(out_, noon_us, client_, "PLAIN", "authentication failure", "u");
    log_.append_lost_connection(out_, noon_us, client_, "AUTH");
    log_.append_lost_connection(out_, noon_us, client_, "DATA", true);
    log_.append_disconnect(out_, noon_us, client_, {});
    log_.append_text(out_, noon_us, "master", "reload\nfake");
    EXPECT_EQ(out_,
              "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: NOQUEUE: reject: RCPT from "
              "mx.far.example[192.0.2.7]: 553 5.7.1 <a@x.test>: Sender address rejected: not owned "
              "by user u; from=<a@x.test> to=<b@y.test> proto=ESMTP helo=<h.test> "
              "sasl_username=u\n"
              "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: warning: mx.far.example[192.0.2.7]: "
              "SASL PLAIN authentication failed: authentication failure, sasl_username=u\n"
              "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: lost connection after AUTH from "
              "mx.far.example[192.0.2.7]\n"
              "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: timeout after DATA from "
              "mx.far.example[192.0.2.7]\n"
              "Nov 24 06:00:00 gate.example ebbgate/smtpd[42]: disconnect from "
              "mx.far.example[192.0.2.7] commands=0/0\n"
              "Nov 24 06:00:00 gate.example ebbgate/master[42]: reload?fake\n");
}

std::vector<std::string> hostile_texts() {
    std::string every_byte;
    for (int byte = 0; byte < 256; ++byte) {
        every_byte += static_cast<char>(byte);
    }
    return {"a\r\nNov 24 06:00:00 gate ebbgate/smtpd[1]: connect from fake[1.2.3.4]",
            std::string("nul\0nul", 7),
            "\x1b[2J\x1b]0;title\x07",
            "\xff\xfe\xc0\xaf",
            "\xc2\x9b[2J",
            "\xe2\x82",
            "a>, relay=fake[1.2.3.4]:25, status=sent (<",
            every_byte,
            std::string(100'000, 'x'),
            std::string(100'000, '\xe2'),
            "\xe2\x80\xa8"};
}

TEST_F(TextLog, NoPeerTextMakesASecondLineOrAControlCharacter) {
    for (const std::string& text : hostile_texts()) {
        const client hostile{text, text};
        reject refused{text, hostile, 550, text, text, text, text, text, text, true, true};
        refused.stage = "RCPT"; // Ours, like queue ids.
        delivery tried;
        tried.queue_id = "Q";
        tried.recipient = tried.original_recipient = text;
        tried.relay_name = tried.relay_address = tried.tls = tried.dsn = tried.text = text;
        const std::vector<std::function<void()>> calls = {
            [&] { log_.append_connect(out_, noon_us, hostile); },
            [&] { log_.append_disconnect(out_, noon_us, hostile, {}); },
            [&] { log_.append_lost_connection(out_, noon_us, hostile, text); },
            [&] { log_.append_auth_failure(out_, noon_us, hostile, text, text, text); },
            [&] { log_.append_reject(out_, noon_us, refused); },
            [&] { log_.append_client(out_, noon_us, "Q", hostile, text, text); },
            [&] { log_.append_message_id(out_, noon_us, "Q", text); },
            [&] { log_.append_from(out_, noon_us, "Q", text, 1, 1); },
            [&] { log_.append_delivery(out_, noon_us, tried); },
            [&] { log_.append_text(out_, noon_us, "smtpd", text); },
        };
        for (const auto& call : calls) {
            out_.clear();
            call();
            ASSERT_TRUE(out_.ends_with('\n'));
            EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1);
            EXPECT_LT(out_.size(), 8192U);
            EXPECT_FALSE(std::any_of(out_.begin(), out_.end() - 1, [](char c) {
                return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
            }));
            EXPECT_EQ(out_.find("\xc2\x9b"), std::string::npos);
        }
    }
}

TEST_F(TextLog, AnAddressCannotEndItsOwnField) {
    log_.append_from(out_, noon_us, "Q", "a> , size=0 <b", 5, 1);
    EXPECT_EQ(out_,
              "Nov 24 06:00:00 gate.example ebbgate/qmgr[42]: Q: from=<a????size=0??b>, "
              "size=5, nrcpt=1 (queue active)\n");
}

TEST(LogText, CuttingNeverSplitsACharacter) {
    const std::string text = "a\xe2\x82\xac\xe2\x82\xac";
    EXPECT_EQ(cut_text(text, 100), text);
    EXPECT_EQ(cut_text(text, 6), "a\xe2\x82\xac");
    EXPECT_EQ(cut_text(text, 5), "a\xe2\x82\xac");
    EXPECT_EQ(cut_text(text, 4), "a\xe2\x82\xac");
    EXPECT_EQ(cut_text(text, 3), "a");
    EXPECT_EQ(cut_text(text, 0), "");
    std::string out;
    append_printable(out, std::string(20, 'y'), 10);
    EXPECT_EQ(out, "yyyyyyyyyy...");
}

TEST(ClockText, SecondsAreCachedButNeverWrong) {
    setenv("TZ", "UTC", 1);
    tzset();
    clock_text clock;
    const auto rfc3339 = [&clock](std::int64_t unix_us) {
        std::string out;
        clock.append_rfc3339(out, unix_us);
        return out;
    };
    EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(rfc3339(999'999), "1970-01-01T00:00:00.999999Z");
    EXPECT_EQ(rfc3339(1'000'000), "1970-01-01T00:00:01.000000Z");
    EXPECT_EQ(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
    EXPECT_EQ(rfc3339(noon_us), "2026-11-24T06:00:00.123456Z");
    EXPECT_EQ(rfc3339(1'709'164'799'000'000), "2024-02-28T23:59:59.000000Z");
    std::string out;
    clock.append_syslog(out, 1'788'585'845'000'000);
    EXPECT_EQ(out, "Sep  5 05:24:05");
}

} // namespace
} // namespace ebbgate::outcome
