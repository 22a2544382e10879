#include "codec/json/document.h"
#include "crypto/token.h"
#include "service/overlay/commands.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace ebbgate::overlay {
namespace {

const std::string hash =
    "$y$j9T$abcdefghijklmnopqrstuv$ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg";

const std::string file_text = R"({"routes": [{"match": "*", "relay": "discard"}], "tenants": [
    {"name": "acme", "domains": ["acme.example"], "authorized_senders": ["@acme.example"],
     "accounts": [{"login": "file@acme.example", "password": ")" +
                              hash + R"("}]},
    {"name": "bolt", "domains": ["bolt.example"], "authorized_senders": ["@bolt.example"]}]})";

// Two tenants, each with one domain.
class commands_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-overlay-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        store_ = std::move(*overlay_store::open(folder_ + "/overlay.db"));
        std::ofstream(folder_ + "/policy.json") << file_text;
        policy_ = *policy::load(folder_ + "/policy.json");
        dispatcher_ =
            std::make_unique<admin::dispatcher>(token_check_of(*store_), denial_note_of(*store_));
        policy_access access;
        access.in_force = [this] { return policy_; };
        access.file = [this] {
            return file_is_good_ ? *policy::load(folder_ + "/policy.json") : nullptr;
        };
        access.changed = [this]() -> std::optional<std::string> {
            reloads_ += 1;
            auto loaded = file_is_good_
                              ? policy::load(folder_ + "/policy.json", store_->read(1).value())
                              : std::unexpected(config::faults{});
            if (!loaded) {
                return "the file has a fault";
            }
            policy_ = loaded->policy;
            return std::nullopt;
        };
        add_commands(*dispatcher_, *store_, std::move(access));
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string
    ask(const std::string& command, const std::string& arguments, const std::string& token = {}) {
        const std::string line = R"({"command":")" + command + R"(","arguments":{)" + arguments +
                                 "}" + (token.empty() ? "" : R"(,"token":")" + token + "\"") + "}";
        return dispatcher_->answer(line, {1000});
    }

    static std::string member(const std::string& text, std::string_view name) {
        const auto parsed = json::document::parse(text);
        const json::value* found = parsed ? parsed->root().find(name) : nullptr;
        if (found == nullptr) {
            return "none";
        }
        return found->is_string()               ? std::string(found->text())
               : found->is(json::kind::boolean) ? (found->boolean() ? "true" : "false")
               : found->is_array()              ? std::to_string(found->children().size())
                                                : std::to_string(found->integer());
    }

    std::string folder_;
    std::unique_ptr<overlay_store> store_;
    policy::snapshot_pointer policy_;
    std::unique_ptr<admin::dispatcher> dispatcher_;
    bool file_is_good_ = true;
    int reloads_ = 0;
};

std::string account(const std::string& tenant, const std::string& login) {
    return R"("tenant":")" + tenant + R"(","login":")" + login + R"(","hash":")" + hash + "\"";
}

constexpr const char* done = R"({"ok":true,"changed":true,"in_force":true})";

TEST_F(commands_test, an_account_is_in_force_when_the_answer_comes) {
    EXPECT_EQ(ask("account add", account("acme", "new@acme.example")), done);
    ASSERT_NE(policy_->find_account("new@acme.example"), nullptr);
    EXPECT_EQ(policy_->find_account("new@acme.example")->password_hash, hash);
    EXPECT_EQ(member(ask("account add", account("acme", "new@acme.example")), "reason"), "refused");
    EXPECT_EQ(member(ask("account add", account("bolt", "file@acme.example")), "reason"),
              "refused");
    EXPECT_EQ(member(ask("account add", account("none", "x")), "reason"), "refused");
    EXPECT_EQ(ask("account remove", R"("login":"file@acme.example")"), done);
    EXPECT_EQ(policy_->find_account("file@acme.example"), nullptr);
    EXPECT_EQ(member(ask("account remove", R"("login":"file@acme.example")"), "reason"),
              "not_found");
    const std::string list = ask("account list", R"("tenant":"acme")");
    EXPECT_EQ(list,
              R"({"ok":true,"accounts":[{"login":"new@acme.example","tenant":"acme",)"
              R"("source":"command"}],"next":0})");
    EXPECT_EQ(member(ask("account list", R"("changes":true)"), "accounts"), "2");
    EXPECT_EQ(reloads_, 2);
    // Each refusal of a change is in the audit too.
    EXPECT_EQ(member(ask("audit", ""), "audit"), "5");
    EXPECT_EQ(ask("audit", "").find(hash), std::string::npos);
}

TEST_F(commands_test, a_new_password_is_for_an_account_that_is_there) {
    const std::string other = hash + "X";
    EXPECT_EQ(ask("account passwd", R"("login":"file@acme.example","hash":")" + other + "\""),
              done);
    EXPECT_EQ(policy_->find_account("file@acme.example")->password_hash, other);
    EXPECT_EQ(member(ask("account passwd", R"("login":"x","hash":")" + other + "\""), "reason"),
              "not_found");
    // It stands in the file, so that removing it takes a row.
    EXPECT_EQ(ask("account remove", R"("login":"file@acme.example")"), done);
    EXPECT_TRUE(store_->read(1)->accounts.at(0).removed);
}

