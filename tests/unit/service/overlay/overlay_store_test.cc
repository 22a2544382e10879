#include "service/overlay/overlay_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <unistd.h>

namespace ebbgate::overlay {
namespace {

const std::string hash =
    "$y$j9T$abcdefghijklmnopqrstuv$ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg";
const std::string digest(64, 'a');

class overlay_store_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-overlay-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        open();
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    void open(const audit_bounds& bounds = {}) {
        store_.reset();
        auto opened = overlay_store::open(path(), bounds);
        ASSERT_TRUE(opened) << opened.error().detail;
        store_ = std::move(*opened);
    }

    std::string path() const { return folder_ + "/overlay.db"; }

    result<outcome> put(std::string_view tenant, const std::string& login) {
        const policy::overlay_account one{std::string(tenant), login, hash};
        return store_->put_accounts(by("account add"), tenant, {&one, 1});
    }

    static change by(std::string_view command) { return {{1000, "", ""}, command}; }

    static change by_token(std::string_view command) { return {{7, "laptop", "acme"}, command}; }

    policy::overlay read(std::int64_t now = 100) { return store_->read(now).value(); }

    std::vector<audit_row> audit(std::string_view tenant = {}) {
        return store_->audit(tenant, 0, page_rows_max).value().rows;
    }

    std::string folder_;
    std::unique_ptr<overlay_store> store_;
};

verdict verdict_of(const result<outcome>& done) {
    return done.value().verdict;
}

TEST_F(overlay_store_test, keeps_accounts_over_a_restart) {
    EXPECT_EQ(verdict_of(put("acme", "a@acme.example")), verdict::changed);
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "file@acme.example", true)),
              verdict::changed);
    open();
    const policy::overlay all = read();
    ASSERT_EQ(all.accounts.size(), 2U);
    EXPECT_EQ(all.accounts[0].login, "a@acme.example");
    EXPECT_EQ(all.accounts[0].password_hash, hash);
    EXPECT_FALSE(all.accounts[0].removed);
    EXPECT_TRUE(all.accounts[1].removed);
    EXPECT_TRUE(all.accounts[1].password_hash.empty());
    EXPECT_EQ(store_->account_state("acme", "a@acme.example").value(), row_state::added);
    EXPECT_EQ(store_->account_state("acme", "file@acme.example").value(), row_state::removed);
    EXPECT_EQ(store_->account_state("bolt", "a@acme.example").value(), row_state::none);
}

TEST_F(overlay_store_test, a_removal_keeps_a_row_only_when_the_file_has_the_login) {
    (void)put("acme", "a");
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "a", false)), verdict::changed);
    EXPECT_TRUE(read().accounts.empty());
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "a", false)), verdict::not_found);
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "f", true)), verdict::changed);
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "f", true)), verdict::unchanged);
    EXPECT_EQ(verdict_of(put("acme", "f")), verdict::changed);
    EXPECT_FALSE(read().accounts.at(0).removed);
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "f", true)), verdict::changed);
    // The file lost it meanwhile: the row that takes it away is not needed any more.
    EXPECT_EQ(verdict_of(store_->remove_account(by("x"), "acme", "f", false)), verdict::changed);
    EXPECT_TRUE(read().accounts.empty());
}

TEST_F(overlay_store_test, an_import_is_all_or_nothing) {
    EXPECT_EQ(verdict_of(put("bolt", "taken")), verdict::changed);
    std::vector<policy::overlay_account> many = {
        {"acme", "one", hash}, {"acme", "taken", hash}, {"acme", "three", hash}};
    const auto done = store_->put_accounts(by("account import"), "acme", many);
    EXPECT_EQ(verdict_of(done), verdict::refused);
    EXPECT_NE(done->why.find("taken"), std::string::npos);
    EXPECT_EQ(read().accounts.size(), 1U);
    ASSERT_EQ(audit("acme").size(), 1U);
    EXPECT_EQ(audit("acme")[0].subject, "taken");
    EXPECT_EQ(audit("acme")[0].result, done->why);
    many[1].login = "two";
    EXPECT_EQ(verdict_of(store_->put_accounts(by("account import"), "acme", many)),
              verdict::changed);
    EXPECT_EQ(read().accounts.size(), 4U);
    const auto rows = audit("acme");
    ASSERT_EQ(rows.size(), 4U);
    EXPECT_EQ(rows[0].subject, "three");
    EXPECT_EQ(rows[1].subject, "two");
    EXPECT_EQ(rows[2].subject, "one");
    EXPECT_EQ(rows[2].result, "done");
}

