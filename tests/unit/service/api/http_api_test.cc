// Nobody gets past the token, each refusal has its status, and guessing has its bound.

#include "codec/json/document.h"
#include "crypto/token.h"
#include "service/api/http_api.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace ebbgate::api {
namespace {

using namespace std::chrono_literals;

class http_api_test : public testing::Test {
protected:
    http_api_test()
        : commands_([this](std::string_view token) { return whose(token); },
                    [](const admin::request&) {}),
          api_(
              commands_,
              [this](std::string_view token) {
                  ++checks_;
                  return whose(token);
              },
              [this] { return "metrics " + std::to_string(++collected_) + "\n"; }) {
        const auto run = [this](const admin::request& asked) {
            // The law of this file: whoever comes here has a good token.
            EXPECT_NE(asked.administrator(), nullptr);
            EXPECT_EQ(asked.from().uid, http_api::no_uid);
            asked_ = std::string(asked.command()) + " " + std::string(asked.text("tenant")) + " " +
                     std::string(asked.text("pattern")) + " " +
                     std::to_string(asked.number("after")) + " " +
                     std::to_string(asked.number("rows"));
            return answer_;
        };
        const admin::argument tenant{"tenant", admin::argument_kind::text, true, 64};
        const admin::argument pattern{"pattern", admin::argument_kind::text, true, 320};
        const admin::argument after{"after", admin::argument_kind::number, false};
        const admin::argument rows{"rows", admin::argument_kind::number, false};
        const auto tenants = admin::permission::tenants;
        commands_.add({"sender add", {tenant, pattern}, tenants, run});
        commands_.add({"sender remove", {tenant, pattern}, tenants, run});
        commands_.add({"sender list", {tenant, after, rows}, tenants, run});
        commands_.add({"status", {}, admin::permission::operators, run, true});
    }

    std::optional<admin::tenant_administrator> whose(std::string_view token) const {
        return token == good_ ? std::optional(admin::tenant_administrator{"acme", "label"})
                              : std::nullopt;
    }

    http::response ask(std::string method,
                       std::string path,
                       std::optional<std::string> authorization = std::nullopt,
                       std::string body = "",
                       std::string query = "") {
        http::request asked;
        asked.method = std::move(method);
        asked.path = std::move(path);
        asked.query = std::move(query);
        asked.body = std::move(body);
        asked.headers.push_back({"Host", host_});
        if (authorization) {
            asked.headers.push_back({"authorization", *authorization});
        }
        return api_.answer(asked, now_);
    }

    [[nodiscard]] std::string bearer() const { return "Bearer " + good_; }

    static std::string header_of(const http::response& given, std::string_view name) {
        for (const http::header& one : given.headers) {
            if (one.name == name) {
                return one.value;
            }
        }
        return "";
    }

