// The spool's disk on a shard's ring: nothing blocks, nothing leaves the thread but the sync.
//
// Stage   5 of 8. Before it: content. After it: schedule.
// Input   The operations of spool::device, on O_DIRECT descriptors and aligned buffers.
// Output  Their completions, from the ring's turn.
// Owner   The shard; it outlives what it was asked to do (idle()).
// Bounds  One slot an operation under way; slots are kept for reuse.
// Specs   ENGINE.md E7: RWF_DSYNC where the device needs no separate flush, else a linked sync.

#pragma once

#include "ebbgate/spool/storage.h"

#include "runtime/ring/ring.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace ebbgate::stage_spool {

enum class durable_by : std::uint8_t { dsync, linked_sync };

// What suits the device that holds `folder`; linked_sync when that cannot be known.
[[nodiscard]] durable_by choose_durable_by(const std::string& folder);

class ring_device final : public spool::device {
public:
    ring_device(ring::ring& ring, durable_by how);
    ~ring_device() override;
    ring_device(const ring_device&) = delete;
    ring_device& operator=(const ring_device&) = delete;

    void write(spool::file_id file,
               std::uint64_t offset,
               const char* data,
               std::size_t bytes,
               spool::completion& done) override;
    void write_durable(spool::file_id file,
                       std::uint64_t offset,
                       const char* data,
                       std::size_t bytes,
                       spool::completion& done) override;
    void sync(spool::file_id file, spool::completion& done) override;
    void read(spool::file_id file,
              std::uint64_t offset,
              char* data,
              std::size_t bytes,
              spool::completion& done) override;

    [[nodiscard]] bool idle() const noexcept { return under_way_ == 0; }

    [[nodiscard]] durable_by how() const noexcept { return how_; }

private:
    struct job;

    struct part : ring::operation {
        job* owner = nullptr;
        std::int32_t result = 0;
    };

    struct job {
        part first;
        part second;
        ring_device* device = nullptr;
        spool::completion* done = nullptr;
        std::int32_t bytes = 0; // Asked of a durable write.
        int parts_left = 0;
        bool has_second = false;
    };

    job& take_job(spool::completion& done, int parts);
    static void
    on_part(ring::operation& operation, std::int32_t result, std::uint32_t flags) noexcept;

    ring::ring& ring_;
    durable_by how_;
    std::vector<std::unique_ptr<job>> jobs_;
    std::vector<job*> free_;
    std::size_t under_way_ = 0;
};

} // namespace ebbgate::stage_spool
