// Files that nobody wrote by mistake: each gives a clear fault, soon, in bounded memory.

#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace ebbgate::policy {
namespace {

namespace fs = std::filesystem;

std::string repeated(std::string_view part, std::size_t bytes) {
    std::string text;
    text.reserve(bytes + part.size());
    while (text.size() < bytes) {
        text += part;
    }
    return text;
}

// Made when it is used: before + part, again and again + after.
struct bomb {
    const char* name;
    std::string before;
    std::string part;
    std::size_t bytes;
    std::string after;
    std::string_view fault; // Part of the first one.
};

// EBBGATE_SHOW_TIMES: as large as a file may be, and what each costs.
const bool measuring = std::getenv("EBBGATE_SHOW_TIMES") != nullptr;
const std::size_t large = (measuring ? 60 : 8) * mib;

std::string numbered_keys(std::string_view name, int count) {
    std::string text = "{\"a\":1";
    for (int i = 0; i < count; ++i) {
        text += fmt::format(",\"{}{}\":1", name, i);
    }
    return text + "}";
}

std::vector<bomb> bombs() {
    const std::string root = R"({"routes":[{"match":"*","relay":"hold"}],"tenants":)";
    const std::string senders =
        root + R"([{"name":"a","domains":["a.example"],"authorized_senders":[)";
    const std::string hashed = R"({"login":"x","password":"$6$saltsaltsaltsaltsalt"},)";
    const std::string long_domain = "\"" + repeated("\\u00fc.", 6000) + "\",";
    return {
        {"arrays in arrays", "", "[", large, "", "too many values"},
        {"arrays in arrays, closed", "", "[", mib, repeated("]", mib), "too deeply"},
        {"objects in objects", "", "{\"a\":", 20 * mib, "", "an object that ends"},
        {"objects in arrays", "[", "{\"a\":[", 600, repeated("]}", 200) + "]", "too deeply"},
        {"numbers", "[", "1,", 12 * mib, "1]", "too many values"},
        {"not so many numbers", "[", "1,", 6 * mib, "1]", "too many values"},
        {"empty arrays", "[", "[],", large, "[]]", "too many values"},
        {"strings of commas", root + "\"", ",", large, "\"}", "an array"},
        {"many keys", numbered_keys("", 2'000'000), "", 0, "", "too many members"},
        {"many unknown keys", numbered_keys("tenantz", 60'000), "", 0, "", "unknown key"},
        {"the same key", "{", "\"a\":1,", mib / 4, "\"a\":1}", "duplicate"},
        {"an endless string", root + "\"", "x", large, "", "no closing quote"},
        {"an endless key", "{\"", "x", large, "\":1}", "a key is too long"},
        {"escapes", root + "\"", "\\u0041", large, "\"}", "an array"},
        {"an endless number", root, "9", large, "}", "too large"},
        {"spaces", "", " ", large, "", "expected a JSON value"},
        {"lines", "", "\n", large, "", "expected a JSON value"},
        {"invalid UTF-8", root + "\"", "\xc0\xaf", large, "\"}", "UTF-8"},
        {"wrong types", root + "[", "1,", 64 * 1024, "1]}", "expected an object"},
        {"too long a text", "", " ", 65 * mib, "", "too large"},
        {"wrong senders", senders, "\"x\",", 4 * mib, "1]}]}", "expected an address"},
        {"one sender", senders, "\"@a.example\",", large / 2, "1]}]}", "in this list"},
        {"long domains",
         root + R"([{"name":"a","domains":[)",
         long_domain,
         large,
         "1]}]}",
         "expected a domain"},
        {"one account",
         root + R"([{"name":"a","accounts":[)",
         hashed,
         large / 2,
         "1]}]}",
         "the login exists already"},
    };
}

// The most that was resident since the last reset; 0 where the kernel does not tell.
std::size_t peak_mib() {
    std::ifstream status("/proc/self/status");
    std::string word;
    std::size_t kib_used = 0;
    while (status >> word) {
        if (word == "VmHWM:") {
            status >> kib_used;
        }
    }
    return kib_used / 1024;
}

void reset_peak() {
    std::ofstream("/proc/self/clear_refs") << "5";
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

TEST(PolicyHostile, BombsAreRefusedSoonAndInBoundedMemory) {
    for (const bomb& one : bombs()) {
        SCOPED_TRACE(one.name);
        std::string text = one.before;
        text.reserve(one.before.size() + one.bytes + one.after.size() + 128 * 1024);
        while (text.size() < one.before.size() + one.bytes) {
            text += one.part;
        }
        text += one.after;
        reset_peak();
        const std::size_t used_before = peak_mib();
        const std::clock_t before = std::clock(); // Of this process: others do not slow it.
        const auto made = parse(text, "p.json");
        const double took = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
        const std::size_t used = peak_mib() - used_before;
        if (measuring) {
            fmt::print("{:.3f} s, {} MiB: {}\n", took, used, one.name);
        }
        ASSERT_FALSE(made.has_value());
        ASSERT_FALSE(made.error().empty());
        EXPECT_LE(made.error().size(), config::faults_max);
        const std::string first = config::to_text(made.error().front());
        EXPECT_NE(first.find(one.fault), std::string::npos) << first.substr(0, 300);
        EXPECT_LT(first.size(), 1000U);
        // About a second without sanitizers; ten times that is a fault of the reader.
        EXPECT_LT(took, sanitized ? 100.0 : 10.0);
        if (!sanitized) {
            EXPECT_LT(used, 800U);
        }
    }
}

TEST(PolicyHostile, EveryPrefixOfAGoodFileIsRefused) {
    const std::string good = R"({"routes":[{"match":"*","relay":"hold"}],"tenants":[{"name":"a",
        "domains":["a.example"],"authorized_senders":["@a.example"]}]})";
    ASSERT_TRUE(parse(good, "p.json").has_value());
    for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
        const auto made = parse(good.substr(0, bytes), "p.json");
        ASSERT_FALSE(made.has_value()) << good.substr(0, bytes);
        EXPECT_FALSE(made.error().empty());
    }
}

