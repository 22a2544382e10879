// A table against std::map, and what it costs.

#include "relay/cold_messages.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace ebbgate::relay {
namespace {

cold_message numbered(std::uint64_t id) {
    cold_message made;
    made.id = id;
    made.where.lsn = id * 3;
    made.first_slot = static_cast<std::uint32_t>(id);
    return made;
}

TEST(ColdMessages, AgreeWithAMap) {
    cold_messages table;
    std::map<std::uint64_t, std::uint64_t> model;
    std::mt19937_64 random(7);
    for (int step = 0; step < 200'000; ++step) {
        // Ids as they are made: close together, of several shards; so that chains form.
        const std::uint64_t id = (random() % 4) << 56 | (1'700'000'000'000 + random() % 3000);
        if (model.contains(id)) {
            const cold_message* found = table.find(id);
            ASSERT_NE(found, nullptr);
            ASSERT_EQ(found->where.lsn, id * 3);
            if (random() % 2 == 0) {
                table.take(id);
                model.erase(id);
            }
        } else {
            ASSERT_EQ(table.find(id), nullptr);
            table.add(numbered(id));
            model[id] = id;
        }
        ASSERT_EQ(table.size(), model.size());
    }
    for (const auto& [id, same] : model) {
        ASSERT_NE(table.find(id), nullptr);
        table.take(id);
        ASSERT_EQ(table.find(id), nullptr);
    }
    EXPECT_EQ(table.size(), 0U);
}

TEST(ColdMessages, TakeFewBytesEach) {
    cold_messages table;
    constexpr std::uint64_t count = 1'000'000;
    for (std::uint64_t id = 0; id < count; ++id) {
        table.add(numbered(1'700'000'000'000'000 + id * 17));
    }
    EXPECT_LE(table.footprint_bytes(), count * 75);
    for (std::uint64_t id = 0; id < count; id += 1000) {
        EXPECT_EQ(table.find(1'700'000'000'000'000 + id * 17)->first_slot,
                  static_cast<std::uint32_t>(1'700'000'000'000'000 + id * 17));
    }
}

} // namespace
} // namespace ebbgate::relay
