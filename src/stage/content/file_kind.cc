#include "stage/content/file_kind.h"

#include "stage/content/script_text.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace ebbgate::content {

namespace {

using namespace std::string_view_literals; // NOLINT(google-build-using-namespace): NULs in them

struct signature {
    std::size_t at;
    std::string_view bytes;
    file_kind kind;
};

constexpr signature signatures[] = {
    {0,
     "\x7f"
     "ELF"sv,
     file_kind::program},
    {0, "\xfe\xed\xfa\xce"sv, file_kind::program}, // Mach-O, four ways
    {0, "\xfe\xed\xfa\xcf"sv, file_kind::program},
    {0, "\xce\xfa\xed\xfe"sv, file_kind::program},
    {0, "\xcf\xfa\xed\xfe"sv, file_kind::program},
    {0, "\xca\xfe\xba\xbe"sv, file_kind::program}, // Java class, Mach-O for several machines
    {0, "\xca\xfe\xd0\x0d"sv, file_kind::program}, // Java pack200
    {0, "dex\n"sv, file_kind::program},
    {0, "dey\n"sv, file_kind::program},
    {0, "\0asm"sv, file_kind::program},
    {0, "BC\xc0\xde"sv, file_kind::program}, // LLVM
    {0, "ITSF"sv, file_kind::program},       // CHM
    {0, "#@~^"sv, file_kind::script},        // Encoded VBScript and JScript
    {0, "L\0\0\0\x01\x14\x02\0"sv, file_kind::shortcut},
    {0, "PK\x03\x04"sv, file_kind::zip},
    {0, "PK\x05\x06"sv, file_kind::zip}, // Empty
    {0, "PK\x07\x08"sv, file_kind::zip}, // In several volumes
    {0, "PK00PK\x03\x04"sv, file_kind::zip},
    {0, "\x1f\x8b"sv, file_kind::gzip},
    {0, "BZh"sv, file_kind::archive},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     file_kind::archive},
    {0, "LZIP"sv, file_kind::archive},
    {0, "\x5d\0\0"sv, file_kind::archive}, // lzma
    {0, "\x28\xb5\x2f\xfd"sv, file_kind::archive},
    {0, "\x04\x22\x4d\x18"sv, file_kind::archive},
    {0, "\x1f\x9d"sv, file_kind::archive},
    {0, "\x1f\xa0"sv, file_kind::archive},
    {0, "7z\xbc\xaf\x27\x1c"sv, file_kind::archive},
    {0, "Rar!\x1a\x07"sv, file_kind::archive},
    {0, "RE~^"sv, file_kind::archive}, // RAR before 1.5
    {0, "MSCF\0\0\0\0"sv, file_kind::archive},
    {0, "ISc("sv, file_kind::archive}, // InstallShield
    {0, "MSWIM\0\0\0"sv, file_kind::archive},
    {0, "\x78\x9f\x3e\x22"sv, file_kind::archive}, // TNEF
    {0, "vhdxfile"sv, file_kind::archive},
    {0, "conectix"sv, file_kind::archive},
    {0, "KDMV"sv, file_kind::archive},
    {0, "xar!"sv, file_kind::archive},
    {0, "!<arch>\n"sv, file_kind::archive},
    {0, "070701"sv, file_kind::archive}, // cpio
    {0, "070702"sv, file_kind::archive},
    {0, "070707"sv, file_kind::archive},
    {0, "\x60\xea"sv, file_kind::archive}, // arj
    {2, "-lh"sv, file_kind::archive},
    {2, "-lz"sv, file_kind::archive},
    {7, "**ACE**"sv, file_kind::archive},
    {0, "hsqs"sv, file_kind::archive},
    {257, "ustar"sv, file_kind::tar},
    {0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv, file_kind::ole_document},
    {0,
     "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"sv,
     file_kind::ole_document}, // OneNote, which embeds anything
};

// A text may begin with "MZ"; the header of a program has bytes that no text has.
bool is_dos_program(byte_view block) noexcept {
    if (!block.starts_with("MZ") && !block.starts_with("ZM")) {
        return false;
    }
    const byte_view header = block.substr(0, 64);
    return std::any_of(header.begin(), header.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 && byte != '\t' && byte != '\r' && byte != '\n';
    });
}

