// What does it cost the shard's CPU to append and commit one message, and to read a log back?
//
// Append: a device that takes every write at once and keeps nothing, so that only our own work is
// measured. Recover: a log in memory.

#include "ebbgate/spool/recovery.h"
#include "ebbgate/spool/simulated_storage.h"
#include "ebbgate/spool/writer.h"

#include <benchmark/benchmark.h>

#include <deque>
#include <string>
#include <vector>

namespace ebbgate::spool {
namespace {

class null_device final : public device {
public:
    void write(file_id, std::uint64_t, const char*, std::size_t bytes, completion& done) override {
        queue_.push_back({&done, static_cast<std::int64_t>(bytes)});
    }

    void write_durable(
        file_id, std::uint64_t, const char*, std::size_t bytes, completion& done) override {
        queue_.push_back({&done, static_cast<std::int64_t>(bytes)});
    }

    void sync(file_id, completion& done) override { queue_.push_back({&done, 0}); }

    void read(file_id, std::uint64_t, char*, std::size_t bytes, completion& done) override {
        queue_.push_back({&done, static_cast<std::int64_t>(bytes)});
    }

    void poll() {
        while (!queue_.empty()) {
            const auto [done, outcome] = queue_.front();
            queue_.pop_front();
            done->on_complete(*done, outcome);
        }
    }

private:
    std::deque<std::pair<completion*, std::int64_t>> queue_;
};

struct counted_request : append_request {
    std::size_t* settled = nullptr;
};

void count(append_request& request, append_status, const location&) noexcept {
    ++*static_cast<counted_request&>(request).settled;
}

// Hands out segments that need no disk: the next id, any seed.
void supply(writer& log) {
    if (log.wants_segment()) {
        const segment_order order = log.order_segment();
        log.give_segment({order, 3, order.segment_id * 7919, std::uint64_t{1} << 40});
    }
}

// Arguments: body bytes, messages a group.
void append_and_commit(benchmark::State& state) {
    const auto body_bytes = static_cast<std::size_t>(state.range(0));
    const auto messages = static_cast<std::size_t>(state.range(1));
    null_device disk;
    writer log(disk, writer_options(), writer_start());
    chunks body;
    body.append(std::string(body_bytes, 'x'));
    const std::string meta(300, 'm');
    std::vector<counted_request> requests(messages);
    std::uint64_t id = 0;
    std::int64_t now_ns = 0;
    for (auto _ : state) {
        std::size_t settled = 0;
        for (counted_request& request : requests) {
            request.message_id = ++id;
            request.meta = meta;
            request.body = &body;
            request.on_settled = count;
            request.settled = &settled;
            log.append(request);
        }
        while (settled < messages) {
            supply(log);
            log.pump(now_ns += 1000);
            disk.poll();
        }
        for (const append_request& request : requests) {
            log.mark_done(request.message_id, request.where);
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(id));
    state.SetBytesProcessed(static_cast<std::int64_t>(id * body_bytes));
}

BENCHMARK(append_and_commit)
    ->ArgNames({"body_bytes", "messages"})
    ->Args({512, 1})
    ->Args({4096, 1})
    ->Args({4096, 16})
    ->Args({4096, 64})
    ->Args({65536, 1})
    ->Args({65536, 16})
    ->Args({262144, 4});

void recover_log(benchmark::State& state) {
    simulated_disk disk;
    simulated_directory files(disk);
    simulated_device device(disk);
    const auto meta = open_spool(files, 1);
    writer_start start;
    start.spool = meta->identity;
    writer log(device, writer_options(), std::move(start));
    chunks body;
    body.append(std::string(4096, 'x'));
    std::vector<counted_request> requests(32);
    std::uint64_t id = 0;
    std::size_t settled = 0;
    for (int group = 0; group < 400; ++group) {
        for (counted_request& request : requests) {
            request.message_id = ++id;
            request.meta = "the meta";
            request.body = &body;
            request.on_settled = count;
            request.settled = &settled;
            log.append(request);
        }
        while (settled < id) {
            if (log.wants_segment()) {
                log.give_segment(*prepare_segment(files, log.order_segment()));
            }
            log.pump(group * 1000);
            device.poll();
        }
    }
    for (auto _ : state) {
        auto found = recover_shard(files, *meta, recovery_options());
        benchmark::DoNotOptimize(found->live.size());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(log.log_bytes()));
}

BENCHMARK(recover_log)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace ebbgate::spool

BENCHMARK_MAIN();
