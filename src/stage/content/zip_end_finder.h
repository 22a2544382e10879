// Is there a zip at the end of a file that is something else? Programs look for it from the back.
//
// Stage   4 of 8.
// Input   The bytes of a file, in chunks of any size.
// Output  Whether one of the last 64 KiB begins an end record that could be one.
// Owner   One a file.
// Fails   Never. A random file has one by chance in 2^64.
// Bounds  22 bytes kept; one search for four bytes.
// Specs   PKWARE APPNOTE 6.3.10, section 4.3.16.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::content {

class zip_end_finder {
public:
    void feed(byte_view bytes);

    // After all bytes.
    [[nodiscard]] bool found() const noexcept;

private:
    void look(byte_view in, std::uint64_t in_at);

    std::string kept_;     // The last bytes, where a record may have begun.
    std::uint64_t at_ = 0; // Bytes taken.
    std::optional<std::uint64_t> last_;
};

} // namespace ebbgate::content
