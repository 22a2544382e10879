// Envelope senders in the form in which they are compared, and the table of those who may send.
//
// Stage   3 of 8: part of the snapshot.
// Input   Patterns "local@domain", "@domain" (exactly it) and "@*.domain" (its subdomains at any
//         depth, not itself); addresses as MAIL or a header gives them, without brackets.
// Output  Domains become lower-case A-labels; local parts stay byte for byte as they are, so case,
//         quotes, plus signs and Unicode forms all tell addresses apart.
// Fails   parse_sender_pattern says what was expected; find() finds nothing.
// Bounds  senders_max; a look-up costs one probe, one more, and one a label where there are
//         subdomain patterns. No allocation for an ASCII domain.
// Specs   RFC 5321 2.4 and 4.5.3.1, RFC 6531 3.3, RFC 5891.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t senders_max = 4'000'000;

class sender_text {
public:
    static constexpr std::size_t local_bytes_max = 64;
    static constexpr std::size_t domain_bytes_max = 255;

    // "local@domain". False: not an address that a pattern could match.
    [[nodiscard]] bool set_address(std::string_view address);
    // "": it is a pattern. Else what was expected.
    [[nodiscard]] std::string_view set_pattern(std::string_view pattern);

    [[nodiscard]] std::string_view text() const noexcept { return {buffer_.data(), bytes_}; }

    // Without "*.".
    [[nodiscard]] std::string_view domain() const noexcept { return text().substr(domain_at_); }

    // Everything from the '@' on.
    [[nodiscard]] std::string_view at_domain() const noexcept { return text().substr(at_); }

private:
    void set_front(std::string_view local, std::string_view mark);
    [[nodiscard]] bool add_domain(std::string_view domain, bool checked);

    std::array<char, local_bytes_max + sizeof("@*.") + domain_bytes_max> buffer_;
    std::uint16_t at_ = 0;
    std::uint16_t domain_at_ = 0;
    std::uint16_t bytes_ = 0;
};

// All patterns of all tenants: one block of text, 16 bytes a pattern, and an index.
class sender_table {
public:
    static constexpr std::uint32_t none = 0xffff'ffff;
    // The position of a pattern that was added by command.
    static constexpr std::uint32_t by_command = 0xffff'ffff;

    struct entry {
        std::uint32_t text_at = 0;
        std::uint32_t owner = none; // None: removed.
        std::uint32_t position = 0; // In its list.
        std::uint16_t bytes = 0;
    };

    explicit sender_table(std::uint64_t seed = 0) : seed_(seed) {}

    // False: the owner has it already. The text is a sender_text's.
    bool add(std::uint32_t owner, std::string_view text, std::uint32_t position);
    bool remove(std::uint32_t owner, std::string_view text);
    void reserve(std::size_t more);
    void shrink();

    // The index of the most precise pattern that matches an address, or none.
    [[nodiscard]] std::uint32_t match(std::uint32_t owner, const sender_text& address) const;

    [[nodiscard]] std::uint32_t find(std::uint32_t owner, std::string_view text) const noexcept;

    // Removed ones are among them.
    [[nodiscard]] const std::vector<entry>& entries() const noexcept { return entries_; }

    [[nodiscard]] std::string_view text_of(const entry& entry) const noexcept {
        return std::string_view(texts_).substr(entry.text_at, entry.bytes);
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    // What it holds on the heap.
    [[nodiscard]] std::size_t memory_bytes() const noexcept;

private:
    // A slot is an index into entries_, and above it ten bits of the hash that do not place it:
    // most slots that hold something else are told so without a look at the entry.
    static constexpr std::uint32_t index_bits = 22;
    static constexpr std::uint32_t index_mask = (1U << index_bits) - 1;
    static_assert(senders_max < index_mask);

    [[nodiscard]] static constexpr std::uint32_t tag_of(std::uint64_t hash) noexcept {
        return static_cast<std::uint32_t>(hash >> (32 + index_bits));
    }

    [[nodiscard]] static constexpr std::uint32_t slot_value(std::uint64_t hash,
                                                            std::uint32_t index) noexcept {
        return (tag_of(hash) << index_bits) | index;
    }

    [[nodiscard]] std::uint64_t hash_of(std::uint32_t owner, std::string_view text) const noexcept;
    // The slot that holds it, or the empty one where it would go.
    [[nodiscard]] std::size_t
    slot_of(std::uint64_t hash, std::uint32_t owner, std::string_view text) const noexcept;
    void grow(std::size_t slots);

    std::string texts_;
    std::vector<entry> entries_;
    std::vector<std::uint32_t> slots_; // Open addressing.
    std::uint64_t seed_;
    std::size_t size_ = 0;
    bool subdomains_ = false; // Some pattern is "@*.d".
};

} // namespace ebbgate::policy