    const std::string good_ = crypto::make_token();
    std::string host_ = "127.0.0.1:8025";
    std::string answer_ = R"({"ok":true,"changed":true,"in_force":true})";
    std::string asked_;
    int checks_ = 0;
    int collected_ = 0;
    http_api::clock::time_point now_ = http_api::clock::now();
    admin::dispatcher commands_;
    http_api api_;
};

constexpr const char* senders = "/api/v1/senders";

TEST_F(http_api_test, each_method_is_its_command_for_the_tokens_tenant) {
    EXPECT_EQ(ask("POST", senders, bearer(), R"({"pattern": "@acme.example"})").status, 200);
    EXPECT_EQ(asked_, "sender add acme @acme.example 0 0");
    EXPECT_EQ(ask("DELETE", senders, "bearer   " + good_, R"({"pattern": "a\"b@x"})").status, 200);
    EXPECT_EQ(asked_, "sender remove acme a\"b@x 0 0");
    EXPECT_EQ(ask("GET", senders, bearer(), "", "rows=5&after=17").status, 200);
    EXPECT_EQ(asked_, "sender list acme  17 5");
    const http::response listed = ask("HEAD", senders, bearer());
    EXPECT_EQ(listed.status, 200);
    EXPECT_EQ(listed.content_type, "application/json");
    EXPECT_EQ(listed.body, answer_ + "\n");
}

TEST_F(http_api_test, without_a_good_token_nothing_is_done) {
    const std::optional<std::string> wrong[] = {std::nullopt,
                                                "",
                                                "Bearer",
                                                "Bearer ",
                                                "Bearer x",
                                                "Basic " + good_,
                                                good_,
                                                bearer() + " ",
                                                bearer() + ",",
                                                "Bearer " + crypto::make_token()};
    for (const auto& one : wrong) {
        for (const char* path : {senders, "/", "/api/v1/none", "/metrics/", "/healthz/../api"}) {
            const http::response got = ask("POST", path, one, R"({"pattern": "@acme.example"})");
            EXPECT_EQ(got.status, 401) << one.value_or("none");
            EXPECT_TRUE(header_of(got, "WWW-Authenticate").starts_with("Bearer realm="));
            EXPECT_EQ(got.body.find("ebbgate_"), std::string::npos);
        }
        now_ += 1min;
    }
    EXPECT_EQ(asked_, "");
}

TEST_F(http_api_test, no_body_and_no_query_smuggles_another_member) {
    const char* bodies[] = {
        "",
        "{}",
        "[]",
        "\"x\"",
        "{\"pattern\": 5}",
        "{\"pattern\": null}",
        "{\"pattern\": \"a\", \"tenant\": \"bolt\"}",
        "{\"pattern\": \"a\", \"pattern\": \"b\"}",
        "{\"pattern\": \"a\"}, \"token\": \"x\"",
        "{\"pattern\": [[[[[[\"a\"]]]]]]}",
        "{\"pattern\": \"\xff\"}",
    };
    for (const char* body : bodies) {
        EXPECT_EQ(ask("POST", senders, bearer(), body).status, 400) << body;
        EXPECT_EQ(ask("DELETE", senders, bearer(), body).status, 400) << body;
    }
    EXPECT_EQ(ask("POST", senders, bearer(), R"({"pattern": "a"})", "x=y").status, 400);
    for (const char* query : {"x=1",
                              "after",
                              "after=",
                              "after=-1",
                              "after=1&after=1",
                              "rows=1x",
                              "rows=%31",
                              "&",
                              "after=99999999999999999999",
                              "after=9007199254740993",
                              "tenant=bolt"}) {
        EXPECT_EQ(ask("GET", senders, bearer(), "", query).status, 400) << query;
    }
    EXPECT_EQ(ask("GET", senders, bearer(), "{}").status, 400);
    EXPECT_EQ(asked_, "");
    EXPECT_EQ(ask("POST", senders, bearer(), R"({"pattern": "a\u0000b"})").status, 400);
    EXPECT_EQ(asked_, "");
    // Quotes and escapes stay inside the text.
    EXPECT_EQ(ask("POST", senders, bearer(), R"({"pattern": "\",\"tenant\":\"bolt\\"})").status,
              200);
    EXPECT_EQ(asked_, "sender add acme \",\"tenant\":\"bolt\\ 0 0");
}

