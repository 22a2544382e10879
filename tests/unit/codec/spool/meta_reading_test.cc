// The second reading of what recovery found.

#include "spool_harness.h"

#include <gtest/gtest.h>

#include <random>

namespace ebbgate::spool {
namespace {

// Counts the reads, and how much they bring.
class counting_directory final : public directory {
public:
    explicit counting_directory(directory& real) : real_(&real) {}

    result<void> lock() override { return real_->lock(); }

    result<std::vector<directory_entry>> list(const std::string& folder) override {
        return real_->list(folder);
    }

    result<void> make_folder(const std::string& folder) override {
        return real_->make_folder(folder);
    }

    result<file_id> open(const std::string& path) override { return real_->open(path); }

    result<file_id> create_zeroed(const std::string& path, std::uint64_t bytes) override {
        return real_->create_zeroed(path, bytes);
    }

    void close(file_id file) noexcept override { real_->close(file); }

    result<std::size_t>
    read_at(file_id file, std::uint64_t offset, char* data, std::size_t bytes) override {
        ++reads;
        read_bytes += bytes;
        if (fail_next > 0) {
            --fail_next;
            return fail(failure_kind::io, "a bad sector");
        }
        return real_->read_at(file, offset, data, bytes);
    }

    result<void> write_at(file_id file, std::uint64_t offset, byte_view data) override {
        return real_->write_at(file, offset, data);
    }

    result<void> sync(file_id file) override { return real_->sync(file); }

    result<std::uint64_t> file_bytes(file_id file) override { return real_->file_bytes(file); }

    result<void> rename(const std::string& from, const std::string& to) override {
        return real_->rename(from, to);
    }

    result<void> unlink(const std::string& path) override { return real_->unlink(path); }

    result<void> sync_folder(const std::string& folder) override {
        return real_->sync_folder(folder);
    }

    result<std::uint64_t> free_bytes() override { return real_->free_bytes(); }

    int reads = 0;
    int fail_next = 0;
    std::uint64_t read_bytes = 0;

private:
    directory* real_;
};

class MetaReading : public ::testing::Test {
protected:
    static writer_options options() {
        writer_options options = small_options();
        options.segment_bytes = 4 * mib;
        options.group_bytes_max = 1 * mib;
        options.inline_bytes_max = 512 * kib;
        options.log_bytes_max = 64 * mib;
        return options;
    }

    void SetUp() override { ASSERT_TRUE(spool_.open()); }

    void store(std::uint64_t id, std::size_t body_bytes) {
        spool_.append_and_settle(id, "meta " + std::to_string(id), std::string(body_bytes, 'x'));
    }

    void reopen() {
        std::mt19937_64 random(1);
        after_disk_ = disk_.crash(crash_mode::everything, random);
        after_ = std::make_unique<spool_harness>(*after_disk_, options());
        ASSERT_TRUE(after_->open());
        counted_ = std::make_unique<counting_directory>(after_->files);
    }

    // What was read, by id; "?": could not be.
    std::vector<std::pair<std::uint64_t, std::string>> read_all() {
        std::vector<std::pair<std::uint64_t, std::string>> all;
        read_metas(*counted_,
                   after_->log->files(),
                   after_->found.live,
                   [&all](const recovered_message& message, std::optional<byte_view> meta) {
                       all.emplace_back(message.id, meta ? std::string(*meta) : "?");
                   });
        return all;
    }

    simulated_disk disk_;
    spool_harness spool_{disk_, options()};
    std::unique_ptr<simulated_disk> after_disk_;
    std::unique_ptr<spool_harness> after_;
    std::unique_ptr<counting_directory> counted_;
};

TEST_F(MetaReading, ManySmallMessagesComeWithAFewReads) {
    constexpr std::uint64_t count = 2000;
    for (std::uint64_t id = 1; id <= count; ++id) {
        store(id, 300);
    }
    reopen();
    const auto all = read_all();
    ASSERT_EQ(all.size(), count);
    for (std::uint64_t id = 1; id <= count; ++id) {
        ASSERT_EQ(all[id - 1], std::pair(id, "meta " + std::to_string(id)));
    }
    EXPECT_LT(counted_->reads, 20);
}

TEST_F(MetaReading, LargeBodiesAreNotReadAgain) {
    for (std::uint64_t id = 1; id <= 20; ++id) {
        store(id, id % 2 == 0 ? 300 * kib : 100);
    }
    reopen();
    const auto all = read_all();
    ASSERT_EQ(all.size(), 20U);
    EXPECT_EQ(all.back().second, "meta 20");
    EXPECT_LT(counted_->read_bytes, 1 * mib);
}

TEST_F(MetaReading, WhatCannotBeReadIsToldAndTheOthersAreRead) {
    for (std::uint64_t id = 1; id <= 30; ++id) {
        store(id, 300);
    }
    reopen();
    const location& where = after_->found.live[9].where;
    (*after_disk_->contents("s00/00000000.seg"))[where.offset + 66] ^= 1;
    const auto all = read_all();
    ASSERT_EQ(all.size(), 30U);
    for (std::uint64_t id = 1; id <= 30; ++id) {
        EXPECT_EQ(all[id - 1].second, id == 10 ? "?" : "meta " + std::to_string(id));
    }
}

TEST_F(MetaReading, AReadThatFailsOnceIsDoneAgain) {
    for (std::uint64_t id = 1; id <= 30; ++id) {
        store(id, 300);
    }
    reopen();
    counted_->fail_next = 2; // All at once, then the first alone.
    const auto all = read_all();
    ASSERT_EQ(all.size(), 30U);
    EXPECT_EQ(all.front().second, "meta 1");
    EXPECT_EQ(all.back().second, "meta 30");
}

} // namespace
} // namespace ebbgate::spool
