// A spool on a simulated disk, driven by hand: time moves only when a test says so.

#pragma once

#include "ebbgate/spool/reader.h"
#include "ebbgate/spool/recovery.h"
#include "ebbgate/spool/simulated_storage.h"
#include "ebbgate/spool/writer.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::spool {

// One append, its bytes, and how it ended.
struct test_append : append_request {
    std::string meta_bytes;
    std::string body_bytes;
    std::string state_bytes;
    chunks blocks;
    std::unique_ptr<large_body> stream;
    std::size_t streamed = 0;
    location old;
    std::optional<append_status> status;
    std::function<void(test_append&)> when_settled;
};

struct read_result {
    read_status status = read_status::failed;
    std::string meta;
    std::string body;
    std::uint64_t body_seed = 0;
    std::uint64_t body_hash = 0;
};

struct read_event {
    bool told = false;
    read_status status = read_status::failed;
};

inline writer_options small_options() {
    writer_options options;
    options.segment_bytes = 64 * kib;
    options.group_bytes_max = 24 * kib;
    options.inline_bytes_max = 6 * kib;
    options.meta_bytes_max = 2 * kib;
    options.log_bytes_max = 4 * mib;
    options.free_bytes_reserve = 1 * mib;
    options.retired_segments_max = 2;
    return options;
}

class spool_harness {
public:
    explicit spool_harness(simulated_disk& disk, writer_options options = small_options())
        : files(disk), device_(disk), options_(options) {}

    // Opens or creates the spool, recovers, starts a writer. False if the disk refused.
    bool open() {
        const auto meta = open_spool(files, 1);
        if (!meta) {
            return false;
        }
        auto recovered = recover_shard(files, *meta, {0, options_.segment_bytes});
        if (!recovered) {
            return false;
        }
        found = std::move(*recovered);
        log = std::make_unique<writer>(device_, options_, std::move(found.start));
        return true;
    }

    // Nothing: it cannot be read.
    std::optional<std::string> meta_of(const recovered_message& message) {
        std::optional<std::string> meta;
        read_metas(files,
                   log->files(),
                   {message},
                   [&](const recovered_message&, std::optional<byte_view> read) {
                       meta = read ? std::optional<std::string>(*read) : std::nullopt;
                   });
        return meta;
    }

    test_append& add(std::uint64_t id, std::string meta, std::string body, std::string state = {}) {
        auto owned = std::make_unique<test_append>();
        test_append& request = *owned;
        request.message_id = id;
        request.meta_bytes = std::move(meta);
        request.body_bytes = std::move(body);
        request.state_bytes = std::move(state);
        request.meta = request.meta_bytes;
        request.state = request.state_bytes;
        request.on_settled = on_settled;
        requests.push_back(std::move(owned));
        return request;
    }

    test_append&
    append(std::uint64_t id, std::string meta, std::string body, std::string state = {}) {
        test_append& request = add(id, std::move(meta), std::move(body), std::move(state));
        request.blocks.append(request.body_bytes);
        request.body = &request.blocks;
        log->append(request);
        return request;
    }

    // Null when no body file is free yet; one is ordered in supply().
    test_append* append_large(std::uint64_t id, std::string meta, std::string body) {
        const auto file = log->acquire_body_file();
        if (!file) {
            return nullptr;
        }
        test_append& request = add(id, std::move(meta), std::move(body));
        request.stream = std::make_unique<large_body>(
            device_, file->file_number, file->file, on_progress, &request);
        harness_of_[&request] = this;
        feed(request);
        return &request;
    }

    // What a worker thread does for the daemon.
    void supply() {
        if (log->wants_segment()) {
            const segment_order order = log->order_segment();
            if (const auto segment = prepare_segment(files, order)) {
                log->give_segment(*segment);
            } else {
                log->segment_failed(order, segment.error().kind);
            }
        }
        while (const auto surplus = log->take_surplus()) {
            (void)remove_segment(files, *surplus);
        }
        if (log->wants_body_file()) {
            const body_file_order order = log->order_body_file();
            if (const auto file = prepare_body_file(files, order)) {
                log->give_body_file(*file);
            } else {
                log->body_file_failed(order);
            }
        }
    }

    void turn(std::int64_t milliseconds = 1) {
        now_ns += milliseconds * 1'000'000;
        supply();
        log->pump(now_ns);
    }

    // Until nothing is queued or under way; false when it does not come to that.
    bool settle() {
        for (int round = 0; round < 1000; ++round) {
            turn(25);
            device_.poll();
            if (log->idle() && !streams_are_open()) {
                return true;
            }
        }
        return false;
    }

    test_append& append_and_settle(std::uint64_t id, std::string meta, std::string body) {
        test_append& request = append(id, std::move(meta), std::move(body));
        settle();
        return request;
    }

    // The empty commit that proves the last group.
    void prove() {
        turn(300);
        device_.poll();
    }

    read_result read(std::uint64_t id, const location& where) {
        read_event event;
        message_reader reader(device_, log->files(), on_read, &event);
        const auto wait = [&] {
            for (int round = 0; round < 1000 && !event.told; ++round) {
                device_.poll();
            }
            event.told = false;
        };
        read_result result;
        reader.start(id, where);
        wait();
        result.status = event.status;
        if (event.status != read_status::ready) {
            return result;
        }
        result.meta = std::string(reader.meta());
        result.body_seed = reader.body_seed();
        result.body_hash = reader.body_hash();
        for (;;) {
            if (!reader.next()) {
                wait();
                result.status = event.status;
                if (event.status != read_status::ready) {
                    return result;
                }
            }
            if (reader.block().empty()) {
                return result;
            }
            result.body.append(reader.block());
        }
    }

    [[nodiscard]] bool streams_are_open() const {
        for (const auto& request : requests) {
            if (request->stream && !request->status) {
                return true;
            }
        }
        return false;
    }

    simulated_device& device() { return device_; }

    simulated_directory files;
    recovered_shard found; // Without `start`, which the writer has.
    std::unique_ptr<writer> log;
    std::vector<std::unique_ptr<test_append>> requests;
    std::int64_t now_ns = 1'000'000'000;

private:
    static void
    on_settled(append_request& settled, append_status status, const location& where) noexcept {
        test_append& request = static_cast<test_append&>(settled);
        request.status = status;
        request.where = where;
        if (request.when_settled) {
            request.when_settled(request);
        }
    }

    static void on_read(message_reader&, read_status status, void* context) noexcept {
        auto* event = static_cast<read_event*>(context);
        event->told = true;
        event->status = status;
    }

    static void on_progress(large_body&, void* context) noexcept {
        test_append& request = *static_cast<test_append*>(context);
        harness_of_[&request]->feed(request);
    }

    void feed(test_append& request) {
        large_body& stream = *request.stream;
        if (request.status) {
            return;
        }
        switch (stream.state()) {
        case large_body_state::streaming:
            request.streamed +=
                stream.append(byte_view(request.body_bytes).substr(request.streamed));
            if (request.streamed == request.body_bytes.size()) {
                stream.finish();
            }
            break;
        case large_body_state::finishing:
            break;
        case large_body_state::durable:
            request.large = &stream;
            log->append(request);
            break;
        case large_body_state::failed:
        case large_body_state::no_space:
            if (stream.idle()) {
                request.status = append_status::failed;
                log->release_body_file(stream.file_number(), false);
            }
            break;
        }
    }

    static inline std::map<test_append*, spool_harness*> harness_of_;

    simulated_device device_;
    writer_options options_;
};

} // namespace ebbgate::spool
