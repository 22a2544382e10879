// Files where no header announces them, and what a refusal calls what has no clear name.

#include "stage/content/attachment_scan.h"

#include <gtest/gtest.h>

namespace ebbgate::content {
namespace {

constexpr std::string_view file = "begin 644 a.exe\r\n#0V%T\r\n`\r\nend\r\n";
constexpr std::string_view multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
constexpr std::string_view text_part = "--b\r\n\r\ntext\r\n--b--\r\n";

std::optional<attachment_refusal> scanned(const std::string& message) {
    policy::attachment_settings settings;
    settings.allow = std::vector<std::string>{"pdf", "txt"};
    std::optional<attachment_refusal> whole;
    for (const std::size_t step : {message.size(), std::size_t{1}, std::size_t{7}}) {
        attachment_scan scan(settings);
        for (std::size_t at = 0; at < message.size(); at += step) {
            scan.push(byte_view(message).substr(at, step));
        }
        scan.finish();
        if (step == message.size()) {
            whole = scan.refusal();
        }
        EXPECT_EQ(scan.refusal(), whole) << "steps of " << step;
    }
    return whole;
}

std::string joined(std::initializer_list<std::string_view> parts) {
    std::string out;
    for (const std::string_view part : parts) {
        out += part;
    }
    return out;
}

TEST(AttachmentScan, FindsFilesBesideTheParts) {
    EXPECT_FALSE(scanned(joined({multipart, "a preamble\r\n", text_part, "an epilogue\r\n"})));
    const auto in_preamble = scanned(joined({multipart, file, text_part}));
    const auto in_epilogue = scanned(joined({multipart, text_part, file}));
    ASSERT_TRUE(in_preamble && in_epilogue);
    EXPECT_EQ(in_preamble->name, "a.exe");
    EXPECT_EQ(in_epilogue->name, "a.exe");
    // What begins a line in the one does not go on in the other.
    EXPECT_FALSE(scanned(joined({multipart, "begin", text_part, " 644 a.exe\r\n"})));
}

TEST(AttachmentScan, RefusesUuencodeAsATransferEncoding) {
    const auto refused = scanned(joined({"Content-Transfer-Encoding: x-uuencode\r\n\r\n", file}));
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->fault, attachment_fault::ambiguous);
}

TEST(AttachmentScan, ARefusalNamesThePartThatIsUnclear) {
    struct named_case {
        std::string_view message;
        const char* name;
    };

    const named_case cases[] = {
        {"Content-Disposition: attachment; filename=a.pdf; filename=b.pdf\r\n\r\n", "a.pdf"},
        {"Content-Disposition: attachment; filename=a.pdf; filename=b.exe\r\n\r\n", "b.exe"},
        {"Content-Type: text/plain\r\n \r\nContent-Disposition: x; filename=a.pdf\r\n\r\n",
         "a.pdf"},
        {"Content-Type: multipart/mixed\r\n\r\n", "unnamed multipart/mixed"},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
         "Content-Disposition: x; filename=a.pdf\r\n\r\n--bb\r\n",
         "unnamed multipart/mixed"},
    };
    for (const named_case& it : cases) {
        const auto refused = scanned(std::string(it.message));
        ASSERT_TRUE(refused) << it.message;
        EXPECT_EQ(refused->name, it.name);
    }
}

} // namespace
} // namespace ebbgate::content
