// What recovery makes of logs that were cut, damaged or forged.

#include "codec/spool/format.h"
#include "codec/spool/group_builder.h"
#include "spool_harness.h"

#include <gtest/gtest.h>

#include <random>

namespace ebbgate::spool {
namespace {

constexpr const char* first_segment = "s00/00000000.seg";

class Recovery : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(spool_.open()); }

    const test_append& store(std::uint64_t id, const std::string& body) {
        const test_append& request =
            spool_.append_and_settle(id, "meta " + std::to_string(id), body);
        EXPECT_EQ(request.status, append_status::durable);
        return request;
    }

    // As the disk is now, with everything written.
    std::unique_ptr<simulated_disk> image() {
        std::mt19937_64 random(1);
        return disk_.crash(crash_mode::everything, random);
    }

    segment_header header_of(simulated_disk& disk, const char* path = first_segment) {
        const auto header = decode_segment_header(disk.contents(path)->data());
        EXPECT_TRUE(header.has_value());
        return header.value_or(segment_header());
    }

    simulated_disk disk_;
    spool_harness spool_{disk_};
};

TEST_F(Recovery, AnEmptySpoolIsEmpty) {
    EXPECT_TRUE(spool_.found.live.empty());
    EXPECT_EQ(spool_.found.counts.segments, 0U);
}

TEST_F(Recovery, MessagesComeBackInOrderWithTheirLatestState) {
    store(5, "five");
    store(3, "three");
    spool_.log->note_state(5, "first try");
    spool_.log->note_state(5, "second try");
    ASSERT_TRUE(spool_.settle());
    const auto disk = image();
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    ASSERT_EQ(after.found.live.size(), 2U);
    EXPECT_EQ(after.found.live[0].id, 5U);
    EXPECT_EQ(after.meta_of(after.found.live[0]), "meta 5");
    EXPECT_EQ(after.found.live[0].state, "second try");
    EXPECT_EQ(after.found.live[1].id, 3U);
    EXPECT_EQ(after.found.highest_message_id, 5U);
}

TEST_F(Recovery, DoneMessagesStayAway) {
    const test_append& one = store(1, "one");
    store(2, "two");
    spool_.log->mark_done(1, one.where);
    ASSERT_TRUE(spool_.settle());
    const auto disk = image();
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    ASSERT_EQ(after.found.live.size(), 1U);
    EXPECT_EQ(after.found.live[0].id, 2U);
}

TEST_F(Recovery, ItWritesNothingAndFindsTheSameAgain) {
    store(1, "one");
    store(2, "two");
    const auto disk = image();
    const std::string before = *disk->contents(first_segment);
    for (int round = 0; round < 2; ++round) {
        spool_harness after(*disk);
        ASSERT_TRUE(after.open());
        EXPECT_EQ(after.found.live.size(), 2U);
        EXPECT_EQ(after.found.counts.groups, 2U);
    }
    EXPECT_TRUE(before == *disk->contents(first_segment));
}

TEST_F(Recovery, NothingIsAppendedToASegmentFromBeforeTheStop) {
    const std::uint64_t old_segment = store(1, "one").where.segment_id;
    const auto disk = image();
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    const std::string before = *disk->contents(first_segment);
    const test_append& request = after.append_and_settle(2, "m", "two");
    EXPECT_EQ(request.status, append_status::durable);
    EXPECT_GT(request.where.segment_id, old_segment);
    EXPECT_TRUE(before == *disk->contents(first_segment));
}

TEST_F(Recovery, ATornTailIsDropped) {
    store(1, "one");
    const test_append& last = store(2, std::string(5000, 'x'));
    const auto disk = image();
    // Its last sector never arrived: the COMMIT is missing.
    std::string& bytes = *disk->contents(first_segment);
    std::memset(bytes.data() + last.where.offset + last.where.record_bytes, 0, 512);
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    ASSERT_EQ(after.found.live.size(), 1U);
    EXPECT_EQ(after.found.live[0].id, 1U);
    EXPECT_GT(after.found.counts.torn_tail_bytes, 5000U);
    EXPECT_EQ(after.found.counts.corrupt_records, 0U);
}

