// The example in docs/spool-format.md is what the code writes, and is read back here.

#include "codec/spool/format.h"
#include "codec/spool/group_builder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace ebbgate::spool {
namespace {

// The numbers the document gives for its example.
constexpr std::uint64_t example_seed = 0x0123456789ABCDEF;
constexpr std::uint64_t example_segment = 7;
constexpr std::uint64_t example_lsn = 100;
constexpr std::uint64_t example_id = 0x0605040302010001;

segment_header example_header() {
    segment_header header;
    for (int index = 0; index < 16; ++index) {
        header.spool.bytes[index] = static_cast<char>(0xA0 + index);
    }
    header.segment_id = example_segment;
    header.first_lsn = example_lsn;
    header.seed = example_seed;
    header.created_unix_ns = 1'700'000'000'000'000'000;
    header.oldest_live_segment_id = 5;
    header.segment_bytes = 64 * mib;
    return header;
}

std::string example_group() {
    group_builder builder(8 * kib);
    builder.begin(segment_key(example_seed, example_segment), 4096, example_lsn, 8 * kib);
    record_content content;
    content.message_id = example_id;
    content.meta = "meta!";
    content.body = "Subject: hi\r\n\r\n..\r\n";
    builder.add(content);
    return std::string(builder.finish(99));
}

// Bytes of the n-th ```hex block: lines of an offset, then pairs of hex digits up to two blanks.
std::string hex_block(const std::string& text, int number) {
    std::size_t at = 0;
    for (int seen = 0; seen <= number; ++seen) {
        at = text.find("```hex\n", at);
        if (at == std::string::npos) {
            return {};
        }
        at += 7;
    }
    std::istringstream lines(text.substr(at, text.find("```", at) - at));
    std::string bytes;
    for (std::string line; std::getline(lines, line);) {
        for (std::size_t digit = 6; digit + 1 < line.size() && line[digit] != ' '; digit += 3) {
            bytes.push_back(static_cast<char>(std::stoi(line.substr(digit, 2), nullptr, 16)));
        }
    }
    return bytes;
}

std::string dump(const std::string& bytes) {
    std::string out;
    char text[32];
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        if (at % 16 == 0) {
            std::snprintf(text, sizeof text, "%s%04zx ", at == 0 ? "" : "\n", at);
            out += text;
        }
        std::snprintf(text, sizeof text, " %02x", static_cast<unsigned char>(bytes[at]));
        out += text;
    }
    return out + "\n";
}

class SpoolDocument : public ::testing::Test {
protected:
    void SetUp() override {
        const char* folder = std::getenv("EBBGATE_DOCS");
        ASSERT_NE(folder, nullptr) << "EBBGATE_DOCS names the folder docs";
        std::ifstream in(std::string(folder) + "/spool-format.md");
        std::stringstream text;
        text << in.rdbuf();
        text_ = text.str();
        ASSERT_FALSE(text_.empty());
    }

    std::string text_;
};

TEST_F(SpoolDocument, TheSegmentHeaderExampleIsWhatTheCodeWrites) {
    std::string block(block_bytes, '\0');
    encode_segment_header(block.data(), example_header());
    const std::string shown = hex_block(text_, 0);
    EXPECT_TRUE(!shown.empty() && shown == block.substr(0, shown.size()))
        << "It should be:\n"
        << dump(block.substr(0, 96));
}

TEST_F(SpoolDocument, TheGroupExampleIsWhatTheCodeWrites) {
    const std::string group = example_group();
    const std::string shown = hex_block(text_, 1);
    EXPECT_TRUE(!shown.empty() && shown == group.substr(0, shown.size()))
        << "It should be:\n"
        << dump(group.substr(0, 256));
}

TEST_F(SpoolDocument, TheExampleBytesDecode) {
    std::string header_block = hex_block(text_, 0);
    header_block.resize(block_bytes, '\0');
    const auto header = decode_segment_header(header_block.data());
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->segment_id, example_segment);
    EXPECT_EQ(header->oldest_live_segment_id, 5U);

    std::string group = hex_block(text_, 1);
    group.resize(block_bytes, '\0');
    const std::uint64_t key = segment_key(header->seed, header->segment_id);
    location where;
    where.segment_id = example_segment;
    where.offset = 4096;
    where.lsn = example_lsn;
    where.record_bytes = 128;
    where.body_bytes = 19;
    const auto message = decode_stored_message(group.data(), example_id, where, key);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->meta, "meta!");
    EXPECT_EQ(message->body, "Subject: hi\r\n\r\n..\r\n");
    const auto commit = decode_record_header(group.data() + 128, 4096 + 128, key);
    ASSERT_TRUE(commit.has_value());
    EXPECT_EQ(commit->type, record_type::commit);
    const commit_fields fields = decode_commit(group.data() + 128 + record_header_bytes);
    EXPECT_EQ(fields.durable_lsn, 99U);
    EXPECT_EQ(fields.record_count, 2U);
    EXPECT_EQ(fields.headers_hash, chain_header(key, group.data()));
}

} // namespace
} // namespace ebbgate::spool
