#include "stage/schedule/attempt_notes.h"

#include <gtest/gtest.h>

namespace ebbgate::schedule {
namespace {

attempt_note made(std::uint32_t attempts, std::string reply, std::int64_t due_ms = 5000) {
    attempt_note note;
    note.attempts = attempts;
    note.made_ms = 1000;
    note.due_ms = due_ms;
    note.reply = std::move(reply);
    return note;
}

TEST(attempt_notes, tells_the_latest_of_each_recipient) {
    attempt_notes notes;
    EXPECT_EQ(notes.find(0), nullptr);
    notes.add(0, made(1, "451 one"));
    notes.add(1, made(1, "452 two"));
    notes.add(100, made(1, "451 one"));
    EXPECT_EQ(notes.find(0)->reply, "451 one");
    EXPECT_EQ(notes.find(1)->reply, "452 two");
    EXPECT_EQ(notes.find(100), notes.find(0));
    EXPECT_EQ(notes.find(2), nullptr);
    notes.add(0, made(2, "453 three", 9000));
    EXPECT_EQ(notes.find(0)->attempts, 2U);
    EXPECT_EQ(notes.find(0)->due_ms, 9000);
    EXPECT_EQ(notes.find(100)->attempts, 1U);
}

TEST(attempt_notes, forgets_what_no_recipient_has_any_more) {
    attempt_notes notes;
    for (std::uint32_t turn = 0; turn < 1000; ++turn) {
        notes.add(0, made(turn, "451 one"));
        notes.add(1, made(turn, "452 two"));
        ASSERT_LE(notes.size(), 2U);
    }
}

TEST(attempt_notes, is_bounded) {
    attempt_notes notes;
    for (std::uint32_t index = 0; index < 1000; ++index) {
        notes.add(index, made(1, std::to_string(index) + std::string(5000, 'x')));
    }
    EXPECT_EQ(notes.size(), attempt_notes::notes_max);
    EXPECT_EQ(notes.find(0)->reply.size(), attempt_notes::reply_bytes_max);
    EXPECT_EQ(notes.find(999), nullptr);
    // What is known of one recipient is not another's, nor an older attempt's.
    notes.add(0, made(2, "451 new"));
    EXPECT_EQ(notes.find(0)->reply, "451 new");
    notes.add(999, made(2, "452 no room"));
    EXPECT_EQ(notes.find(999), nullptr);
}

} // namespace
} // namespace ebbgate::schedule
