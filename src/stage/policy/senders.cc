#include "stage/policy/senders.h"

#include "ebbgate/smtp/address.h"

#include "config/address.h"
#include "config/domain.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace ebbgate::policy {

namespace {

constexpr std::string_view pattern_expected =
    "an address, \"@domain\" or \"@*.domain\" (international domains in UTF-8 or as A-labels)";
constexpr std::string_view subdomains_mark = "@*.";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

} // namespace

void sender_text::set_front(std::string_view local, std::string_view mark) {
    std::memcpy(buffer_.data(), local.data(), local.size());
    std::memcpy(buffer_.data() + local.size(), mark.data(), mark.size());
    at_ = static_cast<std::uint16_t>(local.size());
    domain_at_ = static_cast<std::uint16_t>(local.size() + mark.size());
    bytes_ = domain_at_;
}

bool sender_text::add_domain(std::string_view domain, bool checked) {
    const auto keep = [this](std::string_view text) {
        std::transform(text.begin(), text.end(), buffer_.begin() + domain_at_, lower);
        bytes_ = static_cast<std::uint16_t>(domain_at_ + text.size());
    };
    if (config::is_ascii(domain)) {
        if (domain.empty() || domain.size() > domain_bytes_max) {
            return false;
        }
        keep(domain);
        if (!checked) {
            return true;
        }
        const std::string_view kept = this->domain();
        if (kept.find("xn--") == std::string_view::npos) {
            return config::is_host_name(kept);
        }
    }
    const auto made = config::to_a_labels(domain);
    if (!made) {
        return false;
    }
    keep(*made);
    return true;
}

bool sender_text::set_address(std::string_view address) {
    const std::size_t at = address.rfind('@');
    if (at == std::string_view::npos || at == 0 || at > local_bytes_max) {
        return false;
    }
    std::string_view domain = address.substr(at + 1);
    if (domain.ends_with('.')) {
        domain.remove_suffix(1);
    }
    if (domain.starts_with('*')) {
        return false; // It would read like a pattern.
    }
    set_front(address.substr(0, at), "@");
    // The session has checked its form; one that slipped through is in no table.
    return add_domain(domain, false);
}

std::string_view sender_text::set_pattern(std::string_view pattern) {
    const std::size_t at = pattern.rfind('@');
    if (at == std::string_view::npos || at > local_bytes_max) {
        return pattern_expected;
    }
    const std::string_view local = pattern.substr(0, at);
    const bool subdomains = at == 0 && pattern.starts_with(subdomains_mark);
    const std::string_view mark = subdomains ? subdomains_mark : "@";
    set_front(local, mark);
    if (!add_domain(pattern.substr(at + mark.size()), true)) {
        return pattern_expected;
    }
    if (at != 0) {
        // With the domain as it will be compared, so that only the local part can be at fault.
        const auto mailbox = smtp::parse_mailbox(text(), true);
        if (!mailbox || mailbox->local.size() != at || mailbox->literal) {
            return pattern_expected;
        }
    }
    return "";
}

