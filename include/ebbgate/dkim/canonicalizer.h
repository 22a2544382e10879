// Brings header fields and bodies into the form that DKIM signs, and hashes bodies in it.
//
// Input   The body as the receiver of the message sees it (CRLF lines, not dot-stuffed), in chunks
//         of any size. Only CRLF ends a line: a bare CR or LF is a byte like another.
// Output  Simple or relaxed form. A body without a final CRLF is treated as if it had one.
// Owner   One thread.
// Fails   Never.
// Bounds  2 KiB of state: empty lines that may be the body's last are held as a count.
// Specs   RFC 6376 section 3.4.

#pragma once

#include "ebbgate/base/bytes.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace ebbgate::crypto {
class hash;
struct digest;
enum class hash_kind : std::uint8_t;
} // namespace ebbgate::crypto

namespace ebbgate::dkim {

enum class canonicalization : std::uint8_t { simple, relaxed };

// The field as signed, appended to `out`: with its CRLF when it has one.
void append_field(std::string& out, byte_view field, canonicalization form);

// Hands the canonical body on in pieces.
class body_canonicalizer {
public:
    explicit body_canonicalizer(canonicalization form) noexcept : form_(form) {}

    body_canonicalizer& operator=(const body_canonicalizer&) = delete;
    virtual ~body_canonicalizer() = default;

    void feed(byte_view chunk);
    // The body is over. Then clear(), or destroy.
    void finish();
    void clear() noexcept;

    [[nodiscard]] canonicalization form() const noexcept { return form_; }

protected:
    body_canonicalizer(const body_canonicalizer&) = default;

    // Never empty. Short pieces come together, long ones straight from the chunk.
    virtual void take(byte_view bytes) = 0;

private:
    [[nodiscard]] bool holds_something() const noexcept {
        return line_ends_ > 0 || blank_held_ || cr_held_;
    }

    void step(char c);
    void put_held();
    void put(byte_view bytes);
    void put_lines(std::uint64_t count);
    void put_relaxed(byte_view bytes);
    void flush();

    canonicalization form_;
    bool blank_held_ = false;     // Blanks that may end their line.
    bool cr_held_ = false;        // A CR that may be half of a CRLF.
    bool has_content_ = false;    // Something was put: a body that is not empty.
    std::uint64_t line_ends_ = 0; // CRLFs that may be the body's last.
    std::uint32_t gathered_ = 0;
    std::array<char, 2 * kib> gather_;
};

// The hash of a body: one serves all signatures with the same form, whatever their keys.
class body_hasher final : public body_canonicalizer {
public:
    static constexpr std::uint64_t no_limit = ~std::uint64_t{0};

    // SHA-256. `bytes_max` is a signature's l=: what is beyond it is not hashed.
    explicit body_hasher(canonicalization form, std::uint64_t bytes_max = no_limit);
    body_hasher(canonicalization form, std::uint64_t bytes_max, crypto::hash_kind kind);
    // Goes on from where the other is.
    body_hasher(const body_hasher& other);
    body_hasher& operator=(const body_hasher&) = delete;
    ~body_hasher() override;

    // The body is over, and the hasher is ready for the next one.
    [[nodiscard]] std::array<std::uint8_t, 32> digest();
    [[nodiscard]] crypto::digest any_digest();

    // Of the canonical body, of which at most `bytes_max` are hashed. After digest(): of the last.
    [[nodiscard]] std::uint64_t canonical_bytes() const noexcept { return last_bytes_; }

    [[nodiscard]] std::uint64_t bytes_max() const noexcept { return bytes_max_; }

private:
    void take(byte_view bytes) override;

    std::unique_ptr<crypto::hash> hash_;
    std::uint64_t bytes_max_;
    std::uint64_t bytes_ = 0;
    std::uint64_t last_bytes_ = 0;
};

} // namespace ebbgate::dkim
