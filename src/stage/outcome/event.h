// One event record: what happened to a message or a connection, as a line of JSON.
//
// Stage   8 of 8. Before it: deliver.
// Input   Plain structs; every text may come from a peer.
// Output  One line with KumoMTA's field names, so that its readers and dashboards work.
// Owner   One event_writer per thread that writes; the string belongs to the caller.
// Fails   Never.
// Bounds  text_bytes_max for each text, recipients_max for each record; longer is cut, and says so.

#pragma once

#include "stage/outcome/clock_text.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ebbgate::outcome {

enum class event_type : std::uint8_t {
    reception,
    delivery,
    bounce,
    transient_failure,
    expiration,
    admin_bounce,
    out_of_band,
    feedback,
    rejection,
    delayed,
    ambiguous,
    ban,
    unban,
    ignore,
    limit,
    attachment,
    filelink,
    bcc_copy,
    policy_reload,
    listing,
};

[[nodiscard]] std::string_view name_of(event_type type) noexcept;

struct enhanced_code {
    std::uint16_t status_class = 0; // 2, 4 or 5.
    std::uint16_t subject = 0;
    std::uint16_t detail = 0;
};

// What the other side said, or what we said to it.
struct response {
    std::uint16_t code = 0;
    std::optional<enhanced_code> enhanced;
    std::string_view content; // Without the codes.
    std::string_view command; // "." for the final dot; empty: none.
};

struct peer {
    std::string_view name; // Of a client its EHLO name, of a host the name we looked up.
    std::string_view addr; // "192.0.2.1" or "192.0.2.1:25".
};

// Empty texts and absent values are left out, but for those every record has.
struct event {
    event_type type = event_type::reception;
    std::string_view id; // Queue id.
    std::string_view sender;
    std::span<const std::string_view> recipients; // One: a string; more: an array.
    std::string_view queue;                       // "tenant@domain".
    std::string_view site;                        // The destination the connection went to.
    std::uint64_t size = 0;
    outcome::response response;
    std::optional<outcome::peer> peer_address;
    std::int64_t event_unix_us = 0;
    std::int64_t created_unix_us = 0;
    std::uint32_t num_attempts = 0;
    std::string_view bounce_classification = "Uncategorized";
    std::string_view egress_source;
    std::string_view source_address;     // "192.0.2.10".
    std::string_view delivery_protocol;  // "ESMTP"
    std::string_view reception_protocol; // "ESMTP", "ESMTPSA"
    std::string_view node_id;
    std::string_view tls_cipher;
    std::string_view tls_protocol_version;
    std::string_view tls_peer_subject_name; // Written as an array of one.
    std::string_view session_id;
    std::span<const std::pair<std::string_view, std::string_view>> meta;
};

class event_writer {
public:
    // 2048: a reply of ten lines; more is a peer that fills our disk.
    static constexpr std::size_t text_bytes_max = 2048;
    static constexpr std::size_t recipients_max = 1000;

    // Appends the record and a line end.
    void append(std::string& out, const event& event);

private:
    clock_text clock_;
};

// Splits "4.7.1 text" into the code and what follows it; no code leaves `text` as it is.
[[nodiscard]] std::optional<enhanced_code> take_enhanced_code(std::string_view& text) noexcept;

} // namespace ebbgate::outcome