TEST_F(overlay_store_test, refuses_what_is_not_well_formed) {
    EXPECT_EQ(verdict_of(put("acme", "")), verdict::refused);
    EXPECT_EQ(verdict_of(put("acme", std::string(256, 'x'))), verdict::refused);
    EXPECT_EQ(verdict_of(put("acme", "a\nb")), verdict::refused);
    EXPECT_EQ(verdict_of(put("", "a")), verdict::refused);
    EXPECT_EQ(verdict_of(put("a b", "a")), verdict::refused);
    for (const char* bad :
         {"secret", "", "$1$salt$0123456789abcdefghijkl", "$y$j9T$a:bcdefghijklmnop"}) {
        const policy::overlay_account one{"acme", "a", bad};
        EXPECT_EQ(verdict_of(store_->put_accounts(by("x"), "acme", {&one, 1})), verdict::refused);
    }
    for (const char* bad : {"",
                            "@",
                            "a",
                            "a@",
                            "@*.",
                            "a@*.acme.example",
                            "@Acme.example",
                            "a@acme..example",
                            "a\x01@acme.example",
                            "@*.*.acme.example"}) {
        EXPECT_EQ(verdict_of(store_->add_sender(by("x"), "acme", bad, false)), verdict::refused)
            << bad;
    }
    EXPECT_EQ(verdict_of(store_->set_limit(by("x"), {"a b", "s", "1/day", 0})), verdict::refused);
    EXPECT_EQ(verdict_of(store_->set_limit(by("x"), {"rule", "", "1/day", 0})), verdict::refused);
    EXPECT_EQ(verdict_of(store_->set_limit(by("x"), {"rule", "s", "", 0})), verdict::refused);
    token bad;
    bad.tenant = "acme";
    bad.label = "a b";
    EXPECT_EQ(verdict_of(store_->add_token(by("x"), bad, digest)), verdict::refused);
    const policy::overlay all = read();
    EXPECT_TRUE(all.accounts.empty() && all.senders.empty() && all.limits.empty());
    // No hash that was refused (it may be a password) and none that was taken is in the audit.
    for (const audit_row& row : audit()) {
        for (const std::string& text : {row.before, row.after, row.result, row.subject}) {
            EXPECT_EQ(text.find("secret"), std::string::npos);
        }
    }
}

TEST_F(overlay_store_test, senders_come_and_go) {
    const auto add = [this](const char* pattern, bool in_file) {
        return verdict_of(store_->add_sender(by_token("sender add"), "acme", pattern, in_file));
    };
    const auto remove = [this](const char* pattern, bool in_file) {
        return verdict_of(
            store_->remove_sender(by_token("sender remove"), "acme", pattern, in_file));
    };
    EXPECT_EQ(add("@acme.example", false), verdict::changed);
    EXPECT_EQ(add("@acme.example", false), verdict::unchanged);
    EXPECT_EQ(add("@file.example", true), verdict::unchanged);
    EXPECT_EQ(add("Boss@acme.example", false), verdict::changed);
    EXPECT_EQ(add("@*.acme.example", false), verdict::changed);
    EXPECT_EQ(remove("@file.example", true), verdict::changed);
    EXPECT_EQ(remove("@none.example", false), verdict::not_found);
    open();
    std::map<std::string, bool> all;
    for (const policy::overlay_sender& one : read().senders) {
        EXPECT_EQ(one.tenant, "acme");
        all[one.pattern] = one.removed;
    }
    const std::map<std::string, bool> expected = {{"@acme.example", false},
                                                  {"@file.example", true},
                                                  {"Boss@acme.example", false},
                                                  {"@*.acme.example", false}};
    EXPECT_EQ(all, expected);
    EXPECT_EQ(add("@file.example", true), verdict::changed);
    EXPECT_EQ(read().senders.size(), 3U);
    EXPECT_EQ(remove("@acme.example", false), verdict::changed);
    EXPECT_EQ(read().senders.size(), 2U);
    const auto rows = audit("acme");
    EXPECT_EQ(rows.front().what, "sender remove");
    EXPECT_EQ(rows.front().before, "added");
    EXPECT_EQ(rows.front().after, "removed");
    EXPECT_EQ(rows.front().who.token_label, "laptop");
    EXPECT_EQ(rows.front().who.uid, 7U);
}

