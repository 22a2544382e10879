#include "stage/content/zip_end_finder.h"

#include <algorithm>
#include <cstring>

namespace ebbgate::content {

namespace {

constexpr std::string_view end_signature = "PK\x05\x06";
constexpr std::size_t record_bytes = 22;
constexpr std::uint64_t comment_bytes_max = 65'535;
constexpr std::uint64_t central_entry_bytes = 46;

std::uint64_t little(byte_view bytes, std::size_t at, std::size_t count) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = count; i > 0; --i) {
        value = value << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
    }
    return value;
}

// One volume, members, and room in front of it for what it says there is.
bool could_be(byte_view record, std::uint64_t at) noexcept {
    const std::uint64_t entries = little(record, 10, 2);
    const std::uint64_t size = little(record, 12, 4);
    constexpr std::uint64_t in_zip64 = 0xffff'ffff;
    return little(record, 4, 2) == 0 && little(record, 6, 2) == 0 && entries > 0 &&
           little(record, 8, 2) == entries &&
           (size == in_zip64 || (size <= at && size >= entries * central_entry_bytes));
}

} // namespace

void zip_end_finder::look(byte_view in, std::uint64_t in_at) {
    const char* from = in.data();
    const char* const end = in.data() + in.size();
    while (static_cast<std::size_t>(end - from) >= record_bytes) {
        const auto* found = static_cast<const char*>(memmem(from,
                                                            static_cast<std::size_t>(end - from),
                                                            end_signature.data(),
                                                            end_signature.size()));
        if (found == nullptr || static_cast<std::size_t>(end - found) < record_bytes) {
            return;
        }
        const std::uint64_t at = in_at + static_cast<std::uint64_t>(found - in.data());
        if (could_be({found, record_bytes}, at)) {
            last_ = at;
        }
        from = found + 1;
    }
}

void zip_end_finder::feed(byte_view bytes) {
    constexpr std::size_t kept_bytes = record_bytes - 1;
    const std::string seam = kept_ + std::string(bytes.substr(0, kept_bytes));
    look(seam, at_ - kept_.size());
    look(bytes, at_);
    at_ += bytes.size();
    const byte_view last = bytes.size() >= kept_bytes ? bytes : byte_view(seam);
    kept_ = last.substr(last.size() - std::min(last.size(), kept_bytes));
}

bool zip_end_finder::found() const noexcept {
    return last_ && *last_ + record_bytes + comment_bytes_max >= at_;
}

} // namespace ebbgate::content
