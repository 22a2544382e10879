// A folder for one test, a table in it, and the file as its format says, read without the code.

#pragma once

#include "stage/limits/counter_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ebbgate::limits {

inline constexpr time_point test_start{std::chrono::milliseconds(1'700'000'000'000)};

inline time_point after(std::int64_t ms) {
    return test_start + std::chrono::milliseconds(ms);
}

class table_fixture : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-limits-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        path_ = folder_ + "/counters";
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::unique_ptr<counter_table> open(std::uint64_t slots,
                                                      time_point now = test_start) const {
        auto opened = counter_table::open(path_, slots, now);
        EXPECT_TRUE(opened) << (opened ? "" : opened.error().detail);
        return opened ? std::move(*opened) : nullptr;
    }

    [[nodiscard]] std::string bytes() const {
        std::ifstream file(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

    // Slots of the file that are not vacant, by state (1 filling, 2 trying, 3 live).
    [[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint64_t>>
    keys_in(unsigned state) const {
        const std::string all = bytes();
        std::vector<std::pair<std::uint64_t, std::uint64_t>> keys;
        for (std::size_t at = 4096; at + 64 <= all.size(); at += 64) {
            std::uint64_t words[3];
            all.copy(reinterpret_cast<char*>(words), sizeof words, at);
            if ((words[0] & 3) == state) {
                keys.emplace_back(words[1], words[2]);
            }
        }
        return keys;
    }

    void expect_no_key_twice() const {
        const auto live = keys_in(3);
        EXPECT_EQ(std::set(live.begin(), live.end()).size(), live.size());
        // Nothing is left half done by threads that ended.
        EXPECT_TRUE(keys_in(1).empty());
        EXPECT_TRUE(keys_in(2).empty());
    }

    std::string folder_;
    std::string path_;
};

} // namespace ebbgate::limits