TEST_F(overlay_store_test, limits_expire_and_are_overwritten) {
    EXPECT_EQ(verdict_of(store_->set_limit(by("limit set"), {"per_sender", "a@b", "5/day", 0})),
              verdict::changed);
    EXPECT_EQ(verdict_of(store_->set_limit(by("limit set"), {"per_sender", "a@b", "5/day", 0})),
              verdict::unchanged);
    EXPECT_EQ(verdict_of(store_->set_limit(by("limit set"), {"per_sender", "a@b", "9/day", 200})),
              verdict::changed);
    EXPECT_EQ(audit().front().before, "5/day");
    EXPECT_EQ(audit().front().after, "9/day until 200");
    ASSERT_EQ(read(199).limits.size(), 1U);
    EXPECT_EQ(read(199).limits[0].rate, "9/day");
    EXPECT_EQ(read(199).limits[0].expires_unix_s, 200);
    EXPECT_TRUE(read(200).limits.empty());
    EXPECT_EQ(store_->limits(0, 10)->rows.size(), 1U); // Still shown, as expired.
    EXPECT_EQ(verdict_of(store_->reset_limit(by("x"), "per_sender", "a@b")), verdict::changed);
    EXPECT_EQ(verdict_of(store_->reset_limit(by("x"), "per_sender", "a@b")), verdict::not_found);
}

TEST_F(overlay_store_test, tokens_are_found_by_digest_until_they_expire_or_are_revoked) {
    token one;
    one.tenant = "acme";
    one.label = "laptop";
    one.created_unix_s = 100;
    one.expires_unix_s = 200;
    EXPECT_EQ(verdict_of(store_->add_token(by("token add"), one, digest)), verdict::changed);
    EXPECT_EQ(verdict_of(store_->add_token(by("x"), one, std::string(64, 'b'))), verdict::refused);
    ASSERT_TRUE(store_->find_token(digest, 199).value());
    EXPECT_EQ(store_->find_token(digest, 199).value()->tenant, "acme");
    EXPECT_FALSE(store_->find_token(digest, 200).value());
    EXPECT_FALSE(store_->find_token(std::string(64, 'b'), 150).value());
    one.created_unix_s = 200; // The same label again, once the first has expired.
    one.expires_unix_s = 0;
    EXPECT_EQ(verdict_of(store_->add_token(by("x"), one, std::string(64, 'c'))), verdict::changed);
    EXPECT_EQ(verdict_of(store_->revoke_token(by("x"), "bolt", "laptop")), verdict::not_found);
    EXPECT_EQ(verdict_of(store_->revoke_token(by("x"), "acme", "laptop")), verdict::changed);
    EXPECT_FALSE(store_->find_token(std::string(64, 'c'), 300).value());
    for (const audit_row& row : audit()) {
        EXPECT_EQ((row.before + row.after + row.subject + row.result).find("aaaa"),
                  std::string::npos);
    }
}

TEST_F(overlay_store_test, a_tenant_has_so_many_tokens) {
    for (std::int64_t index = 0; index <= tokens_per_tenant_max; ++index) {
        token one;
        one.tenant = "acme";
        one.label = "t" + std::to_string(index);
        std::string own = std::to_string(index);
        own.resize(64, 'f');
        EXPECT_EQ(verdict_of(store_->add_token(by("x"), one, own)),
                  index < tokens_per_tenant_max ? verdict::changed : verdict::refused);
    }
}

