// The file behind the counter table: made, checked, carried over, mapped.
//
// Input   A path, the capacity wanted, the time.
// Output  A mapping of fresh slots that holds every live window of the file found there.
// Owner   Whoever opened it; one process at a time (PATH.lock is locked).
// Fails   With the path and what is wrong in the detail; the file found stays as it was.
// Bounds  slots_min .. slots_max.
// Specs   Little-endian machine words: a header page (counter_header, zero-filled to 4096 bytes),
//         then `slots` times counter_slot.
//
// Opening always writes a new file, PATH.new, from what is good in the old one, makes it durable
// and renames it: growing, shrinking, cleaning up after a kill and dropping damage are one path,
// and a crash in the middle of it leaves the old file. Keys are hashes under the secret of the
// file, so the secret is carried over too.

#pragma once

#include "ebbgate/base/result.h"

#include "stage/limits/counter_slot.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace ebbgate::limits {

inline constexpr std::uint64_t slots_min = 16;
inline constexpr std::uint64_t slots_max = std::uint64_t{1} << 26; // 4 GiB.

inline constexpr std::uint64_t counter_magic = 0x544e'554f'4342'4245; // "EBBCOUNT"
inline constexpr std::uint32_t counter_version = 1;
inline constexpr std::size_t counter_header_bytes = 4096;
inline constexpr std::size_t secret_bytes = 192; // XXH3's own default length.

struct counter_header {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t slot_bytes;
    std::uint64_t slots;
    std::uint8_t secret[secret_bytes];
    std::uint64_t checksum; // XXH3 of all before it.
};

static_assert(sizeof(counter_header) == 224);

[[nodiscard]] std::uint64_t checksum_of(const counter_header& header) noexcept;
[[nodiscard]] std::uint64_t seal_of(const counter_slot& slot, std::uint32_t generation) noexcept;

// What opening found.
struct carried {
    std::uint64_t live = 0;        // Windows carried over.
    std::uint64_t expired = 0;     // And left behind: over, or nothing counted in them.
    std::uint64_t unfinished = 0;  // Being opened when the process was killed.
    std::uint64_t damaged = 0;     // The seal does not match.
    std::uint64_t from_future = 0; // Of `live`: the clock was set back; they begin anew now.
};

class file_descriptor {
public:
    explicit file_descriptor(int number = -1) noexcept : number_(number) {}

    file_descriptor(file_descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

    file_descriptor& operator=(file_descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }

    ~file_descriptor();

    [[nodiscard]] int number() const noexcept { return number_; }

private:
    int number_;
};

class mapping {
public:
    mapping() = default;

    mapping(void* begin, std::size_t bytes) noexcept
        : begin_(static_cast<std::byte*>(begin)), bytes_(bytes) {}

    mapping(mapping&& other) noexcept
        : begin_(std::exchange(other.begin_, nullptr)), bytes_(other.bytes_) {}

    mapping& operator=(mapping&& other) noexcept {
        std::swap(begin_, other.begin_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }

    ~mapping();

    [[nodiscard]] std::byte* begin() const noexcept { return begin_; }

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    std::byte* begin_ = nullptr;
    std::size_t bytes_ = 0;
};

class counter_file {
public:
    // `slots` is rounded up to a power of two.
    [[nodiscard]] static result<counter_file>
    open(const std::string& path, std::uint64_t slots, std::uint64_t now_ms);

    [[nodiscard]] counter_slot* slots() const noexcept {
        return reinterpret_cast<counter_slot*>(mapped_.begin() + counter_header_bytes);
    }

    [[nodiscard]] std::uint64_t slot_count() const noexcept { return header().slots; }

    [[nodiscard]] const std::uint8_t* secret() const noexcept { return header().secret; }

    [[nodiscard]] const limits::carried& carried() const noexcept { return carried_; }

    // Waits for the disk: from a worker thread.
    [[nodiscard]] result<void> flush() const;

private:
    [[nodiscard]] const counter_header& header() const noexcept {
        return *reinterpret_cast<const counter_header*>(mapped_.begin());
    }

    std::string path_;
    file_descriptor lock_;
    mapping mapped_;
    limits::carried carried_;
};

} // namespace ebbgate::limits
