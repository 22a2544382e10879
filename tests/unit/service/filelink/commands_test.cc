#include "codec/json/document.h"
#include "crypto/hash.h"
#include "service/filelink/commands.h"
#include "store/blob/blob_store.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace ebbgate::filelink {
namespace {

constexpr const char* done = R"({"ok":true,"changed":true,"in_force":true})";
constexpr const char* unknown = "0000000000000000000000000000000000000000";

// A real store with links of two tenants; "token-acme" is acme's token, "token-bolt" bolt's.
class filelink_commands_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-filelink-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
        auto opened = blob::blob_store::open(folder_ + "/files");
        ASSERT_TRUE(opened) << opened.error().detail;
        store_ = std::move(*opened);
        dispatcher_ = std::make_unique<admin::dispatcher>(
            [](std::string_view token) -> std::optional<admin::tenant_administrator> {
                if (!token.starts_with("token-")) {
                    return std::nullopt;
                }
                return admin::tenant_administrator{std::string(token.substr(6)), "label"};
            },
            [this](const admin::request&) { ++denials_; });
        add_commands(*dispatcher_,
                     *store_,
                     {[this](const admin::request& asked, const admin::change_note& note) {
                          commands_.emplace_back(asked.command());
                          notes_.push_back(note);
                      },
                      [this](const admin::request&) { return may_change_; }});
    }

    void TearDown() override {
        store_.reset();
        std::filesystem::remove_all(folder_);
    }

    blob::link add(const std::string& tenant, const std::string& content, std::int64_t age_s = 0) {
        blob::link made;
        made.token = blob::make_token();
        made.extension = "pdf";
        made.tenant = tenant;
        made.url = "https://files." + tenant + ".example/files/";
        made.name = "gr\xc3\xbc\xc3\x9f\n.pdf";
        made.content_type = "application/pdf";
        made.sender = "bob@" + tenant + ".example";
        made.message_id = "4bX1";
        made.hash = crypto::hash_of(content).bytes;
        made.bytes = content.size();
        made.created_unix_s = std::time(nullptr) - age_s;
        made.expires_unix_s = made.created_unix_s + 1000;
        const int fd = store_->create_temporary().value();
        EXPECT_EQ(::write(fd, content.data(), content.size()),
                  static_cast<ssize_t>(content.size()));
        EXPECT_TRUE(store_->publish(fd, made));
        ::close(fd);
        return made;
    }

    std::string
    ask(const std::string& command, const std::string& arguments, const std::string& token = {}) {
        const std::string line = R"({"command":"filelink )" + command + R"(","arguments":{)" +
                                 arguments + "}" +
                                 (token.empty() ? "" : R"(,"token":")" + token + "\"") + "}";
        return dispatcher_->answer(line, {1000});
    }

    static std::string of(const std::string& text) { return R"("link":")" + text + "\""; }

    static std::string member(const std::string& text, std::string_view name) {
        const auto parsed = json::document::parse(text);
        const json::value* found = parsed ? parsed->root().find(name) : nullptr;
        return found == nullptr     ? "none"
               : found->is_string() ? std::string(found->text())
               : found->is_array()  ? std::to_string(found->children().size())
                                    : std::to_string(found->integer());
    }

    std::string folder_;
    std::unique_ptr<blob::blob_store> store_;
    std::unique_ptr<admin::dispatcher> dispatcher_;
    std::vector<admin::change_note> notes_;
    std::vector<std::string> commands_;
    bool may_change_ = true;
    int denials_ = 0;
};

TEST(filelink_token, is_found_in_what_people_paste) {
    const std::string token = blob::make_token();
    EXPECT_EQ(token_in(token), token);
    EXPECT_EQ(token_in(token + ".pdf"), token);
    EXPECT_EQ(token_in("https://files.acme.example/files/" + token + ".pdf"), token);
    EXPECT_EQ(token_in("https://files.acme.example/files/" + token), token);
    for (const std::string& none : {std::string(),
                                    std::string("x"),
                                    token + "0",
                                    token.substr(1),
                                    token + "/",
                                    "https://files.acme.example/" + token + "?x=1",
                                    "https://files.acme.example/" + token + "#x"}) {
        EXPECT_EQ(token_in(none), "") << none;
    }
    EXPECT_EQ(short_form(token), token.substr(0, 12) + "...");
}

