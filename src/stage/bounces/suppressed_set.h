// Which addresses are suppressed, by tenant, as keyed hashes: small, and asked for each recipient.
//
// Owner   Any thread; a look-up takes one lock of many for some nanoseconds.
// Fails   insert() when it is full. Two addresses with one hash (2^-64) are one.
// Bounds  entries_max; 8 bytes an entry and room to spare, at most 24.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::bounces {

inline constexpr std::size_t suppressed_address_bytes_max = 320;
inline constexpr std::size_t suppressed_tenant_bytes_max = 64;

// The form in which addresses are compared: lower case, the local part too, for no receiver of
// note tells "Bob" from "bob". Empty: longer than an address can be.
[[nodiscard]] std::string suppressed_form(std::string_view address);

class suppressed_set {
public:
    explicit suppressed_set(std::size_t entries_max);

    [[nodiscard]] bool contains(std::string_view tenant, std::string_view address) const noexcept;
    // True: it is there now, as it may have been before.
    bool insert(std::string_view tenant, std::string_view address);
    void erase(std::string_view tenant, std::string_view address);

    [[nodiscard]] std::size_t size() const noexcept {
        return size_.load(std::memory_order_relaxed);
    }

private:
    static constexpr std::size_t stripes = 64;

    // Open addressing, 0 is free.
    struct alignas(64) stripe {
        mutable std::mutex lock;
        std::vector<std::uint64_t> slots;
        std::size_t used = 0;

        [[nodiscard]] std::size_t place_of(std::uint64_t hash) const noexcept;
        void grow();
        void erase_at(std::size_t place) noexcept;
    };

    [[nodiscard]] std::optional<std::uint64_t> hash_of(std::string_view tenant,
                                                       std::string_view address) const noexcept;

    std::size_t entries_max_;
    std::uint64_t key_; // Anew in each process: who chooses addresses must not choose collisions.
    std::atomic<std::size_t> size_{0};
    std::array<stripe, stripes> stripes_;
};

} // namespace ebbgate::bounces
