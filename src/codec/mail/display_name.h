// Whether the text beside an address shows the reader another address.
//
// Input   Display name and comments, with their quotes, of one mailbox.
// Bounds  Time and memory linear in the text.
// Specs   RFC 2047; what readers make of it, which is more.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <optional>
#include <string>

namespace ebbgate::mail {

// `own` is the mailbox's address: a name that repeats it hides nothing.
[[nodiscard]] bool hides_address(byte_view text, byte_view own);

struct encoded_word {
    byte_view charset;
    char encoding = 0; // 'b' or 'q'
    byte_view text;
    std::size_t bytes = 0; // All of it, with "=?" and "?=".
};

// At the front of `text`, which begins with "=?".
[[nodiscard]] std::optional<encoded_word> take_encoded_word(byte_view text) noexcept;

// In its charset, read as readers do: what is no digit is skipped.
[[nodiscard]] std::string bytes_of(const encoded_word& word);

// With encoded words decoded to the bytes they stand for, whatever their charset, and wherever
// they are: readers decode them in quotes and with blanks inside, too.
[[nodiscard]] std::string decode_encoded_words(byte_view text);

} // namespace ebbgate::mail