struct extension_kinds {
    std::string_view extension;
    std::array<file_kind, 3> kinds;
};

// Sorted by extension. What is not here is `other` only.
constexpr extension_kinds expected[] = {
    {"7z", {file_kind::archive}},
    {"a", {file_kind::archive}},
    {"acm", {file_kind::program}},
    {"apk", {file_kind::zip}},
    {"application", {file_kind::script}},
    {"asp", {file_kind::script}},
    {"aspx", {file_kind::script}},
    {"ax", {file_kind::program}},
    {"bash", {file_kind::script}},
    {"bat", {file_kind::script}},
    {"bz2", {file_kind::archive}},
    {"cab", {file_kind::archive}},
    {"cgi", {file_kind::script, file_kind::program}},
    {"chm", {file_kind::program}},
    {"class", {file_kind::program}},
    {"cmd", {file_kind::script}},
    {"com", {file_kind::program}},
    {"cpio", {file_kind::archive}},
    {"cpl", {file_kind::program}},
    {"csh", {file_kind::script}},
    {"deb", {file_kind::archive}},
    {"desktop", {file_kind::shortcut}},
    {"dex", {file_kind::program}},
    {"dll", {file_kind::program}},
    {"dmg", {file_kind::archive}},
    {"doc", {file_kind::ole_document, file_kind::zip}},
    {"docm", {file_kind::zip, file_kind::ole_document}},
    {"docx", {file_kind::zip, file_kind::ole_document}}, // OLE when it has a password
    {"dot", {file_kind::ole_document}},
    {"dotm", {file_kind::zip, file_kind::ole_document}},
    {"dotx", {file_kind::zip, file_kind::ole_document}},
    {"dylib", {file_kind::program}},
    {"ear", {file_kind::zip}},
    {"elf", {file_kind::program}},
    {"epub", {file_kind::zip}},
    {"exe", {file_kind::program}},
    {"gz", {file_kind::gzip}},
    {"hta", {file_kind::script}},
    {"ipa", {file_kind::zip}},
    {"iso", {file_kind::archive}},
    {"jar", {file_kind::zip}},
    {"js", {file_kind::script}},
    {"jse", {file_kind::script}},
    {"kmz", {file_kind::zip}},
    {"ko", {file_kind::program}},
    {"ksh", {file_kind::script}},
    {"lha", {file_kind::archive}},
    {"lnk", {file_kind::shortcut}},
    {"lz", {file_kind::archive}},
    {"lz4", {file_kind::archive}},
    {"lzh", {file_kind::archive}},
    {"lzma", {file_kind::archive}},
    {"macho", {file_kind::program}},
    {"mjs", {file_kind::script}},
    {"mpp", {file_kind::ole_document}},
    {"msg", {file_kind::ole_document}},
    {"msi", {file_kind::ole_document}},
    {"msp", {file_kind::ole_document}},
    {"numbers", {file_kind::zip}},
    {"ocx", {file_kind::program}},
    {"odf", {file_kind::zip}},
    {"odg", {file_kind::zip}},
    {"odp", {file_kind::zip}},
    {"ods", {file_kind::zip}},
    {"odt", {file_kind::zip}},
    {"one", {file_kind::ole_document}},
    {"ots", {file_kind::zip}},
    {"ott", {file_kind::zip}},
    {"pages", {file_kind::zip}},
    {"php", {file_kind::script}},
    {"phtml", {file_kind::script}},
    {"pif", {file_kind::program}},
    {"pkg", {file_kind::archive}},
    {"pl", {file_kind::script}},
    {"pm", {file_kind::script}},
    {"pot", {file_kind::ole_document}},
    {"potx", {file_kind::zip, file_kind::ole_document}},
    {"pps", {file_kind::ole_document}},
    {"ppsx", {file_kind::zip, file_kind::ole_document}},
    {"ppt", {file_kind::ole_document, file_kind::zip}},
    {"pptm", {file_kind::zip, file_kind::ole_document}},
    {"pptx", {file_kind::zip, file_kind::ole_document}},
    {"ps1", {file_kind::script}},
    {"psd1", {file_kind::script}},
    {"psm1", {file_kind::script}},
    {"pub", {file_kind::ole_document}},
    {"py", {file_kind::script}},
    {"pyw", {file_kind::script}},
    {"rar", {file_kind::archive}},
    {"rb", {file_kind::script}},
    {"reg", {file_kind::script}},
    {"rpm", {file_kind::archive}},
    {"scf", {file_kind::shortcut}},
    {"scr", {file_kind::program}},
    {"sh", {file_kind::script}},
    {"so", {file_kind::program}},
    {"sys", {file_kind::program}},
    {"tar", {file_kind::tar}},
    {"tbz", {file_kind::archive}},
    {"tbz2", {file_kind::archive}},
    {"tgz", {file_kind::gzip}},
    {"txz", {file_kind::archive}},
    {"url", {file_kind::shortcut}},
    {"vbe", {file_kind::script}},
    {"vbs", {file_kind::script}},
    {"vhd", {file_kind::archive}},
    {"vhdx", {file_kind::archive}},
    {"vmdk", {file_kind::archive}},
    {"vsd", {file_kind::ole_document}},
    {"vsdx", {file_kind::zip, file_kind::ole_document}},
    {"war", {file_kind::zip}},
    {"wasm", {file_kind::program}},
    {"website", {file_kind::shortcut}},
    {"wim", {file_kind::archive}},
    {"wps", {file_kind::ole_document}},
    {"wsf", {file_kind::script}},
    {"xla", {file_kind::ole_document}},
    {"xls", {file_kind::ole_document, file_kind::zip}},
    {"xlsb", {file_kind::zip, file_kind::ole_document}},
    {"xlsm", {file_kind::zip, file_kind::ole_document}},
    {"xlsx", {file_kind::zip, file_kind::ole_document}},
    {"xlt", {file_kind::ole_document}},
    {"xltx", {file_kind::zip, file_kind::ole_document}},
    {"xps", {file_kind::zip}},
    {"xz", {file_kind::archive}},
    {"z", {file_kind::archive}},
    {"zip", {file_kind::zip}},
    {"zst", {file_kind::archive}},
};

