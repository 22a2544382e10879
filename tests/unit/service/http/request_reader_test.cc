// Requests cut at every byte say the same, and what could be read in two ways is refused.

#include "service/http/request_reader.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace ebbgate::http {
namespace {

constexpr std::size_t body_max = 64;

struct outcome {
    std::vector<request> requests;
    std::uint16_t refused = 0; // 0: not.

    [[nodiscard]] std::string text() const {
        std::string all;
        for (const request& one : requests) {
            all += one.method + '|' + one.path + '|' + one.query + '|' + one.body + '|';
            all += one.keep_alive ? "keep" : "close";
            for (const header& field : one.headers) {
                all += '|' + field.name + '=' + field.value;
            }
            all += '\n';
        }
        return all + std::to_string(refused);
    }
};

reader_limits limits_of(std::size_t header_bytes_max = 16 * kib) {
    return {header_bytes_max, 100, [](const request& head) -> std::size_t {
                return head.path == "/none" ? 0 : body_max;
            }};
}

// In pieces of `first`, then `step` bytes each.
outcome read(std::string_view text, std::size_t first, std::size_t step, reader_limits limits) {
    request_reader reader(std::move(limits));
    outcome got;
    std::size_t length = first;
    while (!text.empty()) {
        const std::string piece(text.substr(0, length));
        text.remove_prefix(piece.size());
        std::size_t taken = 0;
        while (taken < piece.size()) {
            taken += reader.feed(std::string_view(piece).substr(taken));
            if (reader.now() == request_reader::state::failed) {
                got.refused = reader.status();
                return got;
            }
            if (reader.now() == request_reader::state::done) {
                got.requests.push_back(reader.take());
            }
        }
        length = step;
    }
    return got;
}

outcome read(std::string_view text) {
    return read(text, text.size(), 1, limits_of());
}

std::string get(std::string_view fields) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

TEST(http_request_reader, a_request_is_split_into_its_parts) {
    const outcome got =
        read("POST /a/b%20c?x=1&y=%41 HTTP/1.1\r\nHost: h:1\r\nX-Odd:  two words \t\r\n"
             "content-length: 5\r\n\r\nhello");
    ASSERT_EQ(got.requests.size(), 1U);
    const request& one = got.requests.front();
    EXPECT_EQ(one.method, "POST");
    EXPECT_EQ(one.path, "/a/b%20c");
    EXPECT_EQ(one.query, "x=1&y=%41");
    EXPECT_EQ(one.find("HOST"), "h:1");
    EXPECT_EQ(one.find("x-odd"), "two words");
    EXPECT_EQ(one.find("absent"), "");
    EXPECT_EQ(one.body, "hello");
    EXPECT_TRUE(one.keep_alive);
}

TEST(http_request_reader, every_cut_of_pipelined_requests_says_the_same) {
    const std::string text =
        get("") + "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n\r\n\r\n\r\n" +
        "hello" +
        "PUT /y?q HTTP/1.1\r\nContent-Length: 013\r\nHost: a\r\nX: long\r\n\r\n"
        "abc0123456789"
        "HEAD /z HTTP/1.0\r\n\r\n" +
        "GET /last HTTP/1.1\r\nhost: b\r\nConnection: foo, Close\r\n\r\n" + "G@T";
    const outcome whole = read(text);
    ASSERT_EQ(whole.requests.size(), 5U) << whole.text();
    EXPECT_EQ(whole.requests[1].body, "\r\n\r\n\r\nhello");
    EXPECT_EQ(whole.requests[2].body, "abc0123456789");
    EXPECT_EQ(whole.requests[2].find("x"), "long");
    EXPECT_FALSE(whole.requests[3].keep_alive);
    EXPECT_FALSE(whole.requests[4].keep_alive);
    for (std::size_t first = 1; first < text.size(); ++first) {
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, text.size()}) {
            ASSERT_EQ(read(text, first, step, limits_of()).text(), whole.text())
                << first << " " << step;
        }
    }
}

struct refusal_case {
    const char* name;
    std::string text;
    std::uint16_t status;
};

