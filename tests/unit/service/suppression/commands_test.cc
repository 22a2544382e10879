#include "service/suppression/commands.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace ebbgate::suppression {
namespace {

constexpr const char* done = R"({"ok":true,"changed":true,"in_force":true})";
constexpr const char* unchanged = R"({"ok":true,"changed":false,"in_force":true})";

// "token-acme" is acme's token, "token-bolt" bolt's.
class suppression_commands_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-suppression-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
        auto opened = suppression_list::open(folder_ + "/suppression.db");
        ASSERT_TRUE(opened) << opened.error().detail;
        list_ = std::move(*opened);
        dispatcher_ = std::make_unique<admin::dispatcher>(
            [](std::string_view token) -> std::optional<admin::tenant_administrator> {
                if (!token.starts_with("token-")) {
                    return std::nullopt;
                }
                return admin::tenant_administrator{std::string(token.substr(6)), "label"};
            },
            [](const admin::request&) {});
        add_commands(*dispatcher_,
                     *list_,
                     {[this](const admin::request&, const admin::change_note& note) {
                          notes_.push_back(note);
                      },
                      [this](const admin::request&) { return may_change_; }},
                     [](std::string_view tenant) { return tenant == "acme" || tenant == "bolt"; });
    }

    void TearDown() override {
        list_.reset();
        std::filesystem::remove_all(folder_);
    }

    std::string
    ask(const std::string& command, const std::string& arguments, const std::string& token = {}) {
        return dispatcher_->answer(R"({"command":"suppression )" + command + R"(","arguments":{)" +
                                       arguments + "}" +
                                       (token.empty() ? "" : R"(,"token":")" + token + "\"") + "}",
                                   {1000});
    }

    std::string folder_;
    std::unique_ptr<suppression_list> list_;
    std::unique_ptr<admin::dispatcher> dispatcher_;
    std::vector<admin::change_note> notes_;
    bool may_change_ = true;
};

TEST_F(suppression_commands_test, an_operator_adds_lists_and_removes) {
    const std::string bob = R"("tenant":"acme","address":"Bob@Example.org")";
    EXPECT_EQ(ask("add", bob + R"(,"reason":"asked")"), done);
    EXPECT_EQ(ask("add", bob), unchanged);
    EXPECT_TRUE(list_->is_suppressed("acme", "bob@example.org"));
    const std::string listed = ask("list", "");
    EXPECT_TRUE(listed.starts_with(
        R"({"ok":true,"suppressed":[{"address":"bob@example.org","tenant":"acme","class":"",)"))
        << listed;
    EXPECT_TRUE(listed.ends_with(R"("expires":0}],"next":0})")) << listed;
    EXPECT_EQ(ask("list", R"("tenant":"bolt")"), R"({"ok":true,"suppressed":[],"next":0})");
    EXPECT_EQ(ask("remove", bob), done);
    EXPECT_NE(ask("remove", bob).find("not_found"), std::string::npos);
    ASSERT_EQ(notes_.size(), 4U);
    EXPECT_EQ(notes_[0].subject, "bob@example.org");
    EXPECT_EQ(notes_[0].after, "suppressed");
    EXPECT_EQ(notes_[2].after, "");
    EXPECT_EQ(notes_[2].result, "done");
    EXPECT_EQ(notes_[3].result, "not on the list");
}

TEST_F(suppression_commands_test, a_tenant_has_its_own_only) {
    EXPECT_EQ(ask("add", R"("address":"a@x.example")", "token-acme"), done);
    EXPECT_TRUE(list_->is_suppressed("acme", "a@x.example"));
    EXPECT_NE(ask("add", R"("tenant":"bolt","address":"a@x.example")", "token-acme").find("denied"),
              std::string::npos);
    EXPECT_EQ(ask("list", "", "token-bolt"), R"({"ok":true,"suppressed":[],"next":0})");
    EXPECT_NE(ask("remove", R"("address":"a@x.example")", "token-bolt").find("not_found"),
              std::string::npos);
    may_change_ = false;
    EXPECT_NE(ask("remove", R"("address":"a@x.example")", "token-acme").find("too many"),
              std::string::npos);
    EXPECT_TRUE(list_->is_suppressed("acme", "a@x.example"));
}

TEST_F(suppression_commands_test, refuses_what_is_wrong) {
    const std::pair<const char*, const char*> cases[] = {
        {R"("tenant":"acme","address":"nobody")", "expected local@domain"},
        {R"("tenant":"acme","address":"a@b\r\nc")", "without control characters"},
        {R"("tenant":"acme")", "address"},
        {R"("tenant":"other","address":"a@x.example")", "no such tenant"},
        {R"("tenant":"acme","address":"a@x.example","expires":1)", "expired already"},
        {R"("tenant":"acme","address":"a@x.example","keep":"soon")", "a duration"},
        {R"("tenant":"acme","address":"a@x.example","keep":"1 day","expires":9999999999)",
         "a duration"},
    };
    for (const auto& [arguments, why] : cases) {
        EXPECT_NE(ask("add", arguments).find(why), std::string::npos) << ask("add", arguments);
    }
    EXPECT_EQ(list_->size(), 0U);
    EXPECT_EQ(ask("add", R"("tenant":"acme","address":"a@x.example","keep":"30 days")"), done);
    EXPECT_TRUE(notes_.back().after.starts_with("suppressed until "));
}

} // namespace
} // namespace ebbgate::suppression
