// Records of one kind by number, in blocks that are never moved.
//
// Owner   One container. A number is good until it is freed; freed ones are used again first.
// Bounds  The records, and 4 bytes for each that is free.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ebbgate {

inline constexpr std::uint32_t no_record = 0xffff'ffff;

template <typename record>
class record_pool {
public:
    [[nodiscard]] record& operator[](std::uint32_t number) noexcept {
        return blocks_[number / block_records][number % block_records];
    }

    [[nodiscard]] const record& operator[](std::uint32_t number) const noexcept {
        return blocks_[number / block_records][number % block_records];
    }

    [[nodiscard]] std::uint32_t make() {
        if (!free_.empty()) {
            const std::uint32_t number = free_.back();
            free_.pop_back();
            return number;
        }
        if (made_ % block_records == 0) {
            blocks_.push_back(std::make_unique<record[]>(block_records));
        }
        return made_++;
    }

    void free(std::uint32_t number) {
        (*this)[number] = record();
        free_.push_back(number);
    }

    // All numbers are below; those that are free have a record as it is made.
    [[nodiscard]] std::uint32_t made() const noexcept { return made_; }

    [[nodiscard]] std::size_t size() const noexcept { return made_ - free_.size(); }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return blocks_.size() * block_records * sizeof(record) +
               free_.capacity() * sizeof(std::uint32_t);
    }

private:
    static constexpr std::uint32_t block_records = 1024;

    std::vector<std::unique_ptr<record[]>> blocks_;
    std::vector<std::uint32_t> free_;
    std::uint32_t made_ = 0;
};

} // namespace ebbgate
