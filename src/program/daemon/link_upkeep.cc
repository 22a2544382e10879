#include "program/daemon/link_upkeep.h"

#include <fmt/format.h>

#include <ctime>

namespace ebbgate::program {

result<std::unique_ptr<link_upkeep>>
link_upkeep::open(const std::string& folder, std::function<void(const std::string&)> note) {
    auto opened = blob::blob_store::open(folder);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    return std::unique_ptr<link_upkeep>(new link_upkeep(std::move(*opened), std::move(note)));
}

void link_upkeep::tend(clock::time_point now) {
    if (now >= due_ && !sweeping_.exchange(true)) {
        due_ = now + interval;
        sweeper_.post([this] {
            sweep();
            sweeping_ = false;
        });
    }
}

void link_upkeep::sweep() {
    blob::sweep_result deleted;
    while (!ending_) {
        const auto done = store_->sweep(std::time(nullptr), links_max);
        if (!done) {
            const clock::time_point now = clock::now();
            if (noted_ == clock::time_point{} || now - noted_ >= note_interval) {
                noted_ = now;
                note_("filelink: " + done.error().detail);
            }
            break;
        }
        deleted.links += done->links;
        deleted.contents += done->contents;
        deleted.bytes += done->bytes;
        if (done->links < links_max) {
            break;
        }
    }
    if (deleted.links + deleted.contents > 0) {
        note_(fmt::format("filelink: {} expired links deleted, {} files of {} bytes with them",
                          deleted.links,
                          deleted.contents,
                          deleted.bytes));
    }
}

} // namespace ebbgate::program
