// blob_store on a folder. Order of steps, and who waits for whom:
//
//   publish   the content's name, durable; the record, durable; then the catalogue is told.
//   removal   the record, durable; then the content, when no record needs it.
//
// Owner   Any thread. Locks, in this order:
//         records_   one change or removal of a record at a time. publish() does not take it: its
//                    token is new.
//         contents_  one of 256, by the hash's first byte: shared while a content gets its name and
//                    its record is written, exclusive while it is asked whether any record needs it
//                    and it is removed. So no content goes between its name and its record.
//         Those of catalogue.
// Specs   docs/filelink.md, "In what order".

#pragma once

#include "store/blob/catalogue.h"
#include "store/blob/folders.h"

#include <array>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace ebbgate::blob {

class disk_store final : public blob_store {
public:
    [[nodiscard]] static result<std::unique_ptr<disk_store>> open(const std::string& folder,
                                                                  bool unnamed_files = true);
    // Leaves the mark of a clean end.
    ~disk_store() override;

    [[nodiscard]] result<int> create_temporary() override;
    [[nodiscard]] result<void> publish(int fd, const link& wanted) override;
    void withdraw(std::string_view token) noexcept override;
    [[nodiscard]] result<std::optional<link>> find(std::string_view token) override;
    [[nodiscard]] result<int> open_content(const link& of) override;
    [[nodiscard]] result<bool> revoke(std::string_view token, std::int64_t now_unix_s) override;
    [[nodiscard]] result<bool> extend(std::string_view token, std::int64_t expires_unix_s) override;
    [[nodiscard]] result<link_page>
    list(std::string_view tenant, std::string_view after, std::size_t links_max) override;
    [[nodiscard]] result<blob::totals> totals() override;
    [[nodiscard]] result<sweep_result> sweep(std::int64_t now_unix_s,
                                             std::size_t links_max) override;

private:
    explicit disk_store(std::unique_ptr<folders> opened) : folders_(std::move(opened)) {}

    // With records_ held.
    [[nodiscard]] result<void> change(const link& changed);
    [[nodiscard]] result<void> withdraw_link(std::string_view token);
    // Removes the content unless a link needs it.
    [[nodiscard]] result<void> release(const content_row& content);
    enum class removal : std::uint8_t { needed, absent, removed };

    [[nodiscard]] result<removal> remove_unneeded(const content_row& content);
    [[nodiscard]] result<std::uint64_t> sweep_links(std::int64_t now_unix_s, std::size_t links_max);
    [[nodiscard]] result<void> sweep_contents(std::size_t contents_max, sweep_result& into);

    [[nodiscard]] std::shared_mutex& content_lock(const content_hash& hash) noexcept {
        return contents_[hash[0]];
    }

    std::unique_ptr<folders> folders_;
    std::unique_ptr<catalogue> catalogue_;
    std::mutex records_;
    std::array<std::shared_mutex, 256> contents_;
};

} // namespace ebbgate::blob
