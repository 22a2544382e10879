#include "config/rate.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>

namespace ebbgate::config {
namespace {

using std::chrono::seconds;

// Written out again, not taken from the code.
const std::map<std::string_view, std::int64_t> seconds_by_unit{
    {"s", 1},
    {"sec", 1},
    {"second", 1},
    {"seconds", 1},
    {"m", 60},
    {"min", 60},
    {"minute", 60},
    {"minutes", 60},
    {"h", 3600},
    {"hour", 3600},
    {"hours", 3600},
    {"d", 86'400},
    {"day", 86'400},
    {"days", 86'400},
    {"week", 604'800},
    {"weeks", 604'800},
    {"month", 2'592'000},
    {"months", 2'592'000},
};

TEST(Rate, EveryUnitAloneAndWithANumber) {
    for (const auto& [unit, each] : seconds_by_unit) {
        const std::string name(unit);
        EXPECT_EQ(parse_rate("500/" + name), (rate{500, seconds(each)})) << name;
        EXPECT_EQ(parse_rate("7/12" + name), (rate{7, seconds(12 * each)})) << name;
        EXPECT_EQ(parse_rate("7/2 " + name), (rate{7, seconds(2 * each)})) << name;
        EXPECT_FALSE(parse_rate("0/1" + name).has_value()) << name;
    }
    EXPECT_EQ(parse_rate("unlimited"), unlimited_rate);
    EXPECT_TRUE(unlimited_rate.is_unlimited());
    EXPECT_FALSE((rate{0, seconds(1)}).is_unlimited());
}

TEST(Rate, CutAtEveryByteItIsARateOnlyWhereAUnitEnds) {
    for (const auto& [unit, each] : seconds_by_unit) {
        for (const std::string_view before : {"500/", "1000/2", "1000/2 "}) {
            const std::string whole = std::string(before) + std::string(unit);
            for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
                const std::string cut = whole.substr(0, bytes);
                const bool unit_ends =
                    bytes > before.size() && seconds_by_unit.contains(cut.substr(before.size()));
                EXPECT_EQ(parse_rate(cut).has_value(), unit_ends) << '"' << cut << '"';
            }
            EXPECT_FALSE(parse_rate(whole + "x").has_value()) << whole;
            EXPECT_FALSE(parse_rate(whole + " ").has_value()) << whole;
        }
    }
    for (std::size_t bytes = 0; bytes < 9; ++bytes) {
        EXPECT_FALSE(parse_rate(std::string_view("unlimited").substr(0, bytes)).has_value());
    }
}

TEST(Rate, AnythingElseIsRefused) {
    using namespace std::string_view_literals;
    for (const std::string_view bad : {""sv,
                                       "/day"sv,
                                       "day"sv,
                                       "500"sv,
                                       "500day"sv,
                                       "-1/day"sv,
                                       "+1/day"sv,
                                       "1,000/day"sv,
                                       "1'000/day"sv,
                                       "1 000/day"sv,
                                       "1_000/day"sv,
                                       "5e2/day"sv,
                                       "1.5/day"sv,
                                       "0x5/day"sv,
                                       " 500/day"sv,
                                       "500 /day"sv,
                                       "500/ day"sv,
                                       "500//day"sv,
                                       "500/day/day"sv,
                                       "500/2  days"sv,
                                       "500/0 days"sv,
                                       "500/0s"sv,
                                       "500/-1 day"sv,
                                       "500/+1 day"sv,
                                       "500/1.5h"sv,
                                       "500/Day"sv,
                                       "500/DAY"sv,
                                       "500/w"sv,
                                       "500/mon"sv,
                                       "500/mins"sv,
                                       "500/year"sv,
                                       "500/\0day"sv,
                                       "500/day\0"sv,
                                       "Unlimited"sv,
                                       "unlimited/day"sv,
                                       "4000000001/day"sv,
                                       "18446744073709551616/day"sv,
                                       "1/367 days"sv,
                                       "1/18446744073709551615 days"sv,
                                       "1/99999999999999999999s"sv}) {
        EXPECT_FALSE(parse_rate(bad).has_value()) << '"' << bad << '"';
    }
    EXPECT_EQ(parse_rate("4000000000/366 days"), (rate{rate_count_max, rate_period_max}));
}

TEST(Rate, TextForPeopleAndForFiles) {
    EXPECT_EQ(period_text(seconds(86'400)), "1 day");
    EXPECT_EQ(period_text(seconds(43'200)), "12 hours");
    EXPECT_EQ(period_text(seconds(2 * 86'400)), "2 days");
    EXPECT_EQ(period_text(seconds(5400)), "90 minutes");
    EXPECT_EQ(period_text(seconds(61)), "61 seconds");
    EXPECT_EQ(period_text(seconds(1)), "1 second");
    EXPECT_EQ(period_text(seconds(1'209'600)), "2 weeks");
    EXPECT_EQ(period_text(seconds(30 * 86'400)), "1 month");
    EXPECT_EQ(to_text(rate{500, seconds(86'400)}), "500/day");
    EXPECT_EQ(to_text(rate{10, seconds(1800)}), "10/30 minutes");
    EXPECT_EQ(to_text(unlimited_rate), "unlimited");
}

} // namespace
} // namespace ebbgate::config