TEST_F(Recovery, ATornTailStaysDroppedWhenTheLogGoesOn) {
    store(1, "one");
    const test_append& last = store(2, std::string(5000, 'x'));
    auto disk = image();
    std::string& bytes = *disk->contents(first_segment);
    std::memset(bytes.data() + last.where.offset + last.where.record_bytes, 0, 512);
    disk->put_file(first_segment, bytes);
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    after.append_and_settle(3, "m", "three");
    after.prove();
    std::mt19937_64 random(1);
    const auto later = disk->crash(crash_mode::nothing, random);
    spool_harness again(*later);
    ASSERT_TRUE(again.open());
    ASSERT_EQ(again.found.live.size(), 2U);
    EXPECT_EQ(again.found.live[1].id, 3U);
    EXPECT_EQ(again.found.counts.corrupt_records, 0U);
    EXPECT_EQ(again.found.counts.salvaged_records, 0U);
}

TEST_F(Recovery, DamageBeforeALaterGroupIsReportedNotDropped) {
    const test_append& damaged = store(1, std::string(2000, 'x'));
    store(2, "two");
    const auto disk = image();
    // In the header: the record cannot be found at all.
    (*disk->contents(first_segment))[damaged.where.offset + 9] ^= 1;
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    ASSERT_EQ(after.found.live.size(), 1U);
    EXPECT_EQ(after.found.live[0].id, 2U);
    EXPECT_EQ(after.found.counts.corrupt_records, 1U);
    EXPECT_EQ(after.found.counts.torn_tail_bytes, 0U);
}

TEST_F(Recovery, DamageInTheLastGroupIsReportedOnceTheIdleCommitFollowed) {
    const test_append& damaged = store(1, "one");
    spool_.prove();
    const auto disk = image();
    (*disk->contents(first_segment))[damaged.where.offset + 9] ^= 1;
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    EXPECT_EQ(after.found.counts.corrupt_records, 1U);
}

TEST_F(Recovery, AMessageWithADamagedBodyIsNamedSoThatItsSenderCanBeTold) {
    const test_append& damaged = store(1, std::string(2000, 'x'));
    store(2, "two");
    const auto disk = image();
    (*disk->contents(first_segment))[damaged.where.offset + 500] ^= 1;
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    ASSERT_EQ(after.found.damaged.size(), 1U);
    EXPECT_EQ(after.found.damaged[0].id, 1U);
    EXPECT_EQ(after.meta_of(after.found.damaged[0]), "meta 1");
    EXPECT_EQ(after.read(1, after.found.damaged[0].where).status, read_status::damaged);
    after.log->mark_done(1, after.found.damaged[0].where);
    EXPECT_TRUE(after.settle());
}

TEST_F(Recovery, GoodRecordsOfADamagedGroupAreSalvaged) {
    spool_.turn();
    const test_append& first = spool_.append(1, "m", "first");
    const test_append& second = spool_.append(2, "m", std::string(500, 'x'));
    const test_append& third = spool_.append(3, "m", "third");
    ASSERT_TRUE(spool_.settle());
    ASSERT_EQ(spool_.log->counters().groups, 1U);
    spool_.prove();
    const auto disk = image();
    (*disk->contents(first_segment))[second.where.offset + 9] ^= 1;
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    ASSERT_EQ(after.found.live.size(), 2U);
    EXPECT_EQ(after.found.live[0].where, first.where);
    EXPECT_EQ(after.found.live[1].where, third.where);
    EXPECT_EQ(after.found.counts.salvaged_records, 2U);
    EXPECT_EQ(after.found.counts.corrupt_records, 1U);
}

TEST_F(Recovery, ALostSegmentIsReported) {
    for (std::uint64_t id = 1; id <= 40; ++id) {
        store(id, std::string(5000, 'x'));
    }
    const auto disk = image();
    ASSERT_NE(disk->contents("s00/00000001.seg"), nullptr);
    disk->put_file("s00/00000001.seg", std::string(64 * kib, '\x5a'));
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    EXPECT_EQ(after.found.counts.damaged_segments, 1U);
    EXPECT_GT(after.found.counts.corrupt_records, 5U);
    EXPECT_LT(after.found.live.size(), 40U);
    EXPECT_TRUE(*disk->contents("s00/00000001.seg") == std::string(64 * kib, '\x5a'));
}

