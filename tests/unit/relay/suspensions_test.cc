#include "relay/outbound.h"
#include "relay/suspensions.h"

#include <gtest/gtest.h>

namespace ebbgate::relay {
namespace {

TEST(Suspensions, NothingIsSuspendedUnlessItIsSaid) {
    EXPECT_TRUE(suspensions().empty());
    EXPECT_EQ(suspensions().find("acme", "a.test", 0), nullptr);
}

TEST(Suspensions, ADomainATenantOrBothAreMeant) {
    const suspensions all({{"a.test", "", "domain", 0, 100},
                           {"", "acme", "tenant", 0, 50},
                           {"b.test", "globex", "both", 0, 100}});
    EXPECT_EQ(all.find("globex", "a.test", 10)->reason, "domain");
    EXPECT_EQ(all.find("acme", "c.test", 10)->reason, "tenant");
    EXPECT_EQ(all.find("globex", "b.test", 10)->reason, "both");
    EXPECT_EQ(all.find("globex", "c.test", 10), nullptr);
    EXPECT_EQ(all.find("", "b.test", 10), nullptr) << "a lane of all tenants";
    EXPECT_EQ(all.find("acme", "a.test", 10)->reason, "domain") << "the one that lasts longest";
}

TEST(Suspensions, EachEndsAtItsTime) {
    const suspensions all({{"a.test", "", "", 0, 100}, {"", "acme", "", 0, 50}});
    EXPECT_NE(all.find("acme", "b.test", 49), nullptr);
    EXPECT_EQ(all.find("acme", "b.test", 50), nullptr);
    EXPECT_EQ(all.find("acme", "a.test", 100), nullptr);
}

TEST(Suspensions, OfTheSameMailTheLastSaidHolds) {
    const suspensions all({{"a.test", "", "one", 0, 100}, {"a.test", "", "two", 0, 20}});
    EXPECT_EQ(all.find("", "a.test", 10)->reason, "two");
}

TEST(Ages, DoubleFromClassToClass) {
    constexpr std::int64_t minute = 60'000;
    EXPECT_EQ(age_class_of(0), 0U);
    EXPECT_EQ(age_class_of(5 * minute - 1), 0U);
    EXPECT_EQ(age_class_of(5 * minute), 1U);
    EXPECT_EQ(age_class_of(20 * minute), 3U);
    EXPECT_EQ(age_class_of(1280 * minute - 1), 8U);
    EXPECT_EQ(age_class_of(1280 * minute), 9U);
    EXPECT_EQ(age_class_of(1'000'000 * minute), 9U);
}

} // namespace
} // namespace ebbgate::relay
