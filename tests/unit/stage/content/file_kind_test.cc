#include "archives.h"
#include "stage/content/file_kind.h"

#include <gtest/gtest.h>

namespace ebbgate::content {
namespace {

using namespace std::string_literals; // NOLINT(google-build-using-namespace): NULs in files

struct kind_case {
    const char* what;
    std::string bytes;
    file_kind kind;
};

std::string utf16(std::string_view text) {
    std::string out = "\xff\xfe";
    for (const char c : text) {
        out += c;
        out += '\0';
    }
    return out;
}

TEST(FileKind, IsToldByTheFirstBytes) {
    using enum file_kind;
    const kind_case cases[] = {
        {"PE", "MZ\x90\0\x03\0\0\0"s, program},
        {"PE that is also a PDF", "MZ\x90\0%PDF-1.7\n"s, program},
        {"text that begins with MZ", "MZ are the initials of a designer.\r\n", other},
        {"ELF",
         "\x7f"
         "ELF\x02\x01",
         program},
        {"class", "\xca\xfe\xba\xbe\0\0\0\x34"s, program},
        {"Mach-O", "\xcf\xfa\xed\xfe\x07", program},
        {"dex", "dex\n035", program},
        {"wasm", "\0asm\x01"s, program},
        {"TNEF", "\x78\x9f\x3e\x22\x01\0"s, archive},
        {"shell", "#!/bin/sh\necho", script},
        {"shell with a blank", "#! /usr/bin/env python3\n", script},
        {"title", "#!important\n", other},
        {"PHP", "\xef\xbb\xbf\n<?PHP echo", script},
        {"batch", "\r\n@Echo Off\r\n", script},
        {"WSF", "<?xml version=\"1.0\"?>\n<job id=\"x\">", script},
        {"XML", "<?xml version=\"1.0\"?>\n<orders/>", other},
        {"VBE", "#@~^abc==", script},
        {"HTA", "<html><head><HTA:APPLICATION id=x>", script},
        {"HTML", "<html><body>Hello</body></html>", other},
        {"JScript", "var s = WScript.CreateObject('x');", script},
        {"PowerShell", "Param($x)\nIEX (New-Object Net.WebClient).DownloadString('x')", script},
        {"PowerShell in UTF-16", utf16("Invoke-Expression x; Start-Process y"), script},
        {"prose about it", "Never type Invoke-Expression in a shell.", other},
        {"registry", "Windows Registry Editor Version 5.00\r\n", script},
        {"lnk", "L\0\0\0\x01\x14\x02\0\0"s, shortcut},
        {"url", "[InternetShortcut]\r\nURL=x", shortcut},
        {"zip", "PK\x03\x04", file_kind::zip},
        {"gzip", "\x1f\x8b\x08", file_kind::gzip},
        {"7z", "7z\xbc\xaf\x27\x1c", archive},
        {"rar", "Rar!\x1a\x07\x01", archive},
        {"xz",
         "\xfd"
         "7zXZ\0"s,
         archive},
        {"cab", "MSCF\0\0\0\0"s, archive},
        {"tar", tar_member("a", ""), tar},
        {"old tar", tar_member("a", "", '\0', false), tar},
        {"OLE", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ole_document},
        {"PDF", "%PDF-1.4\n", other},
        {"PNG", "\x89PNG\r\n\x1a\n", other},
        {"text", "Dear Sir or Madam,\r\n", other},
        {"nothing", "", other},
        {"one byte", "M", other},
        {"zeros", std::string(4096, '\0'), other},
    };
    for (const kind_case& c : cases) {
        EXPECT_EQ(name_of(sniff(c.bytes)), name_of(c.kind)) << c.what;
    }
}

TEST(FileKind, AnExtensionHasToSayTheSame) {
    using enum file_kind;
    EXPECT_TRUE(agrees(other, "anything"));
    EXPECT_TRUE(agrees(program, "exe"));
    EXPECT_FALSE(agrees(program, "pdf"));
    EXPECT_FALSE(agrees(program, ""));
    EXPECT_FALSE(agrees(script, "exe"));
    EXPECT_TRUE(agrees(zip, "docx"));
    EXPECT_TRUE(agrees(zip, "zip"));
    EXPECT_FALSE(agrees(zip, "gif"));
    EXPECT_TRUE(agrees(ole_document, "doc"));
    EXPECT_FALSE(agrees(ole_document, "pdf"));
    EXPECT_TRUE(is_zip_document("docx"));
    EXPECT_FALSE(is_zip_document("zip"));
    EXPECT_FALSE(is_zip_document("jar"));
    EXPECT_FALSE(is_zip_document("pdf"));
    EXPECT_TRUE(is_program_extension("exe"));
    EXPECT_FALSE(is_program_extension("xml"));
}

} // namespace
} // namespace ebbgate::content
