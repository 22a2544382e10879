// Whole attachments, in chunks of several sizes.

#include "archives.h"
#include "stage/content/attachment_judge.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ebbgate::content {
namespace {

using namespace std::string_literals; // NOLINT(google-build-using-namespace): NULs in files

policy::attachment_settings office() {
    policy::attachment_settings settings;
    settings.allow = std::vector<std::string>{
        "7z", "csv", "docx", "gif", "gz", "pdf", "tar", "tgz", "txt", "zip"};
    return settings;
}

std::optional<attachment_refusal> judged(const policy::attachment_settings& settings,
                                         const std::string& name,
                                         const std::string& bytes) {
    std::optional<attachment_refusal> first;
    for (const std::size_t step : {std::size_t{1} << 20, std::size_t{1}, std::size_t{100}}) {
        attachment_judge judge(settings);
        const std::vector<std::string> names = {name};
        judge.begin({names, "application/octet-stream", true});
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            const std::string chunk = bytes.substr(at, step);
            judge.feed(chunk);
        }
        judge.end();
        if (step > 100) {
            first = judge.refusal();
        }
        EXPECT_EQ(judge.refusal(), first) << "steps of " << step;
        EXPECT_FALSE(judge.wants_content());
    }
    return first;
}

struct whole_case {
    const char* what;
    const char* name;
    std::string bytes;
    std::optional<attachment_fault> fault;
};

