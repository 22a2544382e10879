// A body that goes back to a mark while old writes are under way: what is in the file is what
// counts, whatever the order in which the disk completes.

#include "ebbgate/spool/large_body.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace ebbgate::spool {
namespace {

// Completes when told to, in any order; takes the bytes at that moment, as a disk may.
class slow_device final : public device {
public:
    void write(file_id,
               std::uint64_t offset,
               const char* data,
               std::size_t bytes,
               completion& done) override {
        waiting_.push_back({offset, data, bytes, &done});
    }

    void write_durable(file_id file,
                       std::uint64_t offset,
                       const char* data,
                       std::size_t bytes,
                       completion& done) override {
        write(file, offset, data, bytes, done);
    }

    void sync(file_id, completion& done) override { waiting_.push_back({0, nullptr, 0, &done}); }

    void read(file_id, std::uint64_t, char*, std::size_t, completion&) override { FAIL(); }

    bool complete_one(std::mt19937& random) {
        if (waiting_.empty()) {
            return false;
        }
        const std::size_t at = random() % waiting_.size();
        const operation chosen = waiting_[at];
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(at));
        if (chosen.data != nullptr) {
            EXPECT_EQ(chosen.offset % block_bytes, 0U);
            EXPECT_EQ(chosen.bytes % block_bytes, 0U);
            content.resize(
                std::max(content.size(), static_cast<std::size_t>(chosen.offset) + chosen.bytes));
            content.replace(
                static_cast<std::size_t>(chosen.offset), chosen.bytes, chosen.data, chosen.bytes);
        }
        chosen.done->on_complete(*chosen.done, static_cast<std::int64_t>(chosen.bytes));
        return true;
    }

    std::string content;

private:
    struct operation {
        std::uint64_t offset;
        const char* data;
        std::size_t bytes;
        completion* done;
    };

    std::vector<operation> waiting_;
};

// Appends all of it, letting the disk go on where it has to, and now and then where it has not.
void append_all(large_body& body, slow_device& disk, std::string_view text, std::mt19937& random) {
    while (!text.empty()) {
        const std::size_t step = std::min<std::size_t>(text.size(), 1 + random() % 200'000);
        const std::size_t taken = body.append(text.substr(0, step));
        text.remove_prefix(taken);
        if (taken < step || random() % 4 == 0) {
            (void)disk.complete_one(random);
        }
    }
}

std::string some_text(std::size_t bytes, std::mt19937& random) {
    std::string out(bytes, '\0');
    for (char& c : out) {
        c = static_cast<char>(random());
    }
    return out;
}

TEST(LargeBody, HoldsWhatIsLeftAfterEachRewind) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        slow_device disk;
        large_body body(disk, 1, 3, [](large_body&, void*) noexcept {}, nullptr);
        std::string expected;
        for (unsigned round = 0; round < 4; ++round) {
            const std::string kept = some_text(random() % 700'000, random);
            append_all(body, disk, kept, random);
            expected += kept;
            // Often ahead: the mark is told before the file has taken what is before it.
            const std::string ahead = some_text(random() % 3 == 0 ? 0 : random() % 9'000, random);
            body.set_mark(expected.size() + ahead.size());
            append_all(body, disk, ahead, random);
            expected += ahead;
            if (random() % 4 != 0) {
                append_all(body, disk, some_text(random() % 1'200'000, random), random);
                body.rewind();
                EXPECT_EQ(body.bytes(), expected.size());
            }
        }
        body.finish();
        while (disk.complete_one(random)) {
        }
        ASSERT_EQ(body.state(), large_body_state::durable);
        ASSERT_EQ(body.bytes(), expected.size());
        // Not the texts: a difference would print megabytes.
        ASSERT_EQ(std::ranges::mismatch(disk.content, expected).in2 - expected.begin(),
                  static_cast<std::ptrdiff_t>(expected.size()));
        EXPECT_EQ(body.hash(), XXH3_64bits_withSeed(expected.data(), expected.size(), body.seed()));
        EXPECT_TRUE(body.idle());
    }
}

TEST(LargeBody, FinishesAfterARewindWhileOldWritesAreUnderWay) {
    std::mt19937 random(7);
    slow_device disk;
    large_body body(disk, 1, 3, [](large_body&, void*) noexcept {}, nullptr);
    const std::string text = some_text(5'000, random);
    ASSERT_EQ(body.append(text), text.size());
    body.set_mark(text.size());
    const std::string old = some_text(400'000, random); // One write is under way.
    ASSERT_EQ(body.append(old), old.size());
    body.rewind();
    EXPECT_EQ(body.append("more"), 0U);
    body.finish();
    while (disk.complete_one(random)) {
    }
    ASSERT_EQ(body.state(), large_body_state::durable);
    EXPECT_EQ(disk.content.substr(0, text.size()), text);
    EXPECT_EQ(body.hash(), XXH3_64bits_withSeed(text.data(), text.size(), body.seed()));
}

} // namespace
} // namespace ebbgate::spool