const refusal_case refusals[] = {
    {"length and coding",
     get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
     400},
    {"coding and length",
     get("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + "0\r\n\r\n",
     400},
    {"two lengths", get("Content-Length: 5\r\nContent-Length: 6\r\n") + "hello", 400},
    {"two equal lengths", get("Content-Length: 5\r\nContent-Length: 5\r\n") + "hello", 400},
    {"a list of lengths", get("Content-Length: 5, 5\r\n") + "hello", 400},
    {"a signed length", get("Content-Length: +5\r\n") + "hello", 400},
    {"a negative length", get("Content-Length: -1\r\n"), 400},
    {"a length in hexadecimal", get("Content-Length: 0x5\r\n") + "hello", 400},
    {"an empty length", get("Content-Length:\r\n"), 400},
    {"a length beyond 64 bits", get("Content-Length: 18446744073709551621\r\n"), 400},
    {"another coding", get("Transfer-Encoding: gzip\r\n"), 501},
    {"a coding like chunked", get("Transfer-Encoding: xchunked\r\n"), 501},
    {"chunked not last", get("Transfer-Encoding: chunked, identity\r\n"), 501},
    {"more than chunked", get("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", 501},
    {"an empty coding", get("Transfer-Encoding:\r\n"), 501},
    {"two codings", get("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"chunked twice", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"a folded line", get("X: a\r\n Content-Length: 5\r\n") + "hello", 400},
    {"a line folded by a tab", get("X: a\r\n\tb\r\n"), 400},
    {"a folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"a blank before the colon", get("Content-Length : 5\r\n") + "hello", 400},
    {"a line feed alone in the header", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400},
    {"a carriage return alone", get("X: a\rb\r\n"), 400},
    {"a NUL", get(std::string("X: a\0b\r\n", 8)), 400},
    {"no name", get(": x\r\n"), 400},
    {"no colon", get("Nothing\r\n"), 400},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", get("Host: b\r\n"), 400},
    {"two authorizations", get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400},
    {"absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"authority form", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a tab for a blank", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"HTTP/0.9", "GET /\r\n\r\n", 400},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400},
    {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    {"an empty line", "\r\n\r\n", 400},
    {"another expectation", get("Expect: a miracle\r\n"), 417},
    {"a body too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n", 413},
    {"a body where none may be",
     "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
     413},
    {"chunks", get("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 411},
    {"chunks in capitals", get("TRANSFER-ENCODING: Chunked\r\n") + "1\r\na\r\n0\r\n\r\n", 411},
    {"too many fields",
     get([] {
         std::string fields;
         for (int count = 0; count < 100; ++count) {
             fields += "A: b\r\n";
         }
         return fields;
     }()),
     431},
};

TEST(http_request_reader, what_is_wrong_or_doubtful_is_refused_however_it_is_cut) {
    for (const refusal_case& c : refusals) {
        SCOPED_TRACE(c.name);
        for (const std::size_t step : {c.text.size(), std::size_t{1}, std::size_t{3}}) {
            const outcome got = read(c.text, step, step, limits_of());
            EXPECT_EQ(got.refused, c.status) << got.text();
            EXPECT_TRUE(got.requests.empty());
        }
    }
}

TEST(http_request_reader, a_header_has_its_bound_to_the_byte) {
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    constexpr std::size_t most = 200;
    for (const std::size_t over : {std::size_t{0}, std::size_t{1}}) {
        const std::string text =
            head + std::string(most - head.size() - 4 + over, 'x') + "\r\n\r\n";
        ASSERT_EQ(text.size(), most + over);
        for (const std::size_t step : {text.size(), std::size_t{1}, std::size_t{9}}) {
            const outcome got = read(text, step, step, limits_of(most));
            EXPECT_EQ(got.requests.size(), over == 0 ? 1U : 0U);
            EXPECT_EQ(got.refused, over == 0 ? 0 : 431);
        }
    }
    // One that never ends is given up there, also when each field comes alone.
    request_reader reader(limits_of(most));
    std::size_t fed = reader.feed("GET / HTTP/1.1\r\nHost: a\r\n");
    while (reader.now() == request_reader::state::reading && fed < 10 * most) {
        fed += reader.feed("A: b\r\n");
    }
    EXPECT_EQ(reader.now(), request_reader::state::failed);
    EXPECT_EQ(reader.status(), 431);
    EXPECT_LE(fed, most + 6);
}

TEST(http_request_reader, who_waits_for_100_is_told_once_and_only_before_the_body) {
    const std::string head =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n";
    request_reader reader(limits_of());
    (void)reader.feed(head);
    EXPECT_TRUE(reader.wants_continue());
    EXPECT_FALSE(reader.wants_continue());
    (void)reader.feed("x");
    EXPECT_FALSE(reader.wants_continue());
    (void)reader.feed("y");
    ASSERT_EQ(reader.now(), request_reader::state::done);
    EXPECT_EQ(reader.take().body, "xy");
    (void)reader.feed(head + "x");
    EXPECT_FALSE(reader.wants_continue()); // It did not wait.
    request_reader old(limits_of());
    (void)old.feed("POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_FALSE(old.wants_continue());
}

TEST(http_message, a_response_is_one_head_whatever_is_in_it) {
    response given = plain(200, "hello");
    given.headers.push_back({"X-Evil", "a\r\nSet-Cookie: b"});
    std::string text;
    append_head(text, given, true, 1'795'505'530);
    EXPECT_EQ(text,
              "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 07:32:10 GMT\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n"
              "X-Content-Type-Options: nosniff\r\nX-Evil: a  Set-Cookie: b\r\n"
              "Cache-Control: no-store\r\nConnection: keep-alive\r\n\r\n");
    given.headers = {{"cache-control", "max-age=5"}};
    text.clear();
    append_head(text, given, false, 0);
    EXPECT_NE(text.find("max-age=5"), std::string::npos);
    EXPECT_EQ(text.find("no-store"), std::string::npos);
    EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos);
}

} // namespace
} // namespace ebbgate::http
