// Attachments that became links: their content, stored once, and one record for each link.
//
// Input   Content in temporary files that the caller has written and synced, and link records.
// Output  Links by token, content by link, pages of links; files deleted when no link needs them.
// Owner   Any thread, several at a time. Calls block: not for a shard.
// Fails   no_space or io with the path and errno's text; corrupt for a record that is none.
// Bounds  Those of `link`. A page has page_links_max.
// Specs   docs/filelink.md: folders, record format, what survives a power cut, and in what order.
//
// When publish() has returned, the content and the record survive a power cut. The records are the
// truth; the catalogue (SQLite) is made from them, and made again when it is missing or behind.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::blob {

inline constexpr std::size_t token_bytes = 20; // Random: 160 bits, 40 hex digits.
inline constexpr std::size_t token_digits = 2 * token_bytes;
inline constexpr std::size_t name_bytes_max = 1024;
inline constexpr std::size_t content_type_bytes_max = 255; // RFC 6838 4.2: twice 127 and a slash.
inline constexpr std::size_t extension_bytes_max = 10;
inline constexpr std::size_t page_links_max = 1000;

using content_hash = std::array<std::uint8_t, 32>; // SHA-256.

struct link {
    std::string token;     // 40 lower-case hex digits.
    std::string extension; // [a-z0-9]*, without the dot; may be empty.
    std::string tenant;
    std::string url;  // The tenant's, as in the policy: "https://files.acme.example/files/".
    std::string name; // Of the attachment, UTF-8, nothing escaped.
    std::string content_type; // "application/pdf": what the message said, lower case.
    std::string sender;       // Of the envelope.
    std::string message_id;   // The queue id.
    content_hash hash{};
    std::uint64_t bytes = 0;
    std::int64_t created_unix_s = 0;
    std::int64_t expires_unix_s = 0;
    std::int64_t revoked_unix_s = 0; // 0: not revoked. A revoked link is never served again.

    // What is behind url: token and extension.
    [[nodiscard]] std::string file_name() const;
};

// 40 hex digits from the system's random source; empty when that fails.
[[nodiscard]] std::string make_token();
// The lower-case extension of `name` when a link may show it, else empty.
[[nodiscard]] std::string extension_of(std::string_view name);
// At most name_bytes_max of it, whole characters, the extension kept.
[[nodiscard]] std::string clipped_name(std::string_view name);
[[nodiscard]] bool is_token(std::string_view text) noexcept;

struct sweep_result {
    std::uint64_t links = 0;    // Records deleted.
    std::uint64_t contents = 0; // Files deleted,
    std::uint64_t bytes = 0;    // and what they held.
};

struct totals {
    std::uint64_t links = 0;
    std::uint64_t contents = 0;
    std::uint64_t bytes = 0; // Of contents.
};

struct link_page {
    std::vector<link> links;
    std::string next; // For `after` of the next page; empty: there is none.
};

class blob_store {
public:
    // Makes the folder when it is missing, and removes what a crash left half made.
    [[nodiscard]] static result<std::unique_ptr<blob_store>> open(const std::string& folder);
    virtual ~blob_store() = default;
    blob_store(const blob_store&) = delete;
    blob_store& operator=(const blob_store&) = delete;

    // A file without a name, read-write, for buffered writes; the caller closes it. What is not
    // published is gone with its descriptor, at the latest at the next open().
    [[nodiscard]] virtual result<int> create_temporary() = 0;

    // `fd` holds wanted.bytes bytes (it may hold more: it is cut), synced. Content that is there
    // already is not stored again. The descriptor stays the caller's.
    [[nodiscard]] virtual result<void> publish(int fd, const link& wanted) = 0;
    // The message was not stored after all: the link goes, and its content with the last one.
    virtual void withdraw(std::string_view token) noexcept = 0;

    // Straight from the record. Nothing: there is none. Expired and revoked links are returned.
    [[nodiscard]] virtual result<std::optional<link>> find(std::string_view token) = 0;
    // Read-only; the caller closes it. Expiry and revocation are the caller's to judge.
    [[nodiscard]] virtual result<int> open_content(const link& of) = 0;

    // Durable when they return. False: there is no such link.
    [[nodiscard]] virtual result<bool> revoke(std::string_view token, std::int64_t now_unix_s) = 0;
    [[nodiscard]] virtual result<bool> extend(std::string_view token,
                                              std::int64_t expires_unix_s) = 0;

    // From the catalogue, newest first. An empty tenant: of all.
    [[nodiscard]] virtual result<link_page>
    list(std::string_view tenant, std::string_view after, std::size_t links_max) = 0;
    [[nodiscard]] virtual result<blob::totals> totals() = 0;

    // Deletes links that have expired, and contents without a link; at most `links_max` a call.
    [[nodiscard]] virtual result<sweep_result> sweep(std::int64_t now_unix_s,
                                                     std::size_t links_max) = 0;

protected:
    blob_store() = default;
};

} // namespace ebbgate::blob