TEST_F(filelink_commands_test, show_tells_all_of_a_link) {
    const blob::link one = add("acme", "content");
    const std::string shown = ask("show", of(one.url + one.file_name()));
    EXPECT_EQ(member(shown, "token"), one.token);
    EXPECT_EQ(member(shown, "url"), "https://files.acme.example/files/" + one.token + ".pdf");
    EXPECT_EQ(member(shown, "name"), one.name);
    EXPECT_EQ(shown.find('\n'), std::string::npos);
    EXPECT_EQ(member(shown, "tenant"), "acme");
    EXPECT_EQ(member(shown, "bytes"), "7");
    EXPECT_EQ(member(shown, "sender"), "bob@acme.example");
    EXPECT_EQ(member(shown, "message"), "4bX1");
    EXPECT_EQ(member(shown, "content_type"), "application/pdf");
    EXPECT_EQ(member(shown, "sha256"),
              "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73");
    EXPECT_EQ(member(shown, "expires"), std::to_string(one.expires_unix_s));
    EXPECT_EQ(member(shown, "state"), "live");
    const blob::link old = add("acme", "old", 2000);
    EXPECT_EQ(member(ask("show", of(old.token)), "state"), "expired");
    EXPECT_EQ(member(ask("show", of(unknown)), "reason"), "not_found");
    EXPECT_EQ(member(ask("show", of("../../x")), "reason"), "usage");
    EXPECT_EQ(member(ask("show", ""), "reason"), "usage");
    EXPECT_TRUE(notes_.empty()) << "looking is not a change";
}

TEST_F(filelink_commands_test, lists_come_in_pages) {
    const blob::link oldest = add("acme", "1", 30);
    const blob::link middle = add("bolt", "2", 20);
    const blob::link newest = add("acme", "3", 10);
    EXPECT_EQ(member(ask("list", ""), "links"), "3");
    EXPECT_EQ(member(ask("list", ""), "next"), "");
    EXPECT_EQ(member(ask("list", R"("tenant":"acme")"), "links"), "2");
    const std::string first = ask("list", R"("rows":2)");
    EXPECT_EQ(member(first, "links"), "2");
    EXPECT_NE(first.find(newest.token), std::string::npos);
    EXPECT_NE(first.find(middle.token), std::string::npos);
    const std::string second = ask("list", R"("rows":2,"after":")" + member(first, "next") + "\"");
    EXPECT_EQ(member(second, "links"), "1");
    EXPECT_NE(second.find(oldest.token), std::string::npos);
    EXPECT_EQ(member(second, "next"), "");
    EXPECT_EQ(member(ask("list", R"("after":"what")"), "reason"), "usage");
    EXPECT_EQ(member(ask("list", R"("tenant":"nobody")"), "links"), "0");
}

TEST_F(filelink_commands_test, a_revoked_link_stays_revoked) {
    const blob::link one = add("acme", "content");
    EXPECT_EQ(ask("revoke", of(one.token)), done);
    EXPECT_EQ(member(ask("show", of(one.token)), "state"), "revoked");
    EXPECT_FALSE(store_->open_content(one));
    EXPECT_EQ(ask("revoke", of(one.token)), R"({"ok":true,"changed":false,"in_force":true})");
    EXPECT_EQ(member(ask("extend", of(one.token) + R"(,"keep":"1 day")"), "reason"), "refused");
    EXPECT_EQ(member(ask("revoke", of(unknown)), "reason"), "not_found");
    ASSERT_EQ(notes_.size(), 4U);
    EXPECT_EQ(notes_[0].tenant, "acme");
    EXPECT_EQ(notes_[0].subject, short_form(one.token));
    EXPECT_EQ(notes_[0].before, "live");
    EXPECT_EQ(notes_[0].after, "revoked");
    EXPECT_EQ(notes_[0].result, "done");
    EXPECT_EQ(commands_[0], "filelink revoke");
    EXPECT_EQ(notes_[1].before, "revoked");
    EXPECT_EQ(notes_[2].result, "the link was revoked");
    EXPECT_EQ(notes_[3].result, "no such link");
    for (const admin::change_note& note : notes_) {
        EXPECT_EQ(note.subject.find(one.token), std::string::npos) << "it would open the file";
    }
}

