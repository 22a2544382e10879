// Names the members of an archive while it streams by, without unpacking what is in them.
//
// Stage   4 of 8.
// Input   The bytes of a zip, a tar, or gzip data (which is a tar or one file), in chunks of any
//         size.
// Output  Each name that a program could give a member; the same member may come several times
//         (zip has two headers for each, pax a second name).
// Owner   One an archive in flight.
// Fails   As a value: what is broken, or what programs would read differently. Nothing after it is
//         looked at, so the caller refuses.
// Bounds  listing_limits; 140 KiB for one header of a zip, 48 KiB for gzip. Gzip data is unpacked
// in
//         steps of 16 KiB and never kept.
// Specs   PKWARE APPNOTE 6.3.10, POSIX.1-2017 pax, RFC 1952. Why not libarchive: it pulls, and a
//         read that would have to wait cannot be resumed, so it needs a thread for each archive;
//         and it lists what it would unpack, not what the next program might.

#pragma once

#include "stage/content/file_kind.h"
#include "stage/content/tar_reader.h"
#include "stage/content/zip_reader.h"

#include <memory>
#include <variant>

namespace ebbgate::content {

enum class archive_format : std::uint8_t { zip, tar, gzip };

class archive_listing {
public:
    archive_listing(archive_format format, member_handler& handler, listing_limits limits = {});
    ~archive_listing();
    archive_listing(const archive_listing&) = delete;
    archive_listing& operator=(const archive_listing&) = delete;

    void feed(byte_view bytes);
    void finish();

    [[nodiscard]] listing_fault fault() const noexcept;

    // Of gzip data: not a tar, but one file. After finish(), or when inner_kind() is known.
    [[nodiscard]] bool is_single_file() const noexcept;

    [[nodiscard]] file_kind inner_kind() const noexcept;

    // Nothing more will be learned.
    [[nodiscard]] bool done() const noexcept;

private:
    class gzip_reader;

    // Never empty; gzip's is large and seldom needed.
    std::variant<zip_reader, tar_reader, std::unique_ptr<gzip_reader>> reader_;
};

} // namespace ebbgate::content
