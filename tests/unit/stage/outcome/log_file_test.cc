// Lines that come faster than the disk takes them.

#include "stage/outcome/log_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace ebbgate::outcome {
namespace {

TEST(LogFile, WhoMayWaitLosesNothing) {
    char name[] = "/tmp/ebbgate-log-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    const std::string path = std::string(name) + "/lines.log";
    const std::string block = std::string(mib - 1, 'x') + '\n';
    constexpr std::size_t blocks = 2 * log_file::queued_bytes_max / mib + 8;
    {
        auto log = log_file::open(path);
        ASSERT_TRUE(log);
        for (std::size_t i = 0; i < blocks; ++i) {
            (*log)->append_waiting(block);
        }
        EXPECT_EQ((*log)->dropped_blocks(), 0U);
    }
    EXPECT_EQ(std::filesystem::file_size(path), blocks * mib);
    std::filesystem::remove_all(name);
}

TEST(LogFile, AHalfLineOfAProcessThatWasKilledIsNotJoined) {
    char name[] = "/tmp/ebbgate-log-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    const std::string path = std::string(name) + "/lines.log";
    std::ofstream(path) << "one\n{\"half";
    for (int again = 0; again < 2; ++again) {
        auto log = log_file::open(path);
        ASSERT_TRUE(log);
        (*log)->append_waiting("whole\n");
    }
    std::ifstream written(path);
    const std::string all((std::istreambuf_iterator<char>(written)), {});
    EXPECT_EQ(all, "one\n{\"half\nwhole\nwhole\n");
    std::filesystem::remove_all(name);
}

} // namespace
} // namespace ebbgate::outcome
