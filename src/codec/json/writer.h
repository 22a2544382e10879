// Appends JSON to a string: event records, status answers, reports.
//
// Input   Any bytes; what is not UTF-8 becomes U+FFFD, control characters become \u escapes.
// Output  Compact JSON on one line, always valid UTF-8, safe to print on a terminal.
// Owner   One per text being written; the string belongs to the caller.
// Fails   Never. Balanced begin and end calls are the caller's duty.
// Bounds  Nesting of nesting_max levels, asserted; the caller bounds the texts.
// Specs   RFC 8259.

#pragma once

#include "ebbgate/base/bytes.h"

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::json {

// Appends the inside of a JSON string, without quotes.
void append_escaped(std::string& out, byte_view text);

class writer {
public:
    static constexpr std::uint32_t nesting_max = 63;

    explicit writer(std::string& out) : out_(out) {}

    writer& begin_object();
    writer& end_object();
    writer& begin_array();
    writer& end_array();
    // Keys are ours, ASCII literals: they are not escaped. Use key_escaped for others.
    writer& key(std::string_view literal);
    writer& key_escaped(byte_view text);

    writer& string(byte_view text);
    writer& boolean(bool value);
    writer& null();
    writer& real(double value); // Not a number and infinite become null.
    // A string whose text the caller appends to the same std::string in between; it needs no
    // escaping (a time stamp, an id).
    writer& begin_quoted();
    writer& end_quoted();
    // JSON that was made by a writer before.
    writer& raw(std::string_view json);

    template <std::signed_integral integer>
    writer& number(integer value) {
        return signed_number(static_cast<std::int64_t>(value));
    }

    template <std::unsigned_integral integer>
    writer& number(integer value) {
        return unsigned_number(static_cast<std::uint64_t>(value));
    }

    // key(name) and a value in one call.
    writer& member(std::string_view name, byte_view text) { return key(name).string(text); }

    writer& member(std::string_view name, const char* text) { return key(name).string(text); }

    writer& member(std::string_view name, const std::string& text) {
        return key(name).string(text);
    }

    template <typename value_type>
        requires std::integral<value_type>
    writer& member(std::string_view name, value_type value) {
        if constexpr (std::same_as<value_type, bool>) {
            return key(name).boolean(value);
        } else {
            return key(name).number(value);
        }
    }

    writer& member(std::string_view name, double value) { return key(name).real(value); }

private:
    void separate();
    writer& signed_number(std::int64_t value);
    writer& unsigned_number(std::uint64_t value);

    std::string& out_;
    std::uint64_t has_items_ = 0; // One bit a level: a comma is due before the next item.
    std::uint32_t depth_ = 0;
    bool after_key_ = false;
};

} // namespace ebbgate::json