TEST_F(Recovery, OneHeaderBlockIsEnough) {
    store(1, "one");
    for (const std::uint64_t offset : {std::uint64_t{0}, 64 * kib - 4096}) {
        const auto disk = image();
        std::memset(disk->contents(first_segment)->data() + offset, 0x77, 4096);
        spool_harness after(*disk);
        ASSERT_TRUE(after.open());
        EXPECT_EQ(after.found.live.size(), 1U);
        EXPECT_EQ(after.found.counts.damaged_segments, 0U);
    }
}

TEST_F(Recovery, ASegmentOfAnotherSpoolIsLeftAlone) {
    store(1, "one");
    simulated_disk other;
    spool_harness stranger(other);
    ASSERT_TRUE(stranger.open());
    const auto disk = image();
    other.put_file("s00/00000007.seg", *disk->contents(first_segment));
    spool_harness again(other);
    ASSERT_TRUE(again.open());
    EXPECT_TRUE(again.found.live.empty());
    EXPECT_EQ(again.found.counts.damaged_segments, 1U);
}

TEST_F(Recovery, ACopyOfASegmentFileIsNotReadTwice) {
    store(1, "one");
    const auto disk = image();
    disk->put_file("s00/00000008.seg", *disk->contents(first_segment));
    spool_harness again(*disk);
    ASSERT_TRUE(again.open());
    EXPECT_EQ(again.found.live.size(), 1U);
    EXPECT_EQ(again.found.counts.damaged_segments, 1U);
}

// A body as an attacker would write it: complete groups with a message of his own, at every place
// a record can start. The record that holds it is damaged, so the scan walks through it.
TEST_F(Recovery, ForgedRecordInBodyIsNotAccepted) {
    const test_append& probe = store(1, "probe");
    const segment_header header = header_of(disk_);
    const std::uint64_t wrong_keys[] = {
        0, segment_key(0, header.segment_id), header.seed, header.seed ^ 1, header.segment_id};
    for (const std::uint64_t wrong_key : wrong_keys) {
        group_builder forger(8 * kib);
        std::string body(6000, 'a');
        const std::uint64_t record_at = round_up(probe.where.offset + 4096, 4096);
        for (std::uint64_t at = record_at + 128; at + 4096 < record_at + 6000; at += 64) {
            forger.begin(wrong_key, at, 50, 8 * kib);
            record_content forged;
            forged.message_id = 666;
            forged.meta = "forged";
            forged.body = "forged";
            forger.add(forged);
            const byte_view group = forger.finish(49);
            body.replace(at - record_at - 128, 256, group.substr(0, 256));
        }
        simulated_disk disk;
        spool_harness spool(disk);
        ASSERT_TRUE(spool.open());
        spool.append_and_settle(1, "probe", "probe");
        const test_append& carrier = spool.append_and_settle(2, "", body);
        spool.append_and_settle(3, "m", "three");
        std::mt19937_64 random(1);
        const auto after_disk = disk.crash(crash_mode::nothing, random);
        (*after_disk->contents(first_segment))[carrier.where.offset + 9] ^= 1;
        spool_harness after(*after_disk);
        ASSERT_TRUE(after.open());
        ASSERT_EQ(after.found.live.size(), 2U);
        EXPECT_EQ(after.found.live[0].id, 1U);
        EXPECT_EQ(after.found.live[1].id, 3U);
    }
}

TEST_F(Recovery, ARealRecordCopiedElsewhereIsNotAccepted) {
    const test_append& one = store(1, "one");
    store(2, std::string(3000, 'x'));
    const auto disk = image();
    std::string& bytes = *disk->contents(first_segment);
    const std::string record = bytes.substr(one.where.offset, 4096);
    bytes.replace(40960, record.size(), record);
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    EXPECT_EQ(after.found.live.size(), 2U);
    EXPECT_EQ(after.found.counts.duplicates_removed, 0U);
}

