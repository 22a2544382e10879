// Each record must be one line that our own parser reads back, whatever a peer said.

#include "codec/json/document.h"
#include "stage/outcome/event.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace ebbgate::outcome {
namespace {

constexpr std::int64_t event_us = 1'795'500'000'123'456;

TEST(Event, ADeliveryHasItsFieldsInOneLine) {
    const std::array<std::string_view, 1> recipients = {"b@far.test"};
    const std::array<std::pair<std::string_view, std::string_view>, 1> meta = {{{"x_job", "7"}}};
    event record;
    record.type = event_type::delivery;
    record.id = "0QX3";
    record.sender = "a@acme.example";
    record.recipients = recipients;
    record.queue = "acme@far.test";
    record.site = "mx.far.test:25";
    record.size = 1234;
    record.response = {250, enhanced_code{2, 0, 0}, "OK", "."};
    record.peer_address = peer{"mx.far.test", "198.51.100.1:25"};
    record.event_unix_us = event_us;
    record.created_unix_us = event_us - 2'000'000;
    record.num_attempts = 1;
    record.source_address = "192.0.2.1:40000";
    record.delivery_protocol = "ESMTP";
    record.tls_cipher = "TLS_AES_128_GCM_SHA256";
    record.tls_protocol_version = "TLSv1.3";
    record.tls_peer_subject_name = "mx.far.test";
    record.session_id = "s1";
    record.meta = meta;
    std::string out;
    event_writer writer;
    writer.append(out, record);
    EXPECT_EQ(
        out,
        R"({"type":"Delivery","id":"0QX3","sender":"a@acme.example","recipient":"b@far.test",)"
        R"("queue":"acme@far.test","site":"mx.far.test:25","size":1234,)"
        R"("response":{"code":250,"enhanced_code":{"class":2,"subject":0,"detail":0},)"
        R"("content":"OK","command":"."},"peer_address":{"name":"mx.far.test",)"
        R"("addr":"198.51.100.1:25"},"timestamp":1795500000,)"
        R"("event_time":"2026-11-24T06:00:00.123456Z","created":1795499998,)"
        R"("created_time":"2026-11-24T05:59:58.123456Z","num_attempts":1,)"
        R"("bounce_classification":"Uncategorized","source_address":{"address":"192.0.2.1:40000"},)"
        R"("delivery_protocol":"ESMTP","tls_cipher":"TLS_AES_128_GCM_SHA256",)"
        R"("tls_protocol_version":"TLSv1.3","tls_peer_subject_name":["mx.far.test"],)"
        R"("session_id":"s1","meta":{"x_job":"7"}})"
        "\n");
}

TEST(Event, SeveralRecipientsAreAnArrayAndTooManyAreCounted) {
    event record;
    std::vector<std::string_view> recipients(2, "a@b");
    record.recipients = recipients;
    std::string out;
    event_writer writer;
    writer.append(out, record);
    auto parsed = json::document::parse(out);
    EXPECT_EQ(parsed->root().find("recipient")->children().size(), 2U);
    recipients.resize(1500, "a@b");
    record.recipients = recipients;
    out.clear();
    writer.append(out, record);
    parsed = json::document::parse(out);
    EXPECT_EQ(parsed->root().find("recipient")->children().size(), event_writer::recipients_max);
    EXPECT_EQ(parsed->root().find("recipients_left_out")->integer(), 500);
}

TEST(Event, HostileTextStaysInItsString) {
    std::string every_byte;
    for (int byte = 0; byte < 256; ++byte) {
        every_byte += static_cast<char>(byte);
    }
    const std::vector<std::string> texts = {"a\r\n{\"type\":\"Delivery\"}",
                                            std::string("\0", 1),
                                            "\x1b[2J",
                                            "\"}\n",
                                            "\xff\xfe",
                                            every_byte,
                                            std::string(100'000, '\x01'),
                                            std::string(100'000, '\xe2'),
                                            "\\"};
    for (const std::string& text : texts) {
        const std::array<std::string_view, 2> recipients = {text, text};
        const std::array<std::pair<std::string_view, std::string_view>, 1> meta = {{{text, text}}};
        event record;
        record.sender = record.queue = record.site = record.session_id = text;
        record.egress_source = record.source_address = record.tls_cipher = text;
        record.recipients = recipients;
        record.response = {550, std::nullopt, text, text};
        record.peer_address = peer{text, text};
        record.meta = meta;
        std::string out;
        event_writer writer;
        writer.append(out, record);
        EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
        EXPECT_TRUE(std::none_of(out.begin(), out.end() - 1, [](char c) {
            return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
        }));
        EXPECT_LT(out.size(), 200'000U);
        const auto parsed = json::document::parse(out);
        ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
        EXPECT_EQ(parsed->root().find("type")->text(), "Reception");
    }
}

struct code_case {
    std::string_view text;
    bool found;
    std::string_view rest;
};

constexpr code_case codes[] = {
    {"2.0.0 Ok: queued", true, "Ok: queued"},
    {"5.7.26", true, ""},
    {"4.10.999 x", true, "x"},
    {"Ok", false, "Ok"},
    {"3.1.1 x", false, "3.1.1 x"},
    {"5.7", false, "5.7"},
    {"5.7.1x", false, "5.7.1x"},
    {"5.7.1000 x", false, "5.7.1000 x"},
    {"-5.7.1 x", false, "-5.7.1 x"},
    {"", false, ""},
};

TEST(Event, EnhancedCodesAreTakenFromTheFrontOfAText) {
    for (const code_case& c : codes) {
        std::string_view text = c.text;
        EXPECT_EQ(take_enhanced_code(text).has_value(), c.found) << c.text;
        EXPECT_EQ(text, c.rest);
    }
}

} // namespace
} // namespace ebbgate::outcome
