#include "store/blob/disk_store.h"

#include "store/blob/link_record.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <new>
#include <utility>

namespace ebbgate::blob {

result<std::unique_ptr<blob_store>> blob_store::open(const std::string& folder) {
    return disk_store::open(folder);
}

result<std::unique_ptr<disk_store>> disk_store::open(const std::string& folder,
                                                     bool unnamed_files) {
    auto opened = folders::open(folder, unnamed_files);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    std::unique_ptr<disk_store> made(new disk_store(std::move(*opened)));
    const auto mark = made->folders_->take_mark();
    if (!mark) {
        return std::unexpected(mark.error());
    }
    auto index = catalogue::open(*made->folders_, *mark);
    if (!index) {
        return std::unexpected(std::move(index.error()));
    }
    made->catalogue_ = std::move(*index);
    return made;
}

disk_store::~disk_store() {
    if (catalogue_ == nullptr) {
        return; // open() failed.
    }
    // Without the mark the next open() compares everything: slower, nothing else.
    if (const auto mark = catalogue_->close(); mark) {
        (void)folders_->leave_mark(*mark);
    }
}

result<int> disk_store::create_temporary() {
    auto made = folders_->create_temporary();
    return made ? result<int>(made->release()) : std::unexpected(std::move(made.error()));
}

result<void> disk_store::publish(int fd, const link& wanted) {
    if (auto checked = check_link(wanted); !checked) {
        return checked;
    }
    bool is_full = false;
    {
        const std::shared_lock locked(content_lock(wanted.hash));
        auto done = folders_->name_content(fd, wanted.hash, wanted.bytes);
        if (done) {
            done = folders_->write_record(wanted, true);
        }
        is_full = done && catalogue_->put(wanted);
        if (!done) {
            // A record that is there and may not be durable stays: were it removed with its
            // content, a power cut could bring back the record alone. Nobody knows its token.
            if (const auto there = folders_->read_record(wanted.token); there && *there) {
                catalogue_->put(**there);
            }
            if (const auto bytes = folders_->content_bytes(wanted.hash); bytes) {
                catalogue_->found({wanted.hash, *bytes}); // If nobody needs it, it is swept.
            }
            return done;
        }
    }
    if (is_full) {
        // What cannot be written now stays queued: the link is there, whatever becomes of this.
        catalogue_->flush_if_free();
    }
    return {};
}

result<void> disk_store::release(const content_row& content) {
    if (auto flushed = catalogue_->flush(); !flushed) {
        catalogue_->found(content);
        return flushed;
    }
    const auto removed = remove_unneeded(content);
    if (!removed) {
        catalogue_->found(content); // For the next sweep.
        return std::unexpected(removed.error());
    }
    return *removed == removal::needed ? result<void>() : catalogue_->forget({content});
}

result<disk_store::removal> disk_store::remove_unneeded(const content_row& content) {
    const std::unique_lock locked(content_lock(content.hash));
    const auto needed = catalogue_->is_needed(content.hash);
    if (!needed || *needed) {
        return needed ? result<removal>(removal::needed) : std::unexpected(needed.error());
    }
    const auto removed = folders_->remove_content(content.hash);
    if (!removed) {
        return std::unexpected(removed.error());
    }
    return *removed ? removal::removed : removal::absent;
}

void disk_store::withdraw(std::string_view token) noexcept {
    try {
        // A link that stays for all that goes when it expires; nobody knows its token.
        (void)withdraw_link(token);
    } catch (const std::bad_alloc&) {
        return;
    }
}

result<void> disk_store::withdraw_link(std::string_view token) {
    content_row content;
    {
        const std::scoped_lock locked(records_);
        const auto found = folders_->read_record(token);
        if (!found || !*found) {
            return found ? result<void>() : std::unexpected(found.error());
        }
        content = {(*found)->hash, (*found)->bytes};
        if (auto removed = folders_->remove_record(token); !removed) {
            return removed;
        }
        if (auto synced = folders_->sync_records(token); !synced) {
            return synced;
        }
        catalogue_->drop(token);
    }
    return release(content);
}

result<std::optional<link>> disk_store::find(std::string_view token) {
    return folders_->read_record(token);
}

result<int> disk_store::open_content(const link& of) {
    auto opened = folders_->open_content(of.hash);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    struct stat seen{};
    if (::fstat(opened->number(), &seen) != 0 || !S_ISREG(seen.st_mode) ||
        std::cmp_not_equal(seen.st_size, of.bytes)) {
        return fail(failure_kind::corrupt,
                    fmt::format("{}: content {}: expected a file of {} bytes",
                                folders_->path(),
                                hexadecimal(of.hash),
                                of.bytes));
    }
    return opened->release();
}

result<void> disk_store::change(const link& changed) {
    // The record decides, so a catalogue that cannot be written does not keep a link from being
    // revoked: it is only not seen in lists until the catalogue is.
    (void)catalogue_->announce(changed.token);
    if (auto written = folders_->write_record(changed, false); !written) {
        return written;
    }
    catalogue_->put(changed);
    return {};
}

result<bool> disk_store::revoke(std::string_view token, std::int64_t now_unix_s) {
    content_row content;
    {
        const std::scoped_lock locked(records_);
        auto found = folders_->read_record(token);
        if (!found || !*found) {
            return found ? result<bool>(false) : std::unexpected(std::move(found.error()));
        }
        link changed = std::move(**found);
        if (changed.revoked_unix_s != 0) {
            return true;
        }
        changed.revoked_unix_s = now_unix_s > 0 ? now_unix_s : 1;
        if (auto done = change(changed); !done) {
            return std::unexpected(std::move(done.error()));
        }
        content = {changed.hash, changed.bytes};
    }
    // The link is revoked already; a content that cannot be removed now is swept.
    (void)release(content);
    return true;
}

result<bool> disk_store::extend(std::string_view token, std::int64_t expires_unix_s) {
    const std::scoped_lock locked(records_);
    auto found = folders_->read_record(token);
    if (!found || !*found) {
        return found ? result<bool>(false) : std::unexpected(std::move(found.error()));
    }
    link changed = std::move(**found);
    changed.expires_unix_s = expires_unix_s;
    if (expires_unix_s < 0) {
        return fail(failure_kind::bad_input, "link: expires is negative");
    }
    if (auto done = change(changed); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return true;
}

result<link_page>
disk_store::list(std::string_view tenant, std::string_view after, std::size_t links_max) {
    return catalogue_->list(tenant, after, links_max);
}

result<blob::totals> disk_store::totals() {
    return catalogue_->totals();
}

} // namespace ebbgate::blob
