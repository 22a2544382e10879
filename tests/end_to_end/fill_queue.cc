// Writes a spool that holds a queue: so many messages, by the writer that the gateway has, without
// its clients. For tests and measurements of the start.
//
// The messages go to rN@dN.queue.test in so many domains, in groups of so many. After each group
// some of its messages get the state that a failed attempt leaves, which lies behind them in the
// log, and some end. Nothing is synced: a power cut is not what this is for.

#include "ebbgate/message/message_id.h"
#include "ebbgate/spool/posix_storage.h"
#include "ebbgate/spool/shard_files.h"
#include "ebbgate/spool/stored_meta.h"
#include "ebbgate/spool/writer.h"

#include "relay/queued_message.h"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

struct wishes {
    std::string folder;
    std::uint64_t messages = 1'000'000; // That stay.
    std::uint32_t shards = 2;
    std::uint32_t domains = 1000;
    std::uint32_t deferred_percent = 80;
    std::uint32_t done_percent = 10; // More than those.
    std::size_t body_bytes = 300;
    std::size_t meta_bytes_more = 0;
    std::uint32_t recipients = 1;
    std::size_t group = 16;
    std::uint64_t segment_mib = 64;
};

class unsynced_device final : public spool::device {
public:
    void write(spool::file_id file,
               std::uint64_t offset,
               const char* data,
               std::size_t bytes,
               spool::completion& done) override {
        disk_.write(file, offset, data, bytes, done);
    }

    void write_durable(spool::file_id file,
                       std::uint64_t offset,
                       const char* data,
                       std::size_t bytes,
                       spool::completion& done) override {
        disk_.write(file, offset, data, bytes, done);
    }

    void sync(spool::file_id file, spool::completion& done) override { disk_.sync(file, done); }

    void read(spool::file_id file,
              std::uint64_t offset,
              char* data,
              std::size_t bytes,
              spool::completion& done) override {
        disk_.read(file, offset, data, bytes, done);
    }

    void poll() { disk_.poll(); }

private:
    spool::posix_device disk_;
};

struct stored final : spool::append_request {
    std::string meta_text;
    bool is_durable = false;
};

void on_settled(spool::append_request& request,
                spool::append_status status,
                const spool::location&) noexcept {
    static_cast<stored&>(request).is_durable = status == spool::append_status::durable;
}

class filler {
public:
    filler(spool::posix_directory& files, const wishes& wanted, std::uint32_t shard)
        : files_(files), wanted_(wanted), shard_(shard), ids_(static_cast<std::uint8_t>(shard), 0),
          now_ms_(std::chrono::duration_cast<std::chrono::milliseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count()) {}

    bool fill(const spool::spool_meta& meta, std::uint64_t messages) {
        spool::writer_options options;
        options.shard = shard_;
        options.segment_bytes = wanted_.segment_mib * mib;
        options.log_bytes_max = 1024 * gib;
        spool::writer_start start;
        start.spool = meta.identity;
        spool::writer log(disk_, options, std::move(start));
        body_.append("Subject: queued\r\n\r\n" + std::string(wanted_.body_bytes, 'x') + "\r\n");
        const std::uint64_t all = messages * (100 + wanted_.done_percent) / 100;
        for (std::uint64_t made = 0; made < all;) {
            const std::uint64_t count = std::min<std::uint64_t>(wanted_.group, all - made);
            if (!append(log, made, count)) {
                return false;
            }
            made += count;
        }
        return settle(log);
    }

private:
    message::envelope envelope_of(std::uint64_t number) {
        message::envelope envelope;
        envelope.received_unix_ms = now_ms_ - 3'600'000 + static_cast<std::int64_t>(number / 1000);
        envelope.id = ids_.next(envelope.received_unix_ms * 1000);
        envelope.sender = "a" + std::to_string(number % 100) + "@acme.test";
        envelope.tenant = "acme";
        envelope.client_address = "192.0.2.17";
        envelope.client_helo = "client.acme.test";
        envelope.header_message_id = "<" + std::to_string(number) + "@client.acme.test>";
        for (std::uint32_t index = 0; index < wanted_.recipients; ++index) {
            const std::uint64_t domain = (number * 7919 + index) % wanted_.domains;
            envelope.recipients.push_back(
                {"r" + std::to_string(number) + "@d" + std::to_string(domain) + ".queue.test",
                 "",
                 0});
        }
        return envelope;
    }

