#include "base/id_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

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

} // namespace
} // namespace ebbgate
