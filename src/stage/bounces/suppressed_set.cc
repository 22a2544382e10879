#include "stage/bounces/suppressed_set.h"

#include "base/text.h"

#include <xxhash.h>

#include <algorithm>
#include <random>

namespace ebbgate::bounces {

namespace {

constexpr std::size_t slots_min = 16;
constexpr unsigned stripe_bits = 6;

std::uint64_t random_key() {
    std::random_device source;
    return (std::uint64_t{source()} << 32U) | source();
}

} // namespace

std::string suppressed_form(std::string_view address) {
    return address.size() > suppressed_address_bytes_max ? std::string() : lowered(address);
}

suppressed_set::suppressed_set(std::size_t entries_max)
    : entries_max_(entries_max), key_(random_key()) {}

std::optional<std::uint64_t> suppressed_set::hash_of(std::string_view tenant,
                                                     std::string_view address) const noexcept {
    std::array<char, suppressed_tenant_bytes_max + 1 + suppressed_address_bytes_max> text;
    if (tenant.size() > suppressed_tenant_bytes_max ||
        address.size() > suppressed_address_bytes_max || address.empty()) {
        return std::nullopt;
    }
    char* end = std::ranges::copy(tenant, text.data()).out;
    *end++ = '\0'; // In no name of a tenant.
    end = std::ranges::transform(address, end, lower).out;
    const std::uint64_t hash =
        XXH3_64bits_withSeed(text.data(), static_cast<std::size_t>(end - text.data()), key_);
    return hash == 0 ? 1 : hash;
}

// Where it is, or the free slot where it would be. There is always a free one.
std::size_t suppressed_set::stripe::place_of(std::uint64_t hash) const noexcept {
    const std::size_t mask = slots.size() - 1;
    std::size_t place = (hash >> stripe_bits) & mask;
    while (slots[place] != 0 && slots[place] != hash) {
        place = (place + 1) & mask;
    }
    return place;
}

void suppressed_set::stripe::grow() {
    std::vector<std::uint64_t> old(std::max(slots_min, slots.size() * 2));
    old.swap(slots);
    for (const std::uint64_t hash : old) {
        if (hash != 0) {
            slots[place_of(hash)] = hash;
        }
    }
}

// What follows without a gap moves up where it may, so that no look-up ends too early.
void suppressed_set::stripe::erase_at(std::size_t place) noexcept {
    const std::size_t mask = slots.size() - 1;
    std::size_t gap = place;
    for (std::size_t at = (gap + 1) & mask; slots[at] != 0; at = (at + 1) & mask) {
        const std::size_t wanted = (slots[at] >> stripe_bits) & mask;
        if (((at - wanted) & mask) >= ((at - gap) & mask)) {
            slots[gap] = slots[at];
            gap = at;
        }
    }
    slots[gap] = 0;
    --used;
}

bool suppressed_set::contains(std::string_view tenant, std::string_view address) const noexcept {
    if (size() == 0) {
        return false;
    }
    const auto hash = hash_of(tenant, address);
    if (!hash) {
        return false;
    }
    const stripe& one = stripes_[*hash % stripes];
    const std::lock_guard held(one.lock);
    return !one.slots.empty() && one.slots[one.place_of(*hash)] == *hash;
}

bool suppressed_set::insert(std::string_view tenant, std::string_view address) {
    const auto hash = hash_of(tenant, address);
    if (!hash) {
        return false;
    }
    stripe& one = stripes_[*hash % stripes];
    const std::lock_guard held(one.lock);
    if (!one.slots.empty() && one.slots[one.place_of(*hash)] == *hash) {
        return true;
    }
    // Counted first: two threads must not both take the last place.
    if (size_.fetch_add(1, std::memory_order_relaxed) >= entries_max_) {
        size_.fetch_sub(1, std::memory_order_relaxed);
        return false;
    }
    if ((one.used + 1) * 3 > one.slots.size() * 2) {
        one.grow();
    }
    one.slots[one.place_of(*hash)] = *hash;
    ++one.used;
    return true;
}

void suppressed_set::erase(std::string_view tenant, std::string_view address) {
    const auto hash = hash_of(tenant, address);
    if (!hash) {
        return;
    }
    stripe& one = stripes_[*hash % stripes];
    const std::lock_guard held(one.lock);
    if (one.slots.empty()) {
        return;
    }
    const std::size_t place = one.place_of(*hash);
    if (one.slots[place] == *hash) {
        one.erase_at(place);
        size_.fetch_sub(1, std::memory_order_relaxed);
    }
}

} // namespace ebbgate::bounces