TEST(PolicyHostile, EveryValueOfTheWrongKindIsRefused) {
    constexpr std::string_view keys[] = {
        R"({"routes":@,"tenants":[]})",
        R"({"routes":[@],"tenants":[]})",
        R"({"routes":[{"match":@,"relay":"hold"}],"tenants":[]})",
        R"({"routes":[{"match":"*","relay":@}],"tenants":[]})",
    };
    constexpr std::string_view more[] = {"\"delivery\":@",
                                         "\"delivery\":{\"retry\":@}",
                                         "\"bans\":@",
                                         "\"bans\":{\"find_time\":@}",
                                         "\"bans\":{\"ignore\":@}",
                                         "\"bans\":{\"ban_time_increment\":@}",
                                         "\"defaults\":@",
                                         "\"defaults\":{\"limits\":@}",
                                         "\"tenants\":@",
                                         "\"tenants\":[@]"};
    constexpr std::string_view tenant[] = {"\"name\":@",
                                           "\"name\":\"a\",\"domains\":@",
                                           "\"name\":\"a\",\"domains\":[@]",
                                           "\"name\":\"a\",\"authorized_senders\":@",
                                           "\"name\":\"a\",\"authorized_senders\":[@]",
                                           "\"name\":\"a\",\"accounts\":@",
                                           "\"name\":\"a\",\"accounts\":[@]",
                                           "\"name\":\"a\",\"relay_hosts\":[@]",
                                           "\"name\":\"a\",\"tls\":@",
                                           "\"name\":\"a\",\"limits\":{\"limit_reply\":@}",
                                           "\"name\":\"a\",\"limits\":{\"message_size\":@}",
                                           "\"name\":\"a\",\"limits\":{\"connections\":@}",
                                           "\"name\":\"a\",\"company\":@"};
    std::vector<std::string> templates(std::begin(keys), std::end(keys));
    const std::string routes = R"({"routes":[{"match":"*","relay":"hold"}])";
    for (const std::string_view one : more) {
        templates.push_back(routes + (one.starts_with("\"tenants") ? "," : ",\"tenants\":[],") +
                            std::string(one) + "}");
    }
    for (const std::string_view one : tenant) {
        templates.push_back(routes + ",\"tenants\":[{" + std::string(one) + "}]}");
    }
    for (const std::string& text : templates) {
        for (const char* value : {"null", "1.5", "-1", "\"\\u0000\"", "\"\""}) {
            std::string filled = text;
            filled.replace(filled.find('@'), 1, value);
            const auto made = parse(filled, "p.json");
            ASSERT_FALSE(made.has_value()) << filled;
            EXPECT_GE(made.error().front().line, 1U);
        }
    }
}

// nst/JSONTestSuite: none of its texts is a policy, and none may do harm.
TEST(PolicyHostile, TheJsonTestSuiteIsRefused) {
    const char* corpora = std::getenv("EBBGATE_CORPORA");
    const fs::path folder = fs::path(corpora == nullptr ? "" : corpora) / "json" / "test_parsing";
    if (corpora == nullptr || !fs::is_directory(folder)) {
        GTEST_SKIP() << "skipped: corpus not present";
    }
    std::size_t files = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() != ".json") {
            continue;
        }
        ++files;
        const auto made = load(entry.path().string());
        ASSERT_FALSE(made.has_value()) << entry.path();
        EXPECT_FALSE(config::to_text(made.error()).empty());
    }
    EXPECT_GT(files, 300U);
}

} // namespace
} // namespace ebbgate::policy
