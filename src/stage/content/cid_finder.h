// Which parts an HTML text shows inside itself: the Content-IDs behind "cid:".
//
// Stage   4 of 8.
// Input   Decoded HTML in chunks of any size.
// Output  Whether a Content-ID was referred to so far.
// Owner   One a message.
// Fails   Never.
// Bounds  ids_max of id_bytes_max each; beyond them, or when one has a "&", all parts count as
//         shown.
// Specs   RFC 2392.

#pragma once

#include "ebbgate/base/bytes.h"

#include <set>
#include <string>

namespace ebbgate::content {

class cid_finder {
public:
    static constexpr std::size_t ids_max = 1000;
    static constexpr std::size_t id_bytes_max = 256;

    void push(byte_view html);
    // The text is over.
    void finish();

    // `content_id` as in the header, with its brackets.
    [[nodiscard]] bool refers_to(byte_view content_id) const;

private:
    void add(byte_view id);

    std::set<std::string, std::less<>> ids_;
    std::string held_; // "cid:" and what is behind it, or the beginning of that.
    bool any_ = false; // Every part counts as shown.
};

} // namespace ebbgate::content