TEST_F(commands_test, an_import_reloads_once_and_replaces_only_when_told) {
    const auto batch = [](const std::string& logins) {
        return R"("tenant":"acme","accounts":[)" + logins + "]";
    };
    const auto entry = [](const std::string& login) {
        return R"({"login":")" + login + R"(","hash":")" + hash + "\"}";
    };
    const std::string first =
        ask("account import", batch(entry("a") + "," + entry("b")) + R"(,"more":true)");
    EXPECT_EQ(member(first, "in_force"), "false");
    EXPECT_EQ(reloads_, 0);
    EXPECT_EQ(ask("account import", batch(entry("c"))), done);
    EXPECT_EQ(reloads_, 1);
    EXPECT_NE(policy_->find_account("a"), nullptr);
    EXPECT_EQ(member(ask("account import", batch(entry("a"))), "reason"), "refused");
    EXPECT_EQ(ask("account import", batch(entry("a")) + R"(,"replace":true)"), done);
    EXPECT_EQ(member(ask("account import", batch(R"({"login":"x"})")), "reason"), "usage");
    EXPECT_EQ(member(ask("account import", batch(R"({"login":"x","hash":"y","z":"1"})")), "reason"),
              "usage");
}

TEST_F(commands_test, a_change_under_a_broken_file_is_stored_and_says_so) {
    file_is_good_ = false;
    const std::string text = ask("account add", account("acme", "new@acme.example"));
    EXPECT_EQ(member(text, "ok"), "true");
    EXPECT_EQ(member(text, "in_force"), "false");
    EXPECT_EQ(member(text, "why"), "the file has a fault");
    EXPECT_EQ(policy_->find_account("new@acme.example"), nullptr);
    file_is_good_ = true;
    EXPECT_EQ(ask("account remove", R"("login":"file@acme.example")"), done);
    EXPECT_NE(policy_->find_account("new@acme.example"), nullptr);
}

TEST_F(commands_test, senders_are_judged_by_the_policy) {
    const std::string acme = R"("tenant":"acme","pattern":)";
    EXPECT_EQ(ask("sender add", acme + R"("Boss@ACME.example")"), done);
    EXPECT_EQ(store_->read(1)->senders.at(0).pattern, "Boss@acme.example");
    EXPECT_EQ(member(ask("sender add", acme + R"("Boss@acme.EXAMPLE")"), "changed"), "false");
    EXPECT_EQ(member(ask("sender add", acme + R"("@acme.example")"), "changed"), "false");
    EXPECT_EQ(member(ask("sender add", acme + R"("@bolt.example")"), "reason"), "refused");
    EXPECT_EQ(ask("sender remove", acme + R"("@acme.example")"), done);
    EXPECT_TRUE(store_->read(1)->senders.at(1).removed);
    // One that is in no domain of the tenant, from an earlier time, can be removed as it is.
    ASSERT_TRUE(store_->add_sender({{}, "x"}, "acme", "@old.example", false));
    EXPECT_EQ(ask("sender remove", acme + R"("@old.example")"), done);
    EXPECT_EQ(member(ask("sender remove", acme + R"("@old.example")"), "reason"), "not_found");
    EXPECT_EQ(member(ask("sender list", ""), "senders"), "2");
    const std::string first = ask("sender list", R"("rows":1)");
    EXPECT_NE(first.find("@bolt.example"), std::string::npos);
    const std::string rest = ask("sender list", R"("rows":1,"after":)" + member(first, "next"));
    EXPECT_NE(rest.find("Boss@acme.example"), std::string::npos);
    EXPECT_EQ(member(rest, "next"), "0");
    EXPECT_EQ(member(ask("sender list", R"("after":9007199254740992)"), "senders"), "0");
}