// Sorted. Windows, macOS and Linux run these when they are opened, or a shell finds them.
constexpr std::string_view programs[] = {
    "ade",
    "adp",
    "apk",
    "appinstaller",
    "application",
    "appref-ms",
    "appx",
    "appxbundle",
    "asp",
    "aspx",
    "bas",
    "bash",
    "bat",
    "chm",
    "class",
    "cmd",
    "com",
    "command",
    "cpl",
    "crt",
    "csh",
    "deb",
    "desktop",
    "dex",
    "diagcab",
    "dll",
    "dmg",
    "elf",
    "exe",
    "fxp",
    "gadget",
    "grp",
    "hlp",
    "hpj",
    "hta",
    "inf",
    "ins",
    "ipa",
    "iso",
    "isp",
    "its",
    "jar",
    "jnlp",
    "js",
    "jse",
    "ksh",
    "lib",
    "library-ms",
    "lnk",
    "mad",
    "maf",
    "mag",
    "mam",
    "maq",
    "mar",
    "mas",
    "mat",
    "mau",
    "mav",
    "maw",
    "mcf",
    "mda",
    "mdb",
    "mde",
    "mdt",
    "mdw",
    "mdz",
    "mjs",
    "msc",
    "msh",
    "msi",
    "msix",
    "msixbundle",
    "msp",
    "mst",
    "ocx",
    "ops",
    "osd",
    "pcd",
    "php",
    "pif",
    "pkg",
    "pl",
    "plg",
    "prf",
    "prg",
    "printerexport",
    "ps1",
    "ps1xml",
    "ps2",
    "ps2xml",
    "psc1",
    "psc2",
    "psd1",
    "psm1",
    "pst",
    "py",
    "pyc",
    "pyo",
    "pyw",
    "pyz",
    "reg",
    "rpm",
    "run",
    "scf",
    "scr",
    "sct",
    "search-ms",
    "settingcontent-ms",
    "sh",
    "shb",
    "shs",
    "so",
    "sys",
    "theme",
    "tmp",
    "url",
    "vb",
    "vbe",
    "vbp",
    "vbs",
    "vhd",
    "vhdx",
    "vsmacros",
    "vsw",
    "wasm",
    "webpnp",
    "website",
    "wim",
    "ws",
    "wsb",
    "wsc",
    "wsf",
    "wsh",
    "xbap",
    "xll",
    "xnk",
};

