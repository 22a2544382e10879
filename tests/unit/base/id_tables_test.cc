#include "base/id_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace ebbgate {
namespace {

struct numbered {
    std::uint64_t id = 0;
    int value = 0;
};

// Also ids that only forged records have.
std::uint64_t any_id(std::mt19937_64& random) {
    constexpr std::uint64_t ends[] = {0, 1, ~std::uint64_t{0}};
    const std::uint64_t drawn = random();
    return drawn % 100 == 0 ? ends[drawn / 100 % 3] : (drawn >> 32) % 5000 << 8;
}

TEST(IdSet, IsASet) {
    std::mt19937_64 random(1);
    id_set set;
    std::set<std::uint64_t> model;
    EXPECT_FALSE(set.contains(0));
    for (int step = 0; step < 50'000; ++step) {
        const std::uint64_t id = any_id(random);
        ASSERT_EQ(set.contains(id), model.contains(id)) << id;
        if (random() % 4 == 0) {
            set.add(id);
            model.insert(id);
        }
    }
}

TEST(IdIndex, FindsWhatIsThereAndNothingElse) {
    std::mt19937_64 random(2);
    record_pool<numbered> pool;
    id_index<numbered> index(pool);
    std::map<std::uint64_t, int> model;
    for (int step = 0; step < 200'000; ++step) {
        const std::uint64_t id = any_id(random);
        const std::uint32_t found = index.find(id);
        ASSERT_EQ(found != no_record, model.contains(id)) << id;
        if (found == no_record) {
            const std::uint32_t number = pool.make();
            pool[number] = {id, step};
            index.add(number);
            model[id] = step;
        } else if (random() % 2 == 0) {
            ASSERT_EQ(pool[found].value, model[id]);
            index.remove(id);
            pool.free(found);
            model.erase(id);
        }
        ASSERT_EQ(pool.size(), model.size());
    }
    EXPECT_LT(pool.made(), 6000U); // What was freed is used again.
}

// Ids of one tag: times the inverse of what spreads them, they count up in the bits below it.
TEST(IdIndex, TellsIdsOfOneTagApart) {
    constexpr std::uint64_t factor = 0x9e37'79b9'7f4a'7c15U;
    std::uint64_t inverse = factor;
    for (int step = 0; step < 6; ++step) {
        inverse *= 2 - factor * inverse;
    }
    ASSERT_EQ(factor * inverse, 1U);
    record_pool<numbered> pool;
    id_index<numbered> index(pool);
    std::vector<std::uint64_t> ids;
    for (std::uint64_t i = 1; i <= 100; ++i) {
        ids.push_back(inverse * i);
        ASSERT_EQ(spread(ids.back()) >> 32, 0U);
        ASSERT_EQ(index.find(ids.back()), no_record);
        const std::uint32_t number = pool.make();
        pool[number] = {ids.back(), static_cast<int>(i)};
        index.add(number);
        index.ask_for(ids); // Changes nothing.
    }
    for (std::size_t i = 0; i < ids.size(); i += 2) {
        const std::uint32_t number = index.find(ids[i]);
        index.remove(ids[i]);
        pool.free(number);
    }
    index.ask_for(ids);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::uint32_t found = index.find(ids[i]);
        ASSERT_EQ(found == no_record, i % 2 == 0) << i;
        ASSERT_TRUE(found == no_record || pool[found].value == static_cast<int>(i + 1));
    }
}

} // namespace
} // namespace ebbgate
