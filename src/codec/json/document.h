// Parses a whole JSON text into a small tree whose values know where they stand.
//
// Input   One complete text in memory (a configuration or policy file, an API request).
// Output  Values with their JSON pointer and line, so that a validator can name both.
// Owner   The document owns every value and text; values are valid as long as it is.
// Fails   With line, pointer and reason on anything that is not strict JSON in UTF-8, on duplicate
//         keys, and on what exceeds the bounds.
// Bounds  parse_limits: text_bytes_max, depth_max, values_max, members_max, key_bytes_max.
// Specs   RFC 8259, RFC 6901.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ebbgate::json {

struct parse_limits {
    std::size_t text_bytes_max = 64 * mib;
    std::uint32_t depth_max = 32;
    std::size_t values_max = 4'000'000;
    std::size_t members_max = 4'000'000;  // Of one object.
    std::size_t key_bytes_max = 64 * mib; // Faults name keys.
    bool duplicate_keys_allowed = false;
};

struct parse_fault {
    std::uint32_t line = 1;
    std::string pointer; // Of the value where parsing stopped; empty for the whole text.
    std::string message;
};

enum class kind : std::uint8_t { null, boolean, integer, real, string, array, object };

// "a string", "an object": for messages that say what was expected.
[[nodiscard]] std::string_view name_of(kind kind) noexcept;

class value {
public:
    [[nodiscard]] json::kind kind() const noexcept { return kind_; }

    [[nodiscard]] bool is(json::kind kind) const noexcept { return kind_ == kind; }

    [[nodiscard]] bool is_object() const noexcept { return kind_ == json::kind::object; }

    [[nodiscard]] bool is_array() const noexcept { return kind_ == json::kind::array; }

    [[nodiscard]] bool is_string() const noexcept { return kind_ == json::kind::string; }

    [[nodiscard]] bool is_number() const noexcept {
        return kind_ == json::kind::integer || kind_ == json::kind::real;
    }

    // Each accessor is for its own kind only, and returns an empty value for the others.
    [[nodiscard]] bool boolean() const noexcept {
        return kind_ == json::kind::boolean && content_.integer != 0;
    }

    [[nodiscard]] std::int64_t integer() const noexcept {
        return kind_ == json::kind::integer ? content_.integer : 0;
    }

    // An integer beyond 64 bits is a real, so that range checks see its true magnitude.
    [[nodiscard]] double real() const noexcept {
        if (kind_ == json::kind::real) {
            return content_.real;
        }
        return static_cast<double>(integer());
    }

    [[nodiscard]] std::string_view text() const noexcept {
        return is_string() ? std::string_view(content_.text, size_) : std::string_view();
    }

    // Array items or object members, in the order of the text.
    [[nodiscard]] std::span<const value> children() const noexcept {
        return is_object() || is_array() ? std::span<const value>(content_.children, size_)
                                         : std::span<const value>();
    }

    // The member's name, when the parent is an object.
    [[nodiscard]] std::string_view key() const noexcept { return {key_, key_bytes_}; }

    // The first member with this name, or null. Linear.
    [[nodiscard]] const value* find(std::string_view key) const noexcept;

    [[nodiscard]] std::uint32_t line() const noexcept { return line_; }

    // "" for the whole document, else "/a/0/b".
    [[nodiscard]] std::string pointer() const;

private:
    friend class builder;

    union content {
        std::int64_t integer = 0;
        double real;
        const char* text;
        value* children;
    };

    // 48 bytes, and nothing to destroy: a policy of a million senders has as many of these.
    const char* key_ = nullptr;
    content content_;
    const value* parent_ = nullptr;
    std::uint32_t key_bytes_ = 0;
    std::uint32_t size_ = 0; // Of the text, or the number of children.
    std::uint32_t line_ = 1;
    std::uint32_t index_ = 0;
    json::kind kind_ = json::kind::null;
};

class document {
public:
    [[nodiscard]] static std::expected<document, parse_fault>
    parse(byte_view text, const parse_limits& limits = {});
    // Without a copy of the text, for a large one; spare capacity for the padding helps.
    [[nodiscard]] static std::expected<document, parse_fault>
    parse_owned(std::string text, const parse_limits& limits = {});

    // What parse_owned() appends, at most.
    static constexpr std::size_t padding_bytes = 64;

    [[nodiscard]] const value& root() const noexcept { return *root_; }

private:
    friend class builder;
    document() = default;

    struct storage;

    struct storage_deleter {
        void operator()(storage* kept) const noexcept;
    };

    // Holds everything that values point to, on the heap, so that a document can be moved.
    std::unique_ptr<storage, storage_deleter> kept_;
    const value* root_ = nullptr;
};

// Appends "/key" to a JSON pointer, with ~ and / escaped.
void append_pointer_key(std::string& pointer, std::string_view key);

} // namespace ebbgate::json
