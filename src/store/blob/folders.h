// The store's folder: where contents and records lie, and each durable step on them.
//
//   content/ab/<64 hex digits>   A content by its SHA-256; never written to once it has this name.
//   links/ab/<40 hex digits>     The record of a link by its token. Folders are made when needed.
//   incoming/                    Files under way; emptied by open().
//   clean                        There when the last end was clean: see take_mark().
//   lock                         Held by the process that has the store open.
//
// Owner   Any thread: the descriptors do not change after open(). What may not run side by side
//         is said at each function; disk_store sees to it.
// Fails   no_space or io with the path and errno's text; unavailable when another process has it.
// Bounds  A record is read up to record_bytes_max.
// Specs   docs/filelink.md, "In what order".

#pragma once

#include "ebbgate/base/result.h"

#include "store/blob/blob_store.h"
#include "store/blob/descriptor.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct stat;

namespace ebbgate::blob {

// Where a temporary file that has to have a name gets it: this and its inode's number.
inline constexpr std::string_view named_temporary = "incoming/file-";

class folders {
public:
    // `unnamed_files`: try O_TMPFILE; false in tests, for a file system without it.
    [[nodiscard]] static result<std::unique_ptr<folders>> open(const std::string& path,
                                                               bool unnamed_files);

    [[nodiscard]] result<descriptor> create_temporary();
    // Removes temporary files whose descriptor is gone: there are some where O_TMPFILE is missing.
    // All: records under way too, which only open() may do.
    void remove_abandoned(bool all = false);

    // Cuts the file, gives it its content's name and makes both durable. A content that is there
    // stays, unless its size is wrong: then the file takes its place.
    [[nodiscard]] result<void> name_content(int fd, const content_hash& hash, std::uint64_t bytes);
    [[nodiscard]] result<descriptor> open_content(const content_hash& hash);
    // False: there was none. Not made durable: a content that comes back has no link.
    [[nodiscard]] result<bool> remove_content(const content_hash& hash);
    [[nodiscard]] result<std::uint64_t> content_bytes(const content_hash& hash);

    // Durable when they return. A new one is bad_input when the token is taken. After another
    // failure the record may be there all the same.
    [[nodiscard]] result<void> write_record(const link& written, bool is_new);
    [[nodiscard]] result<std::optional<link>> read_record(std::string_view token);
    // Durable only after sync_records() of the same token. No record: it is done.
    [[nodiscard]] result<void> remove_record(std::string_view token);
    [[nodiscard]] result<void> sync_records(std::string_view token);

    // Names in content/ab or links/ab, sorted; what cannot be one of ours is left out.
    [[nodiscard]] result<std::vector<std::string>> contents(std::string_view ab) const;
    [[nodiscard]] result<std::vector<std::string>> records(std::string_view ab) const;

    // What the last clean end left, taken away durably; empty: there was none.
    [[nodiscard]] result<std::string> take_mark();
    // After everything else is durable.
    [[nodiscard]] result<void> leave_mark(std::string_view mark);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    explicit folders(std::string path) : path_(std::move(path)) {}

    // content/ or links/, and which of its folders are there, durably.
    struct parent {
        std::string name;
        std::array<std::atomic<bool>, 256> has{};
    };

    [[nodiscard]] result<void> make(const std::string& name);
    [[nodiscard]] result<void> make_all();
    [[nodiscard]] result<void> look_into(parent& of);
    // Makes the folder of a hash or token when it is missing.
    [[nodiscard]] result<void> make_part(parent& of, std::string_view ab);
    [[nodiscard]] result<void> sync(const std::string& folder) const;
    [[nodiscard]] int link_content(int fd, const struct stat& seen, const std::string& name) const;
    [[nodiscard]] result<void>
    replace_content(int fd, const struct stat& seen, const std::string& name);
    [[nodiscard]] result<void> write_file(const std::string& name, std::string_view text);
    [[nodiscard]] result<std::vector<std::string>> names_in(const std::string& folder,
                                                            std::size_t digits) const;
    [[nodiscard]] std::unexpected<failure>
    fault(std::string_view what, const std::string& name, int error) const;
    // By errno.
    [[nodiscard]] std::unexpected<failure> fault(std::string_view what,
                                                 const std::string& name) const;
    [[nodiscard]] std::string temporary_name();

    std::string path_;
    parent content_{"content"};
    parent links_{"links"};
    descriptor root_;
    descriptor lock_;
    std::atomic<bool> unnamed_files_{true};
    std::atomic<std::uint64_t> temporaries_{0};
};

} // namespace ebbgate::blob