std::uint64_t sender_table::hash_of(std::uint32_t owner, std::string_view text) const noexcept {
    // An odd factor spreads the owners: two of them may have the same pattern.
    const std::uint64_t seed = seed_ ^ (owner * 0x9e37'79b9'7f4a'7c15ULL);
    return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::size_t sender_table::slot_of(std::uint64_t hash,
                                  std::uint32_t owner,
                                  std::string_view text) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = hash & mask;
    for (; slots_[slot] != none; slot = (slot + 1) & mask) {
        const std::uint32_t tag = slots_[slot] >> index_bits;
        if (tag != tag_of(hash)) {
            continue;
        }
        const entry& candidate = entries_[slots_[slot] & index_mask];
        if (candidate.owner == owner && text_of(candidate) == text) {
            break;
        }
    }
    return slot;
}

std::uint32_t sender_table::find(std::uint32_t owner, std::string_view text) const noexcept {
    if (slots_.empty()) {
        return none;
    }
    const std::uint32_t found = slots_[slot_of(hash_of(owner, text), owner, text)];
    return found == none ? none : found & index_mask;
}

void sender_table::reserve(std::size_t more) {
    constexpr std::size_t slots_min = 16;
    // At most five in eight are taken, so that a look-up ends soon.
    std::size_t slots = std::max(slots_min, slots_.size());
    while ((entries_.size() + more) * 8 >= slots * 5) {
        slots *= 2;
    }
    if (slots == slots_.size()) {
        return;
    }
    grow(slots);
    // Together with the slots, so that all three grow by factors; 24 bytes is a usual address.
    constexpr std::size_t usual_bytes = 24;
    entries_.reserve(slots / 8 * 5);
    texts_.reserve(entries_.capacity() * usual_bytes);
}

void sender_table::grow(std::size_t slots) {
    slots_.assign(slots, none);
    const std::size_t mask = slots - 1;
    for (std::uint32_t index = 0; index < entries_.size(); ++index) {
        const entry& entry = entries_[index];
        if (entry.owner == none) {
            continue;
        }
        // All differ, so the first empty slot will do.
        const std::uint64_t hash = hash_of(entry.owner, text_of(entry));
        std::size_t slot = hash & mask;
        while (slots_[slot] != none) {
            slot = (slot + 1) & mask;
        }
        slots_[slot] = slot_value(hash, index);
    }
}

bool sender_table::add(std::uint32_t owner, std::string_view text, std::uint32_t position) {
    reserve(1);
    const std::uint64_t hash = hash_of(owner, text);
    const std::size_t slot = slot_of(hash, owner, text);
    if (slots_[slot] != none) {
        return false;
    }
    slots_[slot] = slot_value(hash, static_cast<std::uint32_t>(entries_.size()));
    entries_.push_back({static_cast<std::uint32_t>(texts_.size()),
                        owner,
                        position,
                        static_cast<std::uint16_t>(text.size())});
    texts_.append(text);
    subdomains_ = subdomains_ || text.starts_with(subdomains_mark);
    ++size_;
    return true;
}

bool sender_table::remove(std::uint32_t owner, std::string_view text) {
    const std::uint32_t index = find(owner, text);
    if (index == none) {
        return false;
    }
    // Its slot stays taken, so that what was put behind it is still found.
    entries_[index].owner = none;
    --size_;
    return true;
}

void sender_table::shrink() {
    // A copy for less than an eighth would cost more than it saves.
    if (texts_.size() + texts_.size() / 8 < texts_.capacity()) {
        texts_.shrink_to_fit();
    }
    if (entries_.size() + entries_.size() / 8 < entries_.capacity()) {
        entries_.shrink_to_fit();
    }
}

std::uint32_t sender_table::match(std::uint32_t owner, const sender_text& address) const {
    std::uint32_t found = find(owner, address.text());
    if (found == none) {
        found = find(owner, address.at_domain());
    }
    if (found != none || !subdomains_) {
        return found;
    }
    std::array<char, sizeof("@*.") + sender_text::domain_bytes_max> pattern;
    std::string_view domain = address.domain();
    for (std::size_t dot = domain.find('.'); dot != std::string_view::npos && found == none;
         dot = domain.find('.')) {
        domain.remove_prefix(dot + 1);
        std::memcpy(pattern.data(), subdomains_mark.data(), subdomains_mark.size());
        std::memcpy(pattern.data() + subdomains_mark.size(), domain.data(), domain.size());
        found = find(owner, {pattern.data(), subdomains_mark.size() + domain.size()});
    }
    return found;
}

std::size_t sender_table::memory_bytes() const noexcept {
    return texts_.capacity() + entries_.capacity() * sizeof(entry) +
           slots_.capacity() * sizeof(std::uint32_t);
}

} // namespace ebbgate::policy
