// The index of links and contents in SQLite: for lists, for what has expired, for what is not
// needed. Made from the records; nothing is in it that they do not say.
//
// Input   Changes of records, told after they are durable.
// Output  Pages, totals, and what may be removed, including what was told a moment ago.
// Owner   Any thread; calls take turns, except put(), drop() and found(), which only queue.
// Fails   As SQLite does. What was told and cannot be written stays queued; when the queue is full
//         it is dropped, and the catalogue is behind until it has been compared with the folders.
// Bounds  queue_changes_max.
// Specs   docs/filelink.md, "The catalogue".

#pragma once

#include "ebbgate/base/result.h"

#include "store/blob/folders.h"
#include "store/database.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::blob {

// At this many publish() writes them itself.
inline constexpr std::size_t queue_changes_max = 1024;

struct content_row {
    content_hash hash{};
    std::uint64_t bytes = 0;
};

struct expired_row {
    std::string token;
    content_hash hash{};
};

class catalogue {
public:
    // `clean_mark`: what the last clean end left in the folder. The catalogue is taken as it is
    // when it left the same mark there, else compared with the folders, which outlive it.
    [[nodiscard]] static result<std::unique_ptr<catalogue>> open(folders& of,
                                                                 const std::string& clean_mark);

    // Each returns true when the queue is full: the caller should flush().
    bool put(const link& changed);
    bool drop(std::string_view token);
    bool found(const content_row& content); // Of which no link may be known.

    [[nodiscard]] result<void> flush();
    // Unless another thread has the database, or much is to be done first: then nothing.
    void flush_if_free();
    // Durably: this link's record is about to change, and is read again after a crash.
    [[nodiscard]] result<void> announce(std::string_view token);

    [[nodiscard]] result<link_page>
    list(std::string_view tenant, std::string_view after, std::size_t links_max);
    [[nodiscard]] result<blob::totals> totals();
    // The longest expired first.
    [[nodiscard]] result<std::vector<expired_row>> expired(std::int64_t now_unix_s,
                                                           std::size_t rows_max);
    [[nodiscard]] result<std::vector<content_row>> unneeded(std::size_t rows_max);
    // Whether a link that is not revoked has it. The answer holds only while nobody publishes it.
    [[nodiscard]] result<bool> is_needed(const content_hash& hash);
    [[nodiscard]] result<void> forget(const std::vector<content_row>& removed);

    // Writes everything; the mark is for the folder, to be given to the next open().
    [[nodiscard]] result<std::string> close();

private:
    struct change {
        enum class kind : std::uint8_t { put, drop, found };

        change::kind what = kind::put;
        link changed; // Of drop the token only, of found the hash and bytes.
    };

    explicit catalogue(folders& of) : folders_(of) {}

    [[nodiscard]] result<void> open_file();
    [[nodiscard]] result<void> make_again();
    // With lock_ held:
    [[nodiscard]] result<void> settle();
    [[nodiscard]] result<void> write_queue();
    [[nodiscard]] result<void> write(const change& told);
    [[nodiscard]] result<void> compare();
    [[nodiscard]] result<void> compare_links(const std::string& ab);
    [[nodiscard]] result<void> compare_contents(const std::string& ab);
    [[nodiscard]] result<void> compare_folder(const std::string& ab);
    [[nodiscard]] result<void> put_row(const link& row);
    bool queue(change told);

    folders& folders_;
    std::mutex lock_; // The database. Taken before queue_lock_.
    std::unique_ptr<store::database> database_;
    std::optional<store::statement> put_;
    bool is_behind_ = false;
    std::mutex queue_lock_;
    std::vector<change> queue_;
    bool lost_changes_ = false; // With queue_lock_.
};

} // namespace ebbgate::blob