TEST_F(Recovery, WhatAnOlderUseOfTheFileLeftIsIgnored) {
    for (std::uint64_t id = 1; id <= 200; ++id) {
        const test_append& request = store(id, std::string(5000, 'x'));
        spool_.log->mark_done(id, request.where);
    }
    ASSERT_TRUE(spool_.settle());
    ASSERT_GT(spool_.log->counters().retired_segments, 5U);
    const auto disk = image();
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    EXPECT_TRUE(after.found.live.empty());
    EXPECT_EQ(after.found.counts.corrupt_records, 0U);
}

// Every byte of a small spool is damaged in turn. A message may be missing; it is never wrong.
TEST_F(Recovery, NoBitFlipMakesAMessageWrong) {
    std::map<std::uint64_t, std::string> bodies;
    for (std::uint64_t id = 1; id <= 4; ++id) {
        bodies[id] = std::string(100 * id, static_cast<char>('a' + id));
        store(id, bodies[id]);
    }
    spool_.log->note_state(2, "a state");
    ASSERT_TRUE(spool_.settle());
    bodies[9] = std::string(8000, 'z');
    (void)spool_.log->acquire_body_file();
    spool_.supply();
    ASSERT_NE(spool_.append_large(9, "meta 9", bodies[9]), nullptr);
    ASSERT_TRUE(spool_.settle());
    spool_.prove();
    std::mt19937_64 random(4);
    const auto disk = image();
    for (const char* path : {first_segment, "s00/body/00000000.dat"}) {
        std::string& bytes = *disk->contents(path);
        const std::size_t end = std::min<std::size_t>(bytes.size(), 9 * 4096);
        for (std::size_t at = random() % 5; at < end; at += 1 + random() % 9) {
            const auto flip = static_cast<char>(1U << (random() % 8));
            bytes[at] = static_cast<char>(bytes[at] ^ flip);
            spool_harness after(*disk);
            ASSERT_TRUE(after.open());
            for (const recovered_message& message : after.found.live) {
                ASSERT_TRUE(bodies.contains(message.id));
                ASSERT_EQ(after.meta_of(message), "meta " + std::to_string(message.id));
                ASSERT_TRUE(message.state.empty() || message.state == "a state");
                const read_result stored = after.read(message.id, message.where);
                ASSERT_TRUE(stored.status != read_status::ready ||
                            stored.body == bodies[message.id])
                    << path << " byte " << at;
            }
            bytes[at] = static_cast<char>(bytes[at] ^ flip);
        }
    }
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    EXPECT_EQ(after.found.live.size(), 5U);
}

TEST_F(Recovery, AMissingBodyFileIsCountedAndItsMessageNotDelivered) {
    (void)spool_.log->acquire_body_file();
    spool_.supply();
    const test_append* request = spool_.append_large(1, "m", std::string(9000, 'z'));
    ASSERT_NE(request, nullptr);
    ASSERT_TRUE(spool_.settle());
    const auto disk = image();
    disk->contents("s00/body/00000000.dat")->resize(4096);
    spool_harness after(*disk);
    ASSERT_TRUE(after.open());
    EXPECT_EQ(after.found.counts.missing_body_files, 1U);
    EXPECT_EQ(after.read(1, request->where).status, read_status::failed);
}

TEST(OpenSpool, AbsentOneIsMadeOnlyWhenAskedTo) {
    simulated_disk disk;
    simulated_directory files(disk);
    EXPECT_FALSE(open_spool(files, 0).has_value());
    const auto made = open_spool(files, 2);
    ASSERT_TRUE(made.has_value());
    const auto opened = open_spool(files, 0);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->shard_count, 2U);
    EXPECT_EQ(opened->identity, made->identity);
}

TEST(OpenSpool, ADamagedDescriptionIsNotGuessed) {
    simulated_disk disk;
    simulated_directory files(disk);
    ASSERT_TRUE(open_spool(files, 1).has_value());
    (*disk.contents("meta"))[20] ^= 1;
    const auto opened = open_spool(files, 1);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().kind, failure_kind::corrupt);
}

} // namespace
} // namespace ebbgate::spool
