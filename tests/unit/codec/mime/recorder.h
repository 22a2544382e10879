// Writes down the events of a scan, one line each, and checks what holds for all of them: offsets
// without a gap, nothing of a part before its header event, nothing behind a body before its end.

#pragma once

#include "ebbgate/mime/streamer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace ebbgate::mime {

class recorder final : public visitor {
public:
    void part_begin(const part& it) override {
        end_run();
        EXPECT_EQ(it.header_at, message.size());
        EXPECT_EQ(it.index, begun++);
        EXPECT_TRUE(it.parent == no_part || it.parent < it.index);
        const std::string parent = it.parent == no_part ? "-" : std::to_string(it.parent);
        log("part " + std::to_string(it.index) + " in " + parent + " depth " +
            std::to_string(it.depth));
    }

    void header(const part& it, const part_header& header) override {
        EXPECT_EQ(it.header_at, message.size());
        EXPECT_EQ(it.body_at, it.header_at + header.text.size());
        static constexpr const char* kind_names[] = {
            "leaf", "multipart", "message", "encoded", "partial", "external"};
        std::string line = "header " + std::to_string(it.index) + ' ' +
                           kind_names[static_cast<std::size_t>(it.kind)] + ' ' + it.content.type +
                           '/' + it.content.subtype;
        std::size_t end = 0;
        for (const mail::header_field& field : header.fields) {
            EXPECT_GE(field.at, end);
            end = field.at + field.bytes;
            EXPECT_LE(end, header.text.size());
            line += " [" + std::string(header.name(field)) + '|' +
                    std::string(header.value(field)) + ']';
        }
        log(line);
        for (const std::string& name : it.content.names) {
            names.push_back(name);
        }
        contents.push_back(it.content);
    }

    void bytes(const part& it, region where, std::uint64_t at, byte_view bytes) override {
        EXPECT_EQ(at, message.size());
        EXPECT_FALSE(bytes.empty());
        message += bytes;
        if (it.index != run_part_ || where != run_region_ || where == region::boundary) {
            end_run();
            run_part_ = it.index;
            run_region_ = where;
        }
        run_ += bytes;
    }

    void body_end(const part& it, std::uint64_t at) override {
        end_run();
        EXPECT_EQ(at, message.size());
        log("end " + std::to_string(it.index) + " at " + std::to_string(at));
    }

    void part_end(const part& it) override {
        end_run();
        log("done " + std::to_string(it.index));
    }

    void unclear(const part& it, ambiguity kind, std::uint64_t at) override {
        unclears.push_back(std::string(text_of(kind)) + " in " + std::to_string(it.index) + " at " +
                           std::to_string(at));
        unclear_behind.push_back(message.size());
        kinds.add(kind);
    }

    void end_run() {
        if (!run_.empty()) {
            static constexpr const char* regions[] = {
                "header", "body", "preamble", "boundary", "epilogue"};
            std::string line = std::string(regions[static_cast<std::size_t>(run_region_)]) + ' ' +
                               std::to_string(run_part_) + ": " + run_;
            run_.clear();
            log(line);
        }
    }

    void log(std::string line) { events.push_back(std::move(line)); }

    std::vector<std::string> events;
    std::vector<std::string> unclears;       // In order.
    std::vector<std::size_t> unclear_behind; // What was given before each.
    std::vector<std::string> names;
    std::vector<content_fields> contents;
    ambiguity_set kinds;
    std::string message;
    std::uint32_t begun = 0;

private:
    std::uint32_t run_part_ = no_part;
    region run_region_ = region::header;
    std::string run_;
};

// Each chunk is its own heap block, so that the address sanitizer sees a read outside of it.
inline recorder
record(byte_view text, std::size_t first_bytes, std::size_t then_bytes, stream_limits limits = {}) {
    recorder out;
    streamer scan(out, limits);
    const byte_view all = text;
    std::size_t take = first_bytes;
    while (!text.empty()) {
        const std::vector<char> chunk(
            text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(take, text.size())));
        scan.push({chunk.data(), chunk.size()});
        text.remove_prefix(chunk.size());
        take = then_bytes;
    }
    scan.finish();
    EXPECT_EQ(scan.given_bytes(), all.size());
    EXPECT_EQ(out.message, all);
    return out;
}

inline void expect_same(const recorder& one, const recorder& other, const std::string& how) {
    EXPECT_EQ(one.events, other.events) << how;
    EXPECT_EQ(one.unclears, other.unclears) << how;
    EXPECT_EQ(one.unclear_behind, other.unclear_behind) << how;
    EXPECT_EQ(one.contents, other.contents) << how;
}

// Whole, cut at each byte, and in equal pieces of a few sizes.
inline recorder record_every_way(byte_view text, stream_limits limits = {}) {
    recorder whole = record(text, text.size(), 1, limits);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        expect_same(record(text, cut, text.size(), limits), whole, "cut at " + std::to_string(cut));
        if (testing::Test::HasFailure()) {
            break;
        }
    }
    for (const std::size_t bytes : {1U, 2U, 3U, 5U, 7U, 16U}) {
        expect_same(
            record(text, bytes, bytes, limits), whole, "pieces of " + std::to_string(bytes));
    }
    return whole;
}

} // namespace ebbgate::mime