TEST_F(commands_test, a_token_changes_its_own_tenants_senders_and_nothing_else) {
    const std::string token = crypto::make_token();
    const std::string label = R"("tenant":"acme","label":"laptop")";
    EXPECT_EQ(ask("token add", label + R"(,"digest":")" + crypto::token_digest(token) + "\""),
              done);
    EXPECT_EQ(ask("sender add", R"("pattern":"a@acme.example")", token), done);
    EXPECT_EQ(member(ask("sender list", R"("changes":true)", token), "senders"), "1");
    for (const auto& [command, arguments] : std::vector<std::pair<std::string, std::string>>{
             {"sender add", R"("tenant":"bolt","pattern":"a@bolt.example")"},
             {"sender list", R"("tenant":"bolt")"},
             {"account add", account("acme", "x")},
             {"account passwd", R"("login":"file@acme.example","hash":")" + hash + "\""},
             {"account import", R"("tenant":"acme","accounts":[])"},
             {"account list", ""},
             {"account remove", R"("login":"file@acme.example")"},
             {"token add", label + R"(,"digest":"x")"},
             {"token list", ""},
             {"token revoke", label},
             {"limit set", R"("rule":"messages_per_sender","subject":"a","rate":"1/day")"},
             {"limit reset", R"("rule":"messages_per_sender","subject":"a")"},
             {"limit list", ""},
             {"audit", ""},
             {"policy show", ""},
         }) {
        EXPECT_EQ(member(ask(command, arguments, token), "reason"), "denied") << command;
    }
    EXPECT_EQ(member(ask("sender add", R"("pattern":"a@bolt.example")", token), "reason"),
              "refused");
    const auto rows = store_->audit("acme", 0, 100)->rows;
    EXPECT_EQ(rows[0].result, "bolt.example is not among the domains of acme");
    EXPECT_EQ(rows[0].who.token_label, "laptop");
    EXPECT_EQ(rows[0].who.uid, 1000U);
    EXPECT_EQ(rows[1].what, "policy show");
    EXPECT_EQ(rows[1].result, "denied");
    EXPECT_EQ(ask("token revoke", label), done);
    EXPECT_EQ(member(ask("sender list", "", token), "reason"), "denied");
    EXPECT_EQ(member(ask("sender list", "", crypto::make_token()), "reason"), "denied");
    EXPECT_EQ(ask("audit", "").find(token.substr(8)), std::string::npos);
}

TEST_F(commands_test, a_token_cannot_keep_the_gateway_busy) {
    const std::string token = crypto::make_token();
    (void)ask("token add",
              R"("tenant":"acme","label":"laptop","digest":")" + crypto::token_digest(token) +
                  "\"");
    const std::string pattern = R"("tenant":"acme","pattern":"a@acme.example")";
    std::int64_t taken = 0;
    while (taken < 2 * token_changes_per_minute_max &&
           ask(taken % 2 == 0 ? "sender add" : "sender remove", pattern, token) == done) {
        ++taken;
    }
    EXPECT_EQ(taken, token_changes_per_minute_max);
    const auto rows = member(ask("audit", ""), "audit");
    EXPECT_EQ(member(ask("sender add", pattern, token), "reason"), "refused");
    EXPECT_EQ(member(ask("status", "", token), "reason"), "usage");
    EXPECT_EQ(member(ask("audit", "", token), "reason"), "denied");
    EXPECT_EQ(member(ask("audit", ""), "audit"), rows);
    EXPECT_EQ(ask("sender add", pattern), done); // An operator still may.
}

TEST_F(commands_test, tokens_are_made_for_a_tenant_and_a_time) {
    const std::string label =
        R"("tenant":"acme","label":"laptop","digest":")" + crypto::token_digest("x") + "\"";
    EXPECT_EQ(member(ask("token add", label + R"(,"expires":1)"), "reason"), "refused");
    EXPECT_EQ(member(ask("token add", R"("tenant":"acme","label":"l","digest":"AB")"), "reason"),
              "usage");
    EXPECT_EQ(ask("token add", label + R"(,"expires":4102444800)"), done);
    EXPECT_NE(ask("token list", "").find(R"("expires":4102444800,"expired":false)"),
              std::string::npos);
    EXPECT_EQ(ask("token list", "").find(crypto::token_digest("x")), std::string::npos);
}

TEST_F(commands_test, limits_are_judged_stored_and_shown) {
    const std::string limit = R"("rule":"messages_per_sender","subject":"a@acme.example")";
    EXPECT_EQ(ask("limit set", limit + R"(,"rate":"2000/day","expires":4102444800)"), done);
    EXPECT_EQ(member(ask("limit set", limit + R"(,"rate":"1/day","expires":1)"), "reason"),
              "refused");
    EXPECT_EQ(member(ask("limit set", R"("rule":"x","subject":"a","rate":"1/day")"), "reason"),
              "refused");
    EXPECT_NE(ask("limit list", "").find("2000/day"), std::string::npos);
    EXPECT_EQ(ask("limit reset", limit), done);
    EXPECT_EQ(member(ask("limit reset", limit), "reason"), "not_found");
}

TEST_F(commands_test, the_policy_is_shown_without_hashes) {
    const std::string all = ask("policy show", "");
    EXPECT_EQ(member(all, "tenants"), "2");
    EXPECT_EQ(member(all, "next"), "0");
    EXPECT_EQ(all.find("$y$"), std::string::npos);
    EXPECT_NE(all.find(R"("name":"acme","company":"acme","hostname":"","accounts":1)"),
              std::string::npos);
    EXPECT_EQ(member(ask("policy show", R"("rows":1)"), "next"), "1");
    EXPECT_NE(ask("policy show", R"("rows":1,"after":1)").find("bolt"), std::string::npos);
    EXPECT_EQ(member(ask("policy show", R"("tenant":"bolt")"), "tenants"), "1");
    EXPECT_EQ(member(ask("policy show", R"("tenant":"none")"), "reason"), "not_found");
}

} // namespace
} // namespace ebbgate::overlay
