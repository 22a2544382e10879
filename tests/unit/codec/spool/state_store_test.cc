#include "ebbgate/spool/state_store.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace ebbgate::spool {
namespace {

TEST(StateStore, KeepsWhatItWasGivenLastAlsoWhenItIsMoved) {
    state_store store;
    std::vector<state_store::entry> entries(1000);
    for (std::size_t round = 1; round <= 3; ++round) {
        for (std::size_t index = 0; index < entries.size(); ++index) {
            store.set(entries[index], std::string(index % 40 * round, static_cast<char>(index)));
        }
    }
    const state_store moved = std::move(store);
    for (std::size_t index = 0; index < entries.size(); ++index) {
        EXPECT_EQ(entries[index].view(), std::string(index % 40 * 3, static_cast<char>(index)));
    }
    EXPECT_LT(moved.footprint_bytes(), 2'000'000U);
}

TEST(StateStore, AStateOfTheSameLengthTakesNoMoreRoom) {
    state_store store;
    state_store::entry entry;
    for (int time = 0; time < 1'000'000; ++time) {
        store.set(entry, "attempt " + std::to_string(1'000'000 + time));
    }
    EXPECT_EQ(entry.view(), "attempt 1999999");
    EXPECT_LT(store.footprint_bytes(), 2'000'000U);
    EXPECT_FALSE(store.is_sparse());
}

TEST(StateStore, OneThatIsLargerThanABlockIsWholeAndAnEmptyOneIsEmpty) {
    state_store store;
    state_store::entry large;
    state_store::entry empty;
    const std::string text(3'000'000, 'x');
    store.set(large, text);
    store.set(empty, "");
    EXPECT_EQ(large.view(), text);
    EXPECT_TRUE(empty.view().empty());
}

TEST(StateStore, SaysWhenItIsMostlyHoles) {
    state_store store;
    std::vector<state_store::entry> entries(5000);
    for (state_store::entry& entry : entries) {
        store.set(entry, std::string(1000, 'x'));
    }
    EXPECT_FALSE(store.is_sparse());
    for (std::size_t index = 0; index < 4000; ++index) {
        store.drop(entries[index]);
    }
    EXPECT_TRUE(store.is_sparse());
}

} // namespace
} // namespace ebbgate::spool
