// What deletes: links that have expired, then contents that no link needs.

#include "store/blob/disk_store.h"

#include <set>
#include <string>

namespace ebbgate::blob {

result<std::uint64_t> disk_store::sweep_links(std::int64_t now_unix_s, std::size_t links_max) {
    const std::scoped_lock locked(records_);
    const auto expired = catalogue_->expired(now_unix_s, links_max);
    if (!expired) {
        return std::unexpected(expired.error());
    }
    std::vector<std::string_view> removed;
    std::set<std::string_view> folders_touched;
    for (const expired_row& row : *expired) {
        const auto found = folders_->read_record(row.token);
        if (!found && found.error().kind != failure_kind::corrupt) {
            return std::unexpected(found.error());
        }
        if (found && *found && (*found)->expires_unix_s > now_unix_s) {
            catalogue_->put(**found); // The record decides; a change of it was not told.
            continue;
        }
        // One that is not readable any more is of no use to anybody after its time either.
        if (auto gone = folders_->remove_record(row.token); !gone) {
            return std::unexpected(std::move(gone.error()));
        }
        removed.push_back(row.token);
        folders_touched.insert(std::string_view(row.token).substr(0, 2));
    }
    // Before any content goes: a record that comes back after a power cut still has its content.
    for (const std::string_view folder : folders_touched) {
        if (auto synced = folders_->sync_records(folder); !synced) {
            return std::unexpected(std::move(synced.error()));
        }
    }
    for (const std::string_view token : removed) {
        catalogue_->drop(token);
    }
    if (auto flushed = catalogue_->flush(); !flushed) {
        return std::unexpected(std::move(flushed.error()));
    }
    return removed.size();
}

result<void> disk_store::sweep_contents(std::size_t contents_max, sweep_result& into) {
    const auto unneeded = catalogue_->unneeded(contents_max);
    if (!unneeded) {
        return std::unexpected(unneeded.error());
    }
    std::vector<content_row> removed;
    result<void> done;
    for (const content_row& row : *unneeded) {
        const auto gone = remove_unneeded(row);
        if (!gone) {
            done = std::unexpected(gone.error());
            break;
        }
        if (*gone != removal::needed) {
            removed.push_back(row);
        }
        if (*gone == removal::removed) {
            ++into.contents;
            into.bytes += row.bytes;
        }
    }
    const auto forgotten = catalogue_->forget(removed);
    return done ? forgotten : done;
}

result<sweep_result> disk_store::sweep(std::int64_t now_unix_s, std::size_t links_max) {
    folders_->remove_abandoned();
    sweep_result swept;
    const auto links = sweep_links(now_unix_s, links_max);
    if (!links) {
        return std::unexpected(links.error());
    }
    swept.links = *links;
    if (auto done = sweep_contents(links_max, swept); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return swept;
}

} // namespace ebbgate::blob
