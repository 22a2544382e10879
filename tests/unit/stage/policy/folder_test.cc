// A policy as a folder: which files count, in which order, and which file a fault names.

#include "config/reader.h"
#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace ebbgate::policy {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view globals =
    R"({"routes":[{"match":"*","relay":"hold"}],
        "defaults":{"limits":{"messages_per_sender":"5/day"}},
        "tenants":[{"name":"in-globals"}]})";

class PolicyFolder : public ::testing::Test {
protected:
    void SetUp() override {
        folder_ = fs::path(::testing::TempDir()) / fmt::format("policy_folder.{}", ::getpid());
        fs::remove_all(folder_);
        fs::create_directories(folder_);
    }

    void TearDown() override { fs::remove_all(folder_); }

    void write(const std::string& name, std::string_view text) const {
        std::ofstream(folder_ / name, std::ios::binary) << text;
    }

    [[nodiscard]] std::string faults() const {
        const auto made = load(folder_.string());
        std::string text = made ? "" : config::to_text(made.error());
        for (auto at = text.find(folder_.string()); at != std::string::npos;
             at = text.find(folder_.string())) {
            text.replace(at, folder_.string().size(), "DIR");
        }
        return text;
    }

    fs::path folder_;
};

TEST_F(PolicyFolder, OneFileATenantInTheOrderOfTheNames) {
    write("policy.json", globals);
    write("b.json",
          R"({"name":"second","domains":["b.example"],"authorized_senders":["@b.example"],
              "hostname":"smtp.b.example","tls":{"certificate":"b.pem","key":"/etc/b.key"}})");
    write("a.json", R"({"name":"first"})");
    // None of these is a tenant's.
    write(".hidden.json", "no JSON at all");
    write("a.json~", "no JSON at all");
    write("README", "no JSON at all");
    fs::create_directory(folder_ / "folder.json");
    ASSERT_EQ(::mkfifo((folder_ / "pipe.json").c_str(), 0600), 0);
    // A link is what it leads to.
    fs::create_directory(folder_ / "..data");
    write("..data/c.json", R"({"name":"third"})");
    fs::create_symlink("..data/c.json", folder_ / "c.json");

    const auto made = load(folder_.string());
    ASSERT_TRUE(made.has_value()) << config::to_text(made.error());
    const snapshot& policy = **made;
    std::string names;
    for (const tenant& one : policy.tenants()) {
        names += one.name + ' ';
    }
    EXPECT_EQ(names, "in-globals first second third ");
    const tenant& second = *policy.find_tenant("second");
    EXPECT_EQ(second.limits.rate_of(rate_rule::messages_per_sender).count, 5U);
    EXPECT_EQ(second.tls.certificate, (folder_ / "b.pem").string());
    EXPECT_EQ(second.tls.key, "/etc/b.key");
    EXPECT_EQ(policy.tenant_for_server_name("SMTP.B.example.")->name, "second");
    EXPECT_EQ(policy.tenant_for_server_name("smtp.c.example"), nullptr);
    const auto verdict = policy.may_send(second, "x@b.example");
    ASSERT_TRUE(verdict.allowed);
    EXPECT_EQ(policy.place_of_sender(verdict.rule).file, (folder_ / "b.json").string());
    EXPECT_EQ(policy.place_of_sender(verdict.rule).pointer, "/authorized_senders/0");
    EXPECT_EQ(policy.place_of_limit(second, nullptr, limit_key::messages_per_sender).file,
              (folder_ / "policy.json").string());
    EXPECT_EQ(policy.place_of(policy.tenants()[0]).pointer, "/tenants/0");

    // The same files are the same policy; a change in one is another.
    EXPECT_EQ((*load(folder_.string()))->fingerprint(), policy.fingerprint());
    write("a.json", R"({"name":"first" })");
    EXPECT_NE((*load(folder_.string()))->fingerprint(), policy.fingerprint());
}

TEST_F(PolicyFolder, EachFaultNamesItsFile) {
    write("policy.json", globals);
    write("a.json", "{\"name\":\"a\",\n\"domains\":[\"x.a.example\"]}");
    write("b.json", "{\"name\":\"b\",\n\n\"domains\":[\"a.example\",\"y\",\"-\"]}");
    write("c.json", "{\"name\":\"a\",\n\"hostnam\":\"x\"}");
    write("d.json", "{\"name\":");
    write("e.json", "[]");
    fs::create_symlink("nowhere", folder_ / "f.json");
    EXPECT_EQ(
        faults(),
        "DIR/a.json:2: /domains/0: \"a.example\" covers it and is tenant \"b\"'s; expected domains "
        "of one tenant only\n"
        "DIR/b.json:3: /domains/2: expected a domain such as \"acme.example\" (international ones "
        "in UTF-8 or as A-labels), found \"-\"\n"
        "DIR/c.json:1: /name: another tenant has this name; expected one of its own\n"
        "DIR/c.json:2: /hostnam: unknown key; did you mean \"hostname\"?\n"
        "DIR/d.json:1: /: expected an object that ends, and nothing after it\n"
        "DIR/e.json:1: /: expected an object, found an array\n"
        "DIR/f.json: cannot be read: No such file or directory\n");
}

TEST_F(PolicyFolder, ItsGlobalsAreRequired) {
    write("a.json", R"({"name":"a"})");
    EXPECT_EQ(faults(), "DIR/policy.json: cannot be read: No such file or directory\n");
    write("policy.json", "{}");
    EXPECT_EQ(faults(),
              "DIR/policy.json:1: /: \"routes\" is missing; expected an array of routes\n");
    write("policy.json", R"({"routes":[{"match":"*","relay":"hold"}]})");
    EXPECT_EQ(faults(), "");
}

TEST_F(PolicyFolder, AFileByItselfMustBeRegular) {
    ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
    EXPECT_EQ(config::to_text(load((folder_ / "pipe").string()).error()),
              (folder_ / "pipe").string() + ": expected a regular file\n");
    EXPECT_EQ(config::to_text(load((folder_ / "none").string()).error()),
              (folder_ / "none").string() + ": cannot be read: No such file or directory\n");
}

TEST_F(PolicyFolder, AFileThatIsTooLargeIsNotRead) {
    write("policy.json", "");
    fs::resize_file(folder_ / "policy.json", config::file_bytes_max + 1); // A hole.
    EXPECT_EQ(faults(), "DIR/policy.json: is too large; expected at most 67108864 bytes\n");
    fs::resize_file(folder_ / "policy.json", std::uintmax_t{1} << 40);
    EXPECT_EQ(faults(), "DIR/policy.json: is too large; expected at most 67108864 bytes\n");
}

TEST_F(PolicyFolder, FilesFullOfFaultsAreNotAllRead) {
    write("policy.json", globals);
    std::string bad = R"({"name":"a","domains":[)";
    for (int i = 0; i < 900; ++i) {
        bad += "1,";
    }
    bad += "1]}";
    for (int i = 0; i < 20; ++i) {
        write(fmt::format("t{}.json", i), bad);
    }
    const auto made = load(folder_.string());
    ASSERT_FALSE(made.has_value());
    EXPECT_GE(made.error().size(), config::faults_max);
    EXPECT_LT(made.error().size(), 2 * config::faults_max);
}

} // namespace
} // namespace ebbgate::policy