    bool append(spool::writer& log, std::uint64_t first, std::uint64_t count) {
        std::vector<stored> group(count);
        for (std::uint64_t index = 0; index < count; ++index) {
            stored& one = group[index];
            const message::envelope envelope = envelope_of(first + index);
            one.message_id = envelope.id;
            one.meta_text = spool::encode_meta(
                envelope,
                "Received: from client.acme.test (192.0.2.17) by gate.test with ESMTPS\r\n\tid " +
                    message::to_text(envelope.id) + "; Sun, 29 Nov 2026 10:00:00 +0000\r\n" +
                    std::string(wanted_.meta_bytes_more, 'm'));
            one.meta = one.meta_text;
            one.body = &body_;
            one.on_settled = on_settled;
            log.append(one);
        }
        if (!settle(log)) {
            return false;
        }
        for (std::uint64_t index = 0; index < count; ++index) {
            const stored& one = group[index];
            if (!one.is_durable) {
                return false;
            }
            // Spread evenly, and apart from each other.
            const std::uint64_t number = first + index;
            if (number * 61 % (100 + wanted_.done_percent) < wanted_.done_percent) {
                log.mark_done(one.message_id, one.where);
            } else if (number * 37 % 100 < wanted_.deferred_percent) {
                relay::delivery_state state;
                state.attempts = static_cast<std::uint32_t>(1 + number % 5);
                state.next_unix_ms =
                    now_ms_ + 3'600'000 + static_cast<std::int64_t>(number % 3'600'000);
                for (std::uint32_t at = 0; at < wanted_.recipients; ++at) {
                    state.outstanding.add(at);
                }
                log.note_state(one.message_id, relay::encode_state(state));
            }
        }
        return true;
    }

    bool settle(spool::writer& log) {
        for (int round = 0; round < 1000; ++round) {
            if (log.wants_segment()) {
                const spool::segment_order order = log.order_segment();
                const auto made = spool::prepare_segment(files_, order);
                if (!made) {
                    std::fprintf(stderr, "%s\n", made.error().detail.c_str());
                    return false;
                }
                log.give_segment(*made);
            }
            log.pump(clock_ns_ += 30'000'000);
            disk_.poll();
            if (log.idle()) {
                return true;
            }
        }
        return false;
    }

    spool::posix_directory& files_;
    const wishes& wanted_;
    std::uint32_t shard_;
    message::id_source ids_;
    std::int64_t now_ms_;
    std::int64_t clock_ns_ = 1'000'000'000;
    unsynced_device disk_;
    chunks body_;
};

} // namespace

int main(int count, char** arguments) {
    wishes wanted;
    CLI::App options("Writes a spool that holds a queue");
    options.add_option("folder", wanted.folder, "The spool's, which is empty")->required();
    options.add_option("--messages", wanted.messages);
    options.add_option("--shards", wanted.shards)->check(CLI::PositiveNumber);
    options.add_option("--domains", wanted.domains)->check(CLI::PositiveNumber);
    options.add_option("--deferred", wanted.deferred_percent, "Percent");
    options.add_option("--done", wanted.done_percent, "Percent, besides");
    options.add_option("--body", wanted.body_bytes, "Bytes");
    options.add_option("--more-meta", wanted.meta_bytes_more, "Bytes of header lines");
    options.add_option("--recipients", wanted.recipients);
    options.add_option("--group", wanted.group, "Messages a commit")->check(CLI::PositiveNumber);
    options.add_option("--segment", wanted.segment_mib, "MiB");
    CLI11_PARSE(options, count, arguments);
    spool::posix_directory files(wanted.folder);
    const auto meta = spool::open_spool(files, wanted.shards);
    if (!meta) {
        std::fprintf(stderr, "%s\n", meta.error().detail.c_str());
        return 1;
    }
    for (std::uint32_t shard = 0; shard < wanted.shards; ++shard) {
        const std::uint64_t share =
            wanted.messages / wanted.shards + (shard < wanted.messages % wanted.shards ? 1 : 0);
        if (!filler(files, wanted, shard).fill(*meta, share)) {
            return 1;
        }
    }
    return 0;
}
