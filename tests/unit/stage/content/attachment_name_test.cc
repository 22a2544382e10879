// Each evasion of PRODUCT.md 5 and TESTING.md 4 is a row.

#include "stage/content/attachment_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ebbgate::content {
namespace {

using namespace std::string_literals; // NOLINT(google-build-using-namespace): NULs in names
using ::testing::ElementsAre;

struct reading_case {
    const char* what;
    std::string name;
    std::vector<std::string> extensions;
    bool ambiguous = false;
};

std::vector<reading_case> readings() {
    return {
        {"usual", "a.pdf", {"pdf"}},
        {"case", "A.PdF", {"pdf"}},
        {"two", "invoice.pdf.exe", {"exe"}},
        {"two, the other way", "setup.exe.pdf", {"pdf"}},
        {"none", "README", {""}},
        {"dot file", ".profile", {"profile"}},
        {"only dots", "...", {""}},
        {"trailing dots", "evil.exe...", {"exe"}},
        {"trailing blanks", "evil.exe  ", {"exe"}},
        {"trailing both", "evil.exe. . ", {"exe"}},
        {"many blanks", "photo.jpg" + std::string(100, ' ') + ".exe", {"exe"}},
        {"trailing NBSP", "evil.exe\xc2\xa0", {"exe"}},
        {"trailing NUL", "evil.exe\0"s, {"exe"}},
        {"NUL inside", "evil.exe\0.pdf"s, {"exe", "pdf"}},
        {"NUL inside, the other way", "good.pdf\0.exe"s, {"pdf", "exe"}},
        {"control at the end", "evil.exe\x01", {"exe"}},
        {"tab at the end", "evil.exe\t", {"exe"}},
        {"line end", "evil.exe\r\n", {"exe"}},
        {"DEL inside", "evil.e\x7fxe", {"exe"}},
        {"RLO",
         "evil\xe2\x80\xae"
         "fdp.exe",
         {"exe"}},
        {"RLO inside",
         "evil.\xe2\x80\xae"
         "exe",
         {"exe"}},
        {"isolate at the end", "evil.exe\xe2\x81\xa9", {"exe"}},
        {"zero width in it", "evil.e\xe2\x80\x8bxe", {"exe"}},
        {"BOM at the end", "evil.exe\xef\xbb\xbf", {"exe"}},
        {"soft hyphen", "evil.e\xc2\xadxe", {"exe"}},
        {"variation selector", "evil.exe\xef\xb8\x8f", {"exe"}},
        {"Hangul filler", "evil.exe\xe3\x85\xa4", {"exe"}},
        {"stream", "evil.exe:.pdf", {"exe", "pdf"}},
        {"stream of another", "good.pdf:evil.exe", {"pdf", "exe"}},
        {"data stream", "evil.exe::$DATA", {"exe"}},
        {"data stream and dots", "evil.exe. ::$data", {"exe"}},
        {"full-width colon", "evil.exe\xef\xbc\x9a.pdf", {"exe", "pdf"}},
        {"colon in a title", "Re: 12:30.pdf", {"pdf"}},
        {"path", "../../evil.exe", {"exe"}},
        {"Windows path", "C:\\x\\evil.exe", {"exe"}},
        {"dots in a folder", "a.pdf/evil", {""}},
        {"trailing slash", "evil.exe/", {"exe"}},
        {"trailing backslash and dot", "evil.exe\\.", {"exe"}},
        {"percent", "evil%2Eexe", {"", "exe"}},
        {"percent twice", "evil%252eexe", {"", "exe"}},
        {"percent NUL", "evil.exe%00.pdf", {"pdf", "exe"}},
        {"percent that is none", "100%.pdf", {"pdf"}},
        {"percent for ever", "a%252525252eexe", {""}, true},
        {"full-width dot",
         "evil\xef\xbc\x8e"
         "exe",
         {"exe"}},
        {"ideographic stop",
         "evil\xe3\x80\x82"
         "exe",
         {"exe"}},
        {"half-width stop",
         "evil\xef\xbd\xa1"
         "exe",
         {"exe"}},
        {"one dot leader",
         "evil\xe2\x80\xa4"
         "exe",
         {"exe"}},
        {"full-width letters", "evil.\xef\xbd\x85\xef\xbd\x98\xef\xbd\x85", {"exe"}},
        {"Kelvin", "evil.l\x6e\xe2\x84\xaa", {"lnk"}},
        {"class id", "a.{00020c01}", {"{00020c01}"}},
        {"overlong dot",
         "evil\xc0\xae"
         "exe",
         {""}},
        {"Latin-1", "r\xe9sum\xe9.pdf", {"pdf"}},
        {"UTF-8", "r\xc3\xa9sum\xc3\xa9.pdf", {"pdf"}},
        {"quotes left over", "\"evil.exe\"", {"exe\""}},
        {"long", std::string(251, 'a') + ".pdf", {"pdf"}},
        {"too long", std::string(252, 'a') + ".pdf", {"pdf"}, true},
        {"far too long", std::string(5000, 'a') + ".pdf", {}, true},
    };
}

TEST(AttachmentName, EveryReadingIsSeen) {
    for (const reading_case& c : readings()) {
        SCOPED_TRACE(c.what);
        const extension_readings got = extensions_of(c.name);
        // Percent signs are read again in each round, so the order is not told.
        std::vector<std::string> expected = c.extensions;
        for (const std::string& one : expected) {
            EXPECT_NE(std::find(got.extensions.begin(), got.extensions.end(), one),
                      got.extensions.end())
                << one;
        }
        EXPECT_EQ(got.extensions.size(), expected.size())
            << ::testing::PrintToString(got.extensions);
        EXPECT_EQ(got.ambiguous, c.ambiguous);
    }
}

policy::attachment_settings allowing(std::vector<std::string> list) {
    policy::attachment_settings settings;
    std::sort(list.begin(), list.end());
    settings.allow = std::move(list);
    return settings;
}

struct part_case {
    const char* what;
    std::vector<std::string> names;
    const char* type;
    bool attachment;
    bool is_attachment;
    std::optional<attachment_fault> fault;
    std::string named = {};
};

TEST(AttachmentName, PartsAreJudgedByAllTheirNamesAndTheirType) {
    using enum attachment_fault;
    const auto none = std::nullopt;
    const part_case cases[] = {
        {"usual", {"a.pdf"}, "application/pdf", true, true, none, "a.pdf"},
        {"refused", {"a.zip"}, "application/zip", true, true, extension, "a.zip"},
        {"inline", {"a.exe"}, "image/png", false, true, extension, "a.exe"},
        {"the second name", {"a.pdf", "b.exe"}, "application/pdf", true, true, extension, "b.exe"},
        {"the first name", {"b.exe", "a.pdf"}, "application/pdf", true, true, extension, "b.exe"},
        {"no extension", {"README"}, "text/plain", true, true, extension, "README"},
        {"named text", {"a.txt"}, "text/plain", false, true, none, "a.txt"},
        {"text", {}, "text/plain", false, false, none},
        {"no type", {}, "", false, false, none},
        {"html", {}, "TEXT/HTML", false, false, none},
        {"invitation", {}, "text/calendar", false, false, none},
        {"blank name", {"  ", "."}, "text/plain", false, false, none},
        {"text to be saved", {}, "text/plain", true, true, none, "unnamed text/plain"},
        {"html to be saved", {}, "text/html", true, true, extension, "unnamed text/html"},
        {"nameless bytes",
         {},
         "application/octet-stream",
         false,
         true,
         no_name,
         "unnamed application/octet-stream"},
        {"nameless picture", {}, "image/png", false, true, none, "unnamed image/png"},
        {"nameless jpeg", {}, "image/jpeg", false, true, none, "unnamed image/jpeg"},
        {"nameless zip", {}, "application/zip", true, true, extension, "unnamed application/zip"},
        {"nameless what", {}, "x/y", true, true, no_name, "unnamed x/y"},
        {"bounce", {}, "message/delivery-status", false, false, none},
        {"nameless message?", {}, "message/y", false, true, no_name, "unnamed message/y"},
        {"multipart", {}, "multipart/mixed", false, false, none},
        {"message", {}, "message/rfc822", true, false, none},
        {"named message", {"Fwd.eml"}, "message/rfc822", true, true, none, "Fwd.eml"},
        {"message called a program", {"a.exe"}, "message/rfc822", true, true, extension, "a.exe"},
        {"eml that is none", {"a.eml"}, "text/plain", true, true, extension, "a.eml"},
        {"report", {}, "message/delivery-status", false, false, none},
        {"fragment", {}, "message/partial", false, true, ambiguous, "unnamed message/partial"},
        {"reference", {"a.pdf"}, "Message/External-Body", false, true, ambiguous, "a.pdf"},
        {"TNEF", {"winmail.dat"}, "application/ms-tnef", true, true, ambiguous, "winmail.dat"},
        {"signature", {}, "application/pkcs7-signature", false, false, none},
        {"named signature",
         {"smime.p7s"},
         "application/pkcs7-signature",
         true,
         true,
         extension,
         "smime.p7s"},
        {"program by type", {"a.pdf"}, "application/x-msdownload", true, true, extension, "a.pdf"},
        {"script by type", {}, "text/javascript", false, true, extension},
        {"stop",
         {std::string(300, 'a') + ".pdf"},
         "x/y",
         true,
         true,
         ambiguous,
         std::string(300, 'a') + ".pdf"},
    };
    const auto settings = allowing({"pdf", "txt", "gif", "jpg", "png"});
    for (const part_case& c : cases) {
        SCOPED_TRACE(c.what);
        const name_judgement got = judge_names(settings, {c.names, c.type, c.attachment});
        EXPECT_EQ(got.is_attachment, c.is_attachment);
        EXPECT_EQ(got.refusal ? std::optional(got.refusal->fault) : std::nullopt, c.fault);
        EXPECT_EQ(got.refusal ? got.refusal->name : got.name, c.named);
    }
}

TEST(AttachmentName, TooManyNamesAreAmbiguous) {
    std::vector<std::string> names(names_max, "a.pdf");
    EXPECT_FALSE(judge_names(allowing({"pdf"}), {names, "x/y", true}).refusal);
    names.push_back("b.exe");
    const auto got = judge_names(allowing({"pdf"}), {names, "x/y", true});
    ASSERT_TRUE(got.refusal);
    EXPECT_EQ(got.refusal->fault, attachment_fault::ambiguous);
}

TEST(AttachmentName, WithoutAListEveryNameIsAllowed) {
    const policy::attachment_settings all;
    const std::vector<std::string> names = {"a.exe"};
    const auto got = judge_names(all, {names, "x/y", true});
    EXPECT_FALSE(got.refusal);
    EXPECT_THAT(got.extensions, ElementsAre("exe"));
    EXPECT_FALSE(judge_names(all, {{}, "application/octet-stream", true}).refusal);
}

TEST(AttachmentName, AnEmptyListAllowsNothing) {
    const std::vector<std::string> names = {"a.pdf"};
    EXPECT_TRUE(judge_names(allowing({}), {names, "application/pdf", true}).refusal);
    EXPECT_TRUE(judge_names(allowing({}), {{}, "image/png", false}).refusal);
    EXPECT_FALSE(judge_names(allowing({}), {{}, "text/plain", false}).refusal);
}

} // namespace
} // namespace ebbgate::content