TEST(AttachmentJudge, JudgesNamesContentAndMembers) {
    using enum attachment_fault;
    const auto none = std::nullopt;
    const std::string program = "MZ\x90\0\x03\0\0\0"s + std::string(5000, 'x');
    const std::string picture = "GIF89a" + std::string(5000, 'x');
    const std::string hidden = zip({{"evil.exe"}});
    const whole_case cases[] = {
        {"pdf", "a.pdf", "%PDF-1.4\n" + std::string(9000, 'x'), none},
        {"empty", "a.pdf", "", none},
        {"program", "a.pdf", program, content},
        {"short program",
         "a.pdf",
         "\x7f"
         "ELF",
         content},
        {"name before content", "a.exe", program, extension},
        {"zip called pdf", "a.pdf", hidden, content},
        {"OLE called pdf", "a.pdf", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", content},
        {"zip behind a picture", "a.gif", picture + hidden, content},
        {"short zip behind a picture", "a.gif", "GIF89a" + hidden, content},
        {"zip behind a picture, and more",
         "a.gif",
         picture + hidden + std::string(999, 'x'),
         content},
        {"zip far in front of the end",
         "a.gif",
         "GIF89a" + hidden + std::string(70'000, 'x'),
         none},
        {"picture with the four bytes",
         "a.gif",
         picture + "PK\x05\x06" + std::string(30, 'x'),
         none},
        {"zip", "a.zip", zip({{"b.pdf"}, {"c/d.txt"}}), none},
        {"zip with a program", "a.zip", zip({{"b.pdf"}, {"evil.exe"}}), member},
        {"zip with a hidden name",
         "a.zip",
         zip({{.name = "a.pdf", .central_name = "a.exe"}}),
         member},
        {"zip in zip", "a.zip", zip({{"b.zip", hidden}}), unlisted},
        {"tgz in zip", "a.zip", zip({{"b.tgz"}}), unlisted},
        {"document in zip", "a.zip", zip({{"b.docx"}}), none},
        {"rar in zip", "a.zip", zip({{"b.rar"}}), member},
        {"no extension in zip", "a.zip", zip({{"Makefile"}}), member},
        {"encrypted zip", "a.zip", zip({{.name = "a.pdf", .flags = 1}}), encrypted},
        {"masked zip", "a.zip", zip({{.name = "a.pdf", .flags = 1U << 13}}), encrypted},
        {"broken zip", "a.zip", hidden.substr(0, 36) + "x", ambiguous},
        {"zip that is none", "a.zip", "hello", ambiguous},
        {"zip with names that differ",
         "a.zip",
         zip({{.name = "a.pdf", .central_name = "b.pdf"}}),
         ambiguous},
        {"7z", "a.7z", "7z\xbc\xaf\x27\x1c", unlisted},
        {"document", "a.docx", zip({{"[Content_Types].xml"}, {"word/media/image1.emf"}}), none},
        {"document with a program", "a.docx", zip({{"word/a.exe"}}), member},
        {"tar", "a.tar", tar_member("b.pdf", "x") + tar_end(), none},
        {"tar with a program", "a.tar", tar_member("b.exe", "x") + tar_end(), member},
        {"tgz", "a.tgz", gzip(tar_member("b.pdf", "x") + tar_end()), none},
        {"tar.gz with a program", "a.tar.gz", gzip(tar_member("b.exe", "x") + tar_end()), member},
        {"tgz of a text", "a.tgz", gzip("hello"), ambiguous},
        {"gz of a table", "a.csv.gz", gzip("1,2,3"), none},
        {"gz of a program by name", "a.exe.gz", gzip("hello"), member},
        {"gz of a program by its stored name", "a.csv.gz", gzip("hello", "a.exe"), member},
        {"gz of a program by its bytes", "a.csv.gz", gzip(program), content},
        {"gz of nothing by name", "a.gz", gzip("hello"), member},
    };
    const auto settings = office();
    for (const whole_case& c : cases) {
        SCOPED_TRACE(c.what);
        const auto got = judged(settings, c.name, c.bytes);
        EXPECT_EQ(got ? std::optional(got->fault) : std::nullopt, c.fault)
            << (got ? got->detail : "");
        if (got) {
            EXPECT_EQ(got->name, c.name);
            EXPECT_FALSE(got->detail.empty());
        }
    }
}

TEST(AttachmentJudge, EachRuleCanBeRelaxed) {
    const std::string locked = zip({{.name = "a.pdf", .flags = 1}});
    auto settings = office();
    settings.encrypted_archives = policy::strictness::allow;
    EXPECT_FALSE(judged(settings, "a.zip", locked));
    EXPECT_TRUE(judged(settings, "a.zip", zip({{.name = "a.exe", .flags = 1}})));
    EXPECT_EQ(judged(settings, "a.zip", zip({{.name = "a", .flags = 1U << 13}}))->fault,
              attachment_fault::unlisted);
    settings = office();
    settings.ambiguous = policy::strictness::allow;
    EXPECT_FALSE(judged(settings, "a.zip", "hello"));
    EXPECT_FALSE(judged(settings, "a.zip", zip({{.name = "a.pdf", .central_name = "b.pdf"}})));
    EXPECT_TRUE(judged(settings, "a.zip", zip({{.name = "a.pdf", .central_name = "b.exe"}})));
    settings = office();
    settings.archives = policy::archive_rule::name;
    EXPECT_FALSE(judged(settings, "a.zip", zip({{"evil.exe"}})));
    EXPECT_FALSE(judged(settings, "a.7z", "7z\xbc\xaf\x27\x1c"));
    EXPECT_TRUE(judged(settings, "a.pdf", zip({{"evil.exe"}})));
    settings = office();
    settings.sniff = false;
    EXPECT_FALSE(judged(settings, "a.pdf", "MZ\x90\0"s));
    EXPECT_TRUE(judged(settings, "a.zip", zip({{"evil.exe"}})));
}

TEST(AttachmentJudge, WithoutAListOnlyMembersThatLieAreRefused) {
    const policy::attachment_settings all;
    EXPECT_FALSE(judged(all, "a.exe", "MZ\x90\0"s));
    EXPECT_TRUE(judged(all, "a.pdf", "MZ\x90\0"s));
    EXPECT_FALSE(judged(all, "a.zip", zip({{"evil.exe"}})));
    EXPECT_TRUE(judged(all, "a.zip", zip({{.name = "a", .flags = 1}})));
    EXPECT_FALSE(judged(all, "a.7z", "7z\xbc\xaf\x27\x1c"));
}

TEST(AttachmentJudge, TheFirstRefusalStays) {
    const auto settings = office();
    attachment_judge judge(settings);
    judge.begin({{}, "text/plain", false});
    EXPECT_FALSE(judge.wants_content());
    judge.feed("MZ\x90\0"s);
    judge.end();
    EXPECT_FALSE(judge.refusal());
    const std::vector<std::string> first = {"a.exe"};
    judge.begin({first, "x/y", true});
    judge.end();
    const std::vector<std::string> second = {"b.exe"};
    judge.begin({second, "x/y", true});
    judge.end();
    judge.note_ambiguous("c", "two boundaries");
    ASSERT_TRUE(judge.refusal());
    EXPECT_EQ(judge.refusal()->name, "a.exe");
}

TEST(AttachmentJudge, StructureIsRefusedUnlessItIsAllowed) {
    auto settings = office();
    attachment_judge strict(settings);
    strict.note_ambiguous("a.pdf", "two boundaries");
    ASSERT_TRUE(strict.refusal());
    EXPECT_EQ(strict.refusal()->fault, attachment_fault::ambiguous);
    settings.ambiguous = policy::strictness::allow;
    attachment_judge lenient(settings);
    lenient.note_ambiguous("a.pdf", "two boundaries");
    EXPECT_FALSE(lenient.refusal());
}

} // namespace
} // namespace ebbgate::content
