#include "service/admin/command.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::admin {
namespace {

class dispatcher_test : public ::testing::Test {
protected:
    dispatcher_test()
        : dispatcher_(
              [](std::string_view token) -> std::optional<tenant_administrator> {
                  if (token != "good") {
                      return std::nullopt;
                  }
                  return tenant_administrator{"acme", "laptop"};
              },
              [this](const request& asked) {
                  denied_.push_back(asked.administrator()->token_label + " " +
                                    std::string(asked.command()));
              }) {
        dispatcher_.add({"status",
                         {},
                         permission::operators,
                         [](const request&) { return std::string("fine"); },
                         true});
        dispatcher_.add({"release",
                         {{"id", argument_kind::text, false, 13}},
                         permission::operators,
                         [](const request& asked) { return "id=" + std::string(asked.text("id")); },
                         true});
        dispatcher_.add({"thing set",
                         {{"tenant", argument_kind::text, true, 8},
                          {"count", argument_kind::number, false},
                          {"now", argument_kind::flag, false},
                          {"items", argument_kind::objects, false, 2}},
                         permission::tenants,
                         [this](const request& asked) {
                             runs_ += 1;
                             return std::string(asked.text("tenant")) + "," +
                                    std::to_string(asked.number("count")) + "," +
                                    (asked.flag("now") ? "yes" : "no") + "," +
                                    std::to_string(asked.objects("items").size()) + "," +
                                    std::to_string(asked.from().uid) + "," +
                                    (asked.administrator() != nullptr ? "token" : "operator");
                         },
                         false});
    }

    std::string ask(std::string_view line) { return dispatcher_.answer(line, {7}); }

    std::string reason(std::string_view line) {
        const std::string text = ask(line);
        const auto parsed = json::document::parse(text);
        if (!parsed || parsed->root().find("reason") == nullptr) {
            return "none: " + text;
        }
        EXPECT_FALSE(parsed->root().find("ok")->boolean());
        EXPECT_FALSE(parsed->root().find("error")->text().empty());
        return std::string(parsed->root().find("reason")->text());
    }

    dispatcher dispatcher_;
    std::vector<std::string> denied_;
    int runs_ = 0;
};

TEST_F(dispatcher_test, takes_json_and_the_plain_verbs) {
    EXPECT_EQ(ask("status"), "fine");
    EXPECT_EQ(ask(R"({"command":"status"})"), "fine");
    EXPECT_EQ(ask("release 0123456789ABC"), "id=0123456789ABC");
    EXPECT_EQ(ask("release"), "id=");
    EXPECT_EQ(ask(R"({"command":"release","arguments":{"id":"a b"}})"), "id=a b");
    EXPECT_EQ(ask(R"({"arguments":{"count":9007199254740992,"now":true,"tenant":"a",)"
                  R"("items":[{"x":"1"},{}]},"command":"thing set"})"),
              "a,9007199254740992,yes,2,7,operator");
}

TEST_F(dispatcher_test, refuses_what_is_not_declared) {
    for (const char* line : {
             "",
             " ",
             "stop",
             "status now",
             "release 0123456789ABCD",
             "release a\tb",
             "thing set",
             "{",
             "[]",
             R"({"command":"status"} {})",
             R"({"arguments":{}})",
             R"({"command":7})",
             R"({"command":"status","command":"release"})",
             R"({"command":"nothing"})",
             R"({"command":"status","arguments":[]})",
             R"({"command":"status","arguments":{"x":1}})",
             R"({"command":"status","more":1})",
             R"({"command":"thing set"})",
             R"({"command":"thing set","arguments":{"tenant":"123456789"}})",
             R"({"command":"thing set","arguments":{"tenant":7}})",
             R"({"command":"thing set","arguments":{"tenant":"a\u0000b"}})",
             R"({"command":"thing set","arguments":{"tenant":"a\nb"}})",
             R"({"command":"thing set","arguments":{"tenant":"a","tenant":"b"}})",
             R"({"command":"thing set","arguments":{"tenant":"a","count":-1}})",
             R"({"command":"thing set","arguments":{"tenant":"a","count":9007199254740993}})",
             R"({"command":"thing set","arguments":{"tenant":"a","count":1.5}})",
             R"({"command":"thing set","arguments":{"tenant":"a","now":1}})",
             R"({"command":"thing set","arguments":{"tenant":"a","items":[{},{},{}]}})",
             R"({"command":"thing set","arguments":{"tenant":"a","items":[{"x":1}]}})",
             R"({"command":"thing set","arguments":{"tenant":"a","items":["x"]}})",
             R"({"command":"thing set","arguments":{"tenant":"a","items":[[[[[[[[]]]]]]]]}})",
         }) {
        EXPECT_EQ(reason(line), "usage") << line;
    }
    EXPECT_EQ(runs_, 0);
}

TEST_F(dispatcher_test, a_token_is_for_its_own_tenants_commands_only) {
    EXPECT_EQ(ask(R"({"command":"thing set","token":"good"})"), "acme,0,no,0,7,token");
    EXPECT_EQ(ask(R"({"command":"thing set","arguments":{"tenant":"acme"},"token":"good"})"),
              "acme,0,no,0,7,token");
    EXPECT_TRUE(denied_.empty());
    for (const char* line : {
             R"({"command":"thing set","token":"bad"})",
             R"({"command":"thing set","token":""})",
             R"({"command":"status","token":"bad"})",
         }) {
        EXPECT_EQ(reason(line), "denied") << line;
    }
    EXPECT_TRUE(denied_.empty());
    EXPECT_EQ(reason(R"({"command":"status","token":"good"})"), "denied");
    EXPECT_EQ(reason(R"({"command":"thing set","arguments":{"tenant":"bolt"},"token":"good"})"),
              "denied");
    EXPECT_EQ(reason(R"({"command":"thing set","arguments":{"tenant":7},"token":"good"})"),
              "denied");
    EXPECT_EQ(denied_,
              (std::vector<std::string>{"laptop status", "laptop thing set", "laptop thing set"}));
    EXPECT_EQ(reason(R"({"command":"thing set","token":7})"), "usage");
    EXPECT_EQ(runs_, 2);
}

TEST_F(dispatcher_test, errors_do_not_echo_without_bound) {
    const std::string text = ask(R"({"command":")" + std::string(100'000, 'x') + R"("})");
    EXPECT_LT(text.size(), 300U);
}

TEST(dispatcher_death_test, a_command_for_tenants_has_a_tenant) {
    dispatcher made(nullptr, nullptr);
    EXPECT_DEATH(made.add({"x", {}, permission::tenants, nullptr, false}), "tenant");
}

} // namespace
} // namespace ebbgate::admin
