// docs/policy.schema.json and the loader know the same keys, object by object.

#include "codec/json/document.h"
#include "config/reader.h"
#include "stage/policy/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>

namespace ebbgate::policy {
namespace {

namespace fs = std::filesystem;

using key_sets = std::map<std::string, std::set<std::string>>;

// EBBGATE_DOCS names the folder; otherwise it is found above this file.
std::string schema_file() {
    if (const char* named = std::getenv("EBBGATE_DOCS"); named != nullptr) {
        return (fs::path(named) / "policy.schema.json").string();
    }
    for (fs::path at = fs::absolute(__FILE__).parent_path(); at.has_relative_path();
         at = at.parent_path()) {
        if (fs::exists(at / "docs" / "policy.schema.json")) {
            return (at / "docs" / "policy.schema.json").string();
        }
    }
    return {};
}

// Every object that the schema describes: its path, and its keys.
void collect(const json::value& root,
             const json::value& at,
             const std::string& path,
             key_sets& into) {
    if (const json::value* reference = at.find("$ref")) {
        constexpr std::string_view prefix = "#/$defs/";
        ASSERT_TRUE(reference->text().starts_with(prefix)) << reference->text();
        const json::value* named =
            root.find("$defs")->find(reference->text().substr(prefix.size()));
        ASSERT_NE(named, nullptr) << reference->text();
        collect(root, *named, path, into);
        return;
    }
    if (const json::value* choices = at.find("anyOf")) {
        for (const json::value& choice : choices->children()) {
            collect(root, choice, path, into);
        }
    }
    if (const json::value* items = at.find("items")) {
        collect(root, *items, path + "[]", into);
    }
    const json::value* type = at.find("type");
    if (type == nullptr || type->text() != "object") {
        return;
    }
    const json::value* others = at.find("additionalProperties");
    ASSERT_NE(others, nullptr) << path;
    EXPECT_TRUE(others->is(json::kind::boolean) && !others->boolean()) << path;
    std::set<std::string>& keys = into[path];
    for (const json::value& property : at.find("properties")->children()) {
        keys.emplace(property.key());
        collect(root, property, path + "/" + std::string(property.key()), into);
    }
}

std::set<std::string> built(std::span<const config::known_key> keys,
                            std::span<const std::string_view> without = {}) {
    std::set<std::string> names;
    for (const config::known_key& key : keys) {
        if (key.built && std::find(without.begin(), without.end(), key.name) == without.end()) {
            names.emplace(key.name);
        }
    }
    return names;
}

TEST(PolicySchema, KnowsTheKeysThatTheLoaderKnows) {
    const auto text = config::read_file(schema_file());
    ASSERT_TRUE(text.has_value()) << config::to_text(text.error());
    const auto schema = json::document::parse(*text);
    ASSERT_TRUE(schema.has_value()) << schema.error().message;
    key_sets found;
    collect(schema->root(), schema->root(), "", found);
    const key_sets expected = {
        {"", built(keys::root)},
        {"/delivery", built(keys::delivery)},
        {"/delivery/retry", built(keys::retry)},
        {"/delivery/shaping[]", built(keys::shaping)},
        {"/delivery/timeouts", built(keys::timeouts)},
        {"/routes[]", built(keys::route)},
        {"/bans", built(keys::bans)},
        {"/defaults", built(keys::defaults)},
        {"/defaults/limits", built(keys::limits)},
        {"/defaults/limits/limit_reply", built(keys::limit_reply)},
        {"/defaults/attachments", built(keys::attachments)},
        {"/defaults/filelink", built(keys::filelink)},
        {"/defaults/filelink/tls", built(keys::tls)},
        {"/tenants[]", built(keys::tenant)},
        {"/tenants[]/attachments", built(keys::attachments)},
        {"/tenants[]/filelink", built(keys::filelink)},
        {"/tenants[]/filelink/tls", built(keys::tls)},
        {"/tenants[]/dkim[]", built(keys::dkim)},
        {"/tenants[]/tls", built(keys::tls)},
        {"/tenants[]/egress", built(keys::egress)},
        {"/tenants[]/suppression", built(keys::suppression)},
        {"/tenants[]/egress/sources[]", built(keys::egress_source)},
        {"/tenants[]/limits", built(keys::limits)},
        {"/tenants[]/limits/limit_reply", built(keys::limit_reply)},
        {"/tenants[]/accounts[]", built(keys::account)},
        {"/tenants[]/accounts[]/limits", built(keys::limits, keys::tenant_limits)},
        {"/tenants[]/accounts[]/limits/limit_reply", built(keys::limit_reply)},
    };
    EXPECT_EQ(found, expected);
}

// Every built key stands in the prose too.
TEST(PolicySchema, TheManualNamesEveryKey) {
    const std::string file = (fs::path(schema_file()).parent_path() / "policy.md").string();
    const auto text = config::read_file(file);
    ASSERT_TRUE(text.has_value()) << config::to_text(text.error());
    for (const std::span<const config::known_key> table :
         {std::span<const config::known_key>(keys::root),
          std::span<const config::known_key>(keys::delivery),
          std::span<const config::known_key>(keys::retry),
          std::span<const config::known_key>(keys::timeouts),
          std::span<const config::known_key>(keys::route),
          std::span<const config::known_key>(keys::bans),
          std::span<const config::known_key>(keys::tenant),
          std::span<const config::known_key>(keys::account),
          std::span<const config::known_key>(keys::tls),
          std::span<const config::known_key>(keys::limits),
          std::span<const config::known_key>(keys::attachments),
          std::span<const config::known_key>(keys::filelink),
          std::span<const config::known_key>(keys::dkim),
          std::span<const config::known_key>(keys::limit_reply)}) {
        for (const config::known_key& key : table) {
            EXPECT_NE(text->find(key.name), std::string::npos) << key.name;
        }
    }
}

} // namespace
} // namespace ebbgate::policy
