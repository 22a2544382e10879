// Bodies are kept in shared blocks; whatever the chunking, the bytes come back in order.

#include "ebbgate/base/chunks.h"

#include <gtest/gtest.h>

#include <string>

namespace ebbgate {
namespace {

std::string all_of(const chunks& body) {
    std::string text;
    for (std::size_t index = 0; index < body.block_count(); ++index) {
        text += body.block(index);
    }
    return text;
}

TEST(Chunks, AnyChunkingKeepsTheBytesInOrder) {
    std::string wanted;
    for (int line = 0; line < 5000; ++line) {
        wanted += "line " + std::to_string(line) + "\r\n";
    }
    for (const std::size_t step :
         {std::size_t{1}, std::size_t{7}, std::size_t{4096}, wanted.size()}) {
        chunks body;
        for (std::size_t at = 0; at < wanted.size(); at += step) {
            body.append(byte_view(wanted).substr(at, step));
        }
        EXPECT_EQ(body.bytes(), wanted.size());
        EXPECT_EQ(all_of(body), wanted) << "step " << step;
    }
}

TEST(Chunks, CopiesShareAndOutliveTheOriginal) {
    chunks copy;
    {
        chunks body;
        body.append("hello");
        copy = body;
        EXPECT_EQ(body.block(0).data(), copy.block(0).data());
    }
    EXPECT_EQ(all_of(copy), "hello");
}

TEST(Chunks, MovedFromIsEmpty) {
    chunks body;
    body.append("x");
    const chunks taken = std::move(body);
    EXPECT_EQ(taken.bytes(), 1U);
    EXPECT_TRUE(
        body.empty()); // NOLINT(bugprone-use-after-move): the state after a move is the claim
    EXPECT_EQ(body.block_count(), 0U);
}

TEST(Chunks, TruncateKeepsTheBeginning) {
    std::string text;
    for (int i = 0; i < 200'000; ++i) {
        text += static_cast<char>('a' + i % 26);
    }
    for (const std::size_t kept : {std::size_t{0},
                                   std::size_t{1},
                                   chunks::first_block_bytes,
                                   chunks::first_block_bytes + 1,
                                   chunks::first_block_bytes + chunks::block_bytes,
                                   text.size()}) {
        chunks body;
        body.append(text);
        body.truncate(kept);
        EXPECT_EQ(body.bytes(), kept);
        body.append("more");
        EXPECT_EQ(all_of(body), text.substr(0, kept) + "more");
    }
}

TEST(Chunks, FootprintCountsWholeBlocks) {
    chunks body;
    body.append("x");
    EXPECT_EQ(body.footprint_bytes(), 8 * kib);
}

} // namespace
} // namespace ebbgate