TEST_F(http_api_test, each_reason_has_its_status) {
    const std::pair<admin::refusal_reason, std::uint16_t> reasons[] = {
        {admin::refusal_reason::usage, 400},
        {admin::refusal_reason::denied, 403},
        {admin::refusal_reason::refused, 409},
        {admin::refusal_reason::not_found, 404},
        {admin::refusal_reason::failed, 500},
    };
    for (const auto& [reason, status] : reasons) {
        answer_ = admin::refusal(reason, "/secret/path");
        const http::response got = ask("POST", senders, bearer(), R"({"pattern": "x"})");
        EXPECT_EQ(got.status, status);
        EXPECT_EQ(got.body.find("/secret/path") == std::string::npos, status == 500);
    }
    answer_ = "nonsense";
    EXPECT_EQ(ask("POST", senders, bearer(), R"({"pattern": "x"})").status, 500);
    answer_ = R"({"ok":true,"changed":true,"in_force":false,"why":"/p.json:1: bolt's password"})";
    const std::string body = ask("POST", senders, bearer(), R"({"pattern": "x"})").body;
    EXPECT_TRUE(body.starts_with(R"({"ok":true,"changed":true,"in_force":false,"why":")")) << body;
    EXPECT_EQ(body.find("bolt"), std::string::npos);
}

TEST_F(http_api_test, paths_and_methods_that_are_not_there) {
    EXPECT_EQ(ask("GET", "/none", bearer()).status, 404);
    EXPECT_EQ(ask("GET", "/api/v1/senders/", bearer()).status, 404);
    EXPECT_EQ(ask("GET", "/api/v1/%73enders", bearer()).status, 404);
    const http::response put = ask("PUT", senders, bearer());
    EXPECT_EQ(put.status, 405);
    EXPECT_EQ(header_of(put, "Allow"), "GET, HEAD, POST, DELETE");
    EXPECT_EQ(ask("get", senders, bearer()).status, 405);
    for (const char* path : {"/healthz", "/metrics"}) {
        const http::response post = ask("POST", path);
        EXPECT_EQ(post.status, 405);
        EXPECT_EQ(header_of(post, "Allow"), "GET, HEAD");
    }
}

TEST_F(http_api_test, health_and_metrics_are_for_this_machine_only) {
    const char* local[] = {
        "127.0.0.1", "127.1.2.3:80", "localhost", "LocalHost:9", "[::1]", "[::1]:1", ""};
    for (const char* host : local) {
        host_ = host;
        EXPECT_EQ(ask("GET", "/healthz").body, "ok\n") << host;
    }
    for (const char* host :
         {"evil.example", "localhost.evil.example", "192.0.2.1", "[::2]:1", "[", ":", "]"}) {
        host_ = host;
        EXPECT_EQ(ask("GET", "/healthz").status, 421) << host;
        EXPECT_EQ(ask("GET", "/metrics").status, 421) << host;
    }
    EXPECT_EQ(collected_, 0);
    EXPECT_EQ(ask("GET", senders, bearer()).status, 200) << "a proxy may keep its name";
}

TEST_F(http_api_test, metrics_are_collected_now_and_then) {
    const http::response first = ask("GET", "/metrics");
    EXPECT_EQ(first.body, "metrics 1\n");
    EXPECT_EQ(first.content_type, "text/plain; version=0.0.4; charset=utf-8");
    now_ += http_api::metrics_age_max - 1ms;
    EXPECT_EQ(ask("GET", "/metrics").body, "metrics 1\n");
    now_ += 1ms;
    EXPECT_EQ(ask("GET", "/metrics").body, "metrics 2\n");
}

TEST_F(http_api_test, guessing_has_its_bound_and_locks_out_nobody_who_works) {
    EXPECT_EQ(ask("GET", senders, bearer()).status, 200);
    now_ += 1min;
    for (std::uint32_t count = 0; count < http_api::wrong_tokens_max; ++count) {
        EXPECT_EQ(ask("GET", senders, "Bearer " + crypto::make_token()).status, 401);
    }
    const int checks = checks_;
    const http::response late = ask("GET", senders, "Bearer " + crypto::make_token());
    EXPECT_EQ(late.status, 429);
    EXPECT_EQ(header_of(late, "Retry-After"), "60");
    EXPECT_EQ(checks_, checks) << "it was looked up";
    EXPECT_EQ(ask("GET", senders, "Bearer x").status, 401) << "no look-up, no counting";
    EXPECT_EQ(ask("GET", senders, bearer()).status, 200);
    EXPECT_EQ(ask("GET", "/healthz").status, 200);
    now_ += 1min;
    EXPECT_EQ(ask("GET", senders, "Bearer " + crypto::make_token()).status, 401);
}

TEST_F(http_api_test, only_the_senders_may_have_a_body) {
    http::request head;
    head.path = senders;
    EXPECT_EQ(http_api::body_bytes_max(head), 64 * kib);
    for (const char* path : {"/", "/metrics", "/healthz", "/api/v1/senders/"}) {
        head.path = path;
        EXPECT_EQ(http_api::body_bytes_max(head), 0U);
    }
}

} // namespace
} // namespace ebbgate::api