TEST_F(overlay_store_test, pages_give_each_row_once) {
    for (int index = 0; index < 25; ++index) {
        (void)put(index % 5 == 0 ? "bolt" : "acme", "a" + std::to_string(index));
    }
    std::vector<std::string> seen;
    std::int64_t after = 0;
    int pages = 0;
    do {
        const auto read = store_->accounts("acme", after, 7).value();
        EXPECT_LE(read.rows.size(), 7U);
        for (const auto& row : read.rows) {
            seen.push_back(row.login);
        }
        after = read.next;
        ++pages;
    } while (after != 0);
    EXPECT_EQ(pages, 3);
    EXPECT_EQ(seen.size(), 20U);
    EXPECT_EQ(store_->accounts("acme", 0, 20)->next, 0); // The last page says so by itself.
    EXPECT_EQ(store_->accounts("", 0, 1'000'000'000)->rows.size(), 25U);
    const auto newest = store_->audit("bolt", 0, 2).value();
    EXPECT_EQ(newest.rows[0].subject, "a20");
    EXPECT_EQ(store_->audit("bolt", newest.next, 2)->rows[0].subject, "a10");
}

TEST_F(overlay_store_test, the_audit_cannot_be_rewritten) {
    (void)put("acme", "a");
    auto direct = store::database::open(path());
    ASSERT_TRUE(direct);
    const auto changed = direct->execute("UPDATE audit SET result = 'forged'");
    ASSERT_FALSE(changed);
    EXPECT_NE(changed.error().detail.find("append-only"), std::string::npos);
    EXPECT_EQ(audit().front().result, "done");
}

TEST_F(overlay_store_test, a_token_pushes_only_its_own_tenants_rows_out_of_the_audit) {
    open({.operator_rows_max = 50, .rows_per_tenant_max = 10, .prune_every = 4});
    (void)put("acme", "by-operator");
    change bolt = by_token("sender add");
    bolt.who.token_tenant = "bolt";
    (void)store_->add_sender(bolt, "bolt", "@bolt.example", false);
    for (int index = 0; index < 200; ++index) {
        // Refused: the cheapest way to fill an audit.
        (void)store_->add_sender(by_token("sender add"), "acme", "nonsense", false);
    }
    std::map<std::string, int> count;
    for (const audit_row& row : audit()) {
        count[row.who.token_tenant] += 1;
    }
    EXPECT_EQ(count[""], 1);
    EXPECT_EQ(count["bolt"], 1);
    EXPECT_GE(count["acme"], 10);
    EXPECT_LT(count["acme"], 14);
    for (int index = 0; index < 100; ++index) {
        (void)put("acme", "a" + std::to_string(index));
    }
    EXPECT_LT(audit().size(), 50U + 4 + 14 + 1);
    EXPECT_EQ(audit().front().subject, "a99");
}

TEST_F(overlay_store_test, old_audit_rows_go) {
    (void)put("acme", "a");
    open({.age_s_max = -1, .prune_every = 1});
    (void)put("acme", "b");
    EXPECT_TRUE(audit().empty());
}

TEST_F(overlay_store_test, a_file_of_another_version_or_program_is_refused_and_left_alone) {
    (void)put("acme", "a");
    store_.reset();
    {
        auto direct = store::database::open(path());
        ASSERT_TRUE(direct->execute("PRAGMA user_version = 2"));
    }
    const auto newer = overlay_store::open(path());
    ASSERT_FALSE(newer);
    EXPECT_NE(newer.error().detail.find("schema is number 2"), std::string::npos);
    {
        auto direct = store::database::open(folder_ + "/other.db");
        ASSERT_TRUE(direct->execute("CREATE TABLE t (x)"));
    }
    const auto other = overlay_store::open(folder_ + "/other.db");
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().detail.find("another program"), std::string::npos);
    auto direct = store::database::open(path());
    ASSERT_TRUE(direct->execute("PRAGMA user_version = 1"));
    open();
    EXPECT_EQ(read().accounts.size(), 1U);
}

TEST_F(overlay_store_test, a_change_that_fails_leaves_neither_itself_nor_an_audit_row) {
    (void)put("acme", "a");
    const auto rows = audit().size();
    auto direct = store::database::open(path());
    // Another writer that does not end: the change fails after the wait, and nothing of it is
    // there.
    ASSERT_TRUE(direct->execute("BEGIN IMMEDIATE"));
    const auto done = put("acme", "b");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, failure_kind::unavailable);
    ASSERT_TRUE(direct->execute("ROLLBACK"));
    EXPECT_EQ(read().accounts.size(), 1U);
    EXPECT_EQ(audit().size(), rows);
    EXPECT_EQ(verdict_of(put("acme", "b")), verdict::changed);
}

} // namespace
} // namespace ebbgate::overlay
