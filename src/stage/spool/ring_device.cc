#include "stage/spool/ring_device.h"

#include "ebbgate/base/assert.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <fstream>

namespace ebbgate::stage_spool {

namespace {

std::string first_word_of(const std::string& path) {
    std::ifstream in(path);
    std::string word;
    std::getline(in, word);
    return word;
}

} // namespace

durable_by choose_durable_by(const std::string& folder) {
    struct stat status{};
    if (stat(folder.c_str(), &status) != 0) {
        return durable_by::linked_sync;
    }
    const std::string block = "/sys/dev/block/" + std::to_string(major(status.st_dev)) + ":" +
                              std::to_string(minor(status.st_dev));
    for (const char* queue : {"/queue", "/../queue"}) { // A partition has its disk's queue.
        const std::string cache = first_word_of(block + queue + "/write_cache");
        if (cache.empty()) {
            continue;
        }
        const bool no_flush =
            cache == "write through" || first_word_of(block + queue + "/fua") == "1";
        return no_flush ? durable_by::dsync : durable_by::linked_sync;
    }
    return durable_by::linked_sync;
}

ring_device::ring_device(ring::ring& ring, durable_by how) : ring_(ring), how_(how) {}

ring_device::~ring_device() = default;

ring_device::job& ring_device::take_job(spool::completion& done, int parts) {
    if (free_.empty()) {
        jobs_.push_back(std::make_unique<job>());
        job& made = *jobs_.back();
        made.device = this;
        made.first.owner = &made;
        made.second.owner = &made;
        made.first.on_complete = &ring_device::on_part;
        made.second.on_complete = &ring_device::on_part;
        free_.push_back(&made);
    }
    job& taken = *free_.back();
    free_.pop_back();
    taken.done = &done;
    taken.parts_left = parts;
    taken.has_second = parts == 2;
    ++under_way_;
    return taken;
}

void ring_device::on_part(ring::operation& operation, std::int32_t result, std::uint32_t) noexcept {
    auto& finished = static_cast<part&>(operation);
    finished.result = result;
    job& whole = *finished.owner;
    if (--whole.parts_left > 0) {
        return;
    }
    // A whole write counts only with its sync; a short or failed one has cancelled the sync.
    const bool written = whole.has_second && whole.first.result == whole.bytes;
    const std::int64_t outcome =
        written && whole.second.result < 0 ? whole.second.result : whole.first.result;
    ring_device& self = *whole.device;
    spool::completion& done = *whole.done;
    self.free_.push_back(&whole);
    --self.under_way_;
    done.on_complete(done, outcome);
}

void ring_device::write(spool::file_id file,
                        std::uint64_t offset,
                        const char* data,
                        std::size_t bytes,
                        spool::completion& done) {
    ring_.write(
        take_job(done, 1).first, file, data, static_cast<std::uint32_t>(bytes), offset, false);
}

void ring_device::write_durable(spool::file_id file,
                                std::uint64_t offset,
                                const char* data,
                                std::size_t bytes,
                                spool::completion& done) {
    const auto count = static_cast<std::uint32_t>(bytes);
    if (how_ == durable_by::dsync) {
        ring_.write(take_job(done, 1).first, file, data, count, offset, true);
        return;
    }
    job& both = take_job(done, 2);
    both.bytes = static_cast<std::int32_t>(bytes);
    ring_.write_then_sync(both.first, both.second, file, data, count, offset);
}

void ring_device::sync(spool::file_id file, spool::completion& done) {
    ring_.sync_data(take_job(done, 1).first, file);
}

void ring_device::read(spool::file_id file,
                       std::uint64_t offset,
                       char* data,
                       std::size_t bytes,
                       spool::completion& done) {
    ring_.read(take_job(done, 1).first, file, data, static_cast<std::uint32_t>(bytes), offset);
}

} // namespace ebbgate::stage_spool
