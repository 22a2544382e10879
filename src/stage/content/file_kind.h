// What the first bytes of a file are, where they are something that can do harm or hide it.
//
// Stage   4 of 8.
// Input   The first block of the decoded file: sniff_bytes, or all of a shorter one.
// Output  A kind, and whether an extension says the same.
// Owner   Free functions: a table of our own. libmagic answers in texts for people, is not for
//         several threads, and took 55 us to 4 ms for a block where this takes 10 us.
// Fails   Never: what is not known is `other`.
// Bounds  Linear in the block.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <string_view>

namespace ebbgate::content {

inline constexpr std::size_t sniff_bytes = 4 * kib;

enum class file_kind : std::uint8_t {
    other,
    program,      // PE and DOS, ELF, Mach-O, class, dex, wasm, CHM.
    script,       // #!, PHP, batch, PowerShell, VBScript, JScript, HTA, encoded scripts, .reg.
    shortcut,     // .lnk, .url, .desktop.
    zip,          // Office documents and Java archives, too.
    tar,          // By its checksum: not every tar has a signature.
    gzip,         //
    archive,      // Of other kinds, and disk images.
    ole_document, // Old Office documents, Outlook messages, installers.
};

[[nodiscard]] std::string_view name_of(file_kind kind) noexcept;

[[nodiscard]] file_kind sniff(byte_view first_block);

// Whether a file with this extension (lower case) may be of that kind.
[[nodiscard]] bool agrees(file_kind kind, std::string_view extension) noexcept;

// The 512 bytes of a tar header, if it is one: the sum of its bytes is right.
inline constexpr std::size_t tar_block_bytes = 512;
[[nodiscard]] bool is_tar_header(byte_view block) noexcept;

// Programs and scripts that are run by opening them: what no document needs inside.
[[nodiscard]] bool is_program_extension(std::string_view extension) noexcept;

// Files that hold others, documents apart.
[[nodiscard]] bool is_archive_extension(std::string_view extension) noexcept;

// Zip files whose members are the document's own: docx, odt, epub and the like.
[[nodiscard]] bool is_zip_document(std::string_view extension) noexcept;

} // namespace ebbgate::content