TEST_F(filelink_commands_test, a_link_is_extended_from_now) {
    const blob::link one = add("acme", "content", 2000); // Expired and not swept yet.
    const std::int64_t before = std::time(nullptr);
    EXPECT_EQ(ask("extend", of(one.token) + R"(,"keep":"12 months")"), done);
    const std::int64_t expires = (*store_->find(one.token))->expires_unix_s;
    EXPECT_GE(expires, before + 360LL * 86'400);
    EXPECT_LE(expires, std::time(nullptr) + 360LL * 86'400);
    EXPECT_EQ(member(ask("show", of(one.token)), "state"), "live");
    EXPECT_EQ(notes_[0].before, "until " + std::to_string(one.expires_unix_s));
    EXPECT_EQ(notes_[0].after, "until " + std::to_string(expires));
    const std::string later = std::to_string(before + 5000);
    EXPECT_EQ(ask("extend", of(one.token) + R"(,"expires":)" + later), done);
    EXPECT_EQ((*store_->find(one.token))->expires_unix_s, before + 5000);
    for (const char* wrong : {R"(,"keep":"soon")",
                              R"(,"keep":"0s")",
                              R"(,"keep":"-1 day")",
                              "",
                              R"(,"keep":"1d","expires":99)",
                              R"(,"expires":"1")"}) {
        EXPECT_EQ(member(ask("extend", of(one.token) + wrong), "reason"), "usage") << wrong;
    }
    EXPECT_EQ(member(ask("extend", of(one.token) + R"(,"expires":5)"), "reason"), "refused");
    EXPECT_EQ(member(ask("extend", of(one.token) + R"(,"keep":"20000 days")"), "reason"),
              "refused");
    EXPECT_EQ((*store_->find(one.token))->expires_unix_s, before + 5000);
    EXPECT_EQ(notes_.size(), 4U);
}

// What a token's holder learns of another tenant's link is what it learns of none.
TEST_F(filelink_commands_test, another_tenants_link_is_like_none) {
    const blob::link own = add("acme", "own");
    const blob::link foreign = add("bolt", "foreign");
    const std::string keep = R"(,"keep":"1 day")";
    EXPECT_EQ(member(ask("show", of(own.token), "token-acme"), "token"), own.token);
    EXPECT_EQ(ask("extend", of(own.token) + keep, "token-acme"), done);
    EXPECT_EQ(member(ask("list", "", "token-acme"), "links"), "1");
    for (const std::string command : {"show", "revoke", "extend"}) {
        const std::string more = command == "extend" ? keep : std::string();
        const std::string none = ask(command, of(unknown) + more, "token-acme");
        EXPECT_EQ(none, R"({"ok":false,"reason":"not_found","error":"no such link"})");
        EXPECT_EQ(ask(command, of(foreign.token) + more, "token-acme"), none);
        EXPECT_EQ(ask(command, of(foreign.url + foreign.file_name()) + more, "token-acme"), none);
        EXPECT_EQ(member(ask(command, of(own.token) + more, "stolen"), "reason"), "denied");
    }
    EXPECT_EQ((*store_->find(foreign.token))->revoked_unix_s, 0);
    EXPECT_EQ((*store_->find(foreign.token))->expires_unix_s, foreign.expires_unix_s);
    EXPECT_EQ(member(ask("list", R"("tenant":"bolt")", "token-acme"), "reason"), "denied");
    EXPECT_EQ(denials_, 1);
    // Nor whether the record can be read.
    const std::string record =
        folder_ + "/files/links/" + foreign.token.substr(0, 2) + "/" + foreign.token;
    std::filesystem::resize_file(record, 10);
    EXPECT_EQ(member(ask("show", of(foreign.token), "token-acme"), "reason"), "not_found");
    EXPECT_EQ(member(ask("show", of(foreign.token)), "reason"), "failed");
    // An operator may name a tenant, and then sees no other's.
    EXPECT_EQ(member(ask("show", of(own.token) + R"(,"tenant":"bolt")"), "reason"), "not_found");
    EXPECT_EQ(ask("revoke", of(own.token), "token-acme"), done);
    EXPECT_EQ(notes_.back().tenant, "acme");
}

TEST_F(filelink_commands_test, too_many_changes_are_held_back) {
    const blob::link one = add("acme", "content");
    may_change_ = false;
    EXPECT_EQ(member(ask("revoke", of(one.token), "token-acme"), "reason"), "refused");
    EXPECT_EQ(member(ask("extend", of(one.token) + R"(,"keep":"1 day")", "token-acme"), "reason"),
              "refused");
    EXPECT_EQ(member(ask("show", of(one.token), "token-acme"), "state"), "live");
    EXPECT_TRUE(notes_.empty());
}

} // namespace
} // namespace ebbgate::filelink