constexpr std::string_view kind_names[] = {"nothing known",
                                           "a program",
                                           "a script",
                                           "a shortcut",
                                           "a zip archive",
                                           "a tar archive",
                                           "gzip data",
                                           "an archive",
                                           "an OLE document"};

template <std::size_t size>
consteval bool in_order(const extension_kinds (&table)[size]) {
    for (std::size_t i = 1; i < size; ++i) {
        if (table[i - 1].extension > table[i].extension) {
            return false;
        }
    }
    return true;
}

} // namespace

std::string_view name_of(file_kind kind) noexcept {
    return kind_names[static_cast<std::size_t>(kind)];
}

bool is_tar_header(byte_view block) noexcept {
    constexpr std::size_t sum_at = 148;
    constexpr std::size_t sum_bytes = 8;
    if (block.size() < tar_block_bytes || block[0] == '\0') {
        return false;
    }
    // Some writers added chars with their sign.
    std::uint32_t plain = 0;
    std::int32_t with_sign = 0;
    for (std::size_t at = 0; at < tar_block_bytes; ++at) {
        const bool in_sum = at >= sum_at && at < sum_at + sum_bytes;
        const char c = in_sum ? ' ' : block[at];
        plain += static_cast<unsigned char>(c);
        with_sign += static_cast<signed char>(c);
    }
    std::uint32_t stored = 0;
    bool digits = false;
    for (const char c : block.substr(sum_at, sum_bytes)) {
        if (c >= '0' && c <= '7') {
            stored = stored * 8 + static_cast<std::uint32_t>(c - '0');
            digits = true;
        } else if (digits || c != ' ') {
            break;
        }
    }
    return digits && (stored == plain || static_cast<std::int32_t>(stored) == with_sign);
}

file_kind sniff(byte_view first_block) {
    const byte_view block = first_block.substr(0, sniff_bytes);
    if (is_dos_program(block)) {
        return file_kind::program;
    }
    for (const signature& one : signatures) {
        if (block.size() >= one.at + one.bytes.size() &&
            block.substr(one.at, one.bytes.size()) == one.bytes) {
            return one.kind;
        }
    }
    if (is_tar_header(block)) {
        return file_kind::tar;
    }
    switch (sniff_text(block)) {
    case text_kind::script:
        return file_kind::script;
    case text_kind::shortcut:
        return file_kind::shortcut;
    case text_kind::other:
        break;
    }
    return file_kind::other;
}

bool agrees(file_kind kind, std::string_view extension) noexcept {
    static_assert(in_order(expected));
    if (kind == file_kind::other) {
        return true;
    }
    const auto* const found = std::lower_bound(
        std::begin(expected),
        std::end(expected),
        extension,
        [](const extension_kinds& one, std::string_view name) { return one.extension < name; });
    return found != std::end(expected) && found->extension == extension &&
           std::find(found->kinds.begin(), found->kinds.end(), kind) != found->kinds.end();
}

bool is_program_extension(std::string_view extension) noexcept {
    static_assert(std::is_sorted(std::begin(programs), std::end(programs)));
    return std::binary_search(std::begin(programs), std::end(programs), extension);
}

bool is_archive_extension(std::string_view extension) noexcept {
    using enum file_kind;
    return !is_zip_document(extension) && (agrees(zip, extension) || agrees(tar, extension) ||
                                           agrees(gzip, extension) || agrees(archive, extension));
}

bool is_zip_document(std::string_view extension) noexcept {
    constexpr std::string_view not_documents[] = {"apk", "ear", "ipa", "jar", "war", "zip"};
    return agrees(file_kind::zip, extension) &&
           !std::binary_search(std::begin(not_documents), std::end(not_documents), extension);
}

} // namespace ebbgate::content
