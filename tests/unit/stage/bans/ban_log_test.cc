// fail2ban's lines, byte for byte.

#include "recorder.h"
#include "stage/bans/ban_log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace ebbgate::bans {
namespace {

class ban_log_test : public ::testing::Test {
protected:
    void SetUp() override {
        setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
        tzset();
    }

    void TearDown() override {
        unsetenv("TZ");
        tzset();
    }

    ban_log log_{19671};
    std::string out_;
};

constexpr std::int64_t at_us = 1'724'629'081'199'999; // 2024-08-26 01:38:01.199999 in summer.

TEST_F(ban_log_test, each_line) {
    ban ban{network("93.184.216.34"),
            address("93.184.216.34"),
            at_us,
            at_us + 600 * second_us,
            1,
            strike_cause::login};
    log_.append_found(out_, at_us, ban.address, at_us - second_us);
    log_.append_ignore(out_, at_us, ban.address);
    log_.append_ban(out_, at_us, ban);
    const bans::ban* const restored[] = {&ban};
    log_.append_restore(out_, at_us, restored);
    log_.append_unban(out_, at_us + 600 * second_us, ban);
    ban.count = 3;
    ban.until_us = at_us + 2400 * second_us;
    log_.append_increase(out_, at_us, ban);
    ban.until_us = never_ends;
    log_.append_increase(out_, at_us, ban);
    EXPECT_EQ(
        out_,
        "2024-08-26 01:38:01,199 fail2ban.filter         [19671]: INFO    [smtp] Found "
        "93.184.216.34 - 2024-08-26 01:38:00\n"
        "2024-08-26 01:38:01,199 fail2ban.filter         [19671]: INFO    [smtp] Ignore "
        "93.184.216.34 by ip\n"
        "2024-08-26 01:38:01,199 fail2ban.actions        [19671]: NOTICE  [smtp] Ban "
        "93.184.216.34\n"
        "2024-08-26 01:38:01,199 fail2ban.actions        [19671]: NOTICE  [smtp] Restore Ban "
        "93.184.216.34\n"
        "2024-08-26 01:48:01,199 fail2ban.actions        [19671]: NOTICE  [smtp] Unban "
        "93.184.216.34\n"
        "2024-08-26 01:38:01,199 fail2ban.observer       [19671]: NOTICE  [smtp] Increase Ban "
        "93.184.216.34 (3 # 40m -> 2024-08-26 02:18:01)\n"
        "2024-08-26 01:38:01,199 fail2ban.observer       [19671]: NOTICE  [smtp] Increase Ban "
        "93.184.216.34 (3 # permanent -> infinite)\n");
}

TEST_F(ban_log_test, already_banned_is_louder_the_longer_it_is) {
    const ban ban{network("2001:db8::/64"),
                  address("2001:db8::5"),
                  at_us,
                  at_us + 600 * second_us,
                  1,
                  strike_cause::login};
    log_.append_already_banned(out_, at_us + 3 * second_us - 1, ban);
    EXPECT_EQ(out_, "");
    log_.append_already_banned(out_, at_us + 3 * second_us, ban);
    log_.append_already_banned(out_, at_us + 60 * second_us, ban);
    EXPECT_EQ(out_,
              "2024-08-26 01:38:04,199 fail2ban.actions        [19671]: NOTICE  [smtp] "
              "2001:db8::5 already banned\n"
              "2024-08-26 01:39:01,199 fail2ban.actions        [19671]: WARNING [smtp] "
              "2001:db8::5 already banned\n");
}

TEST_F(ban_log_test, names_are_addresses_but_for_networks_banned_by_hand) {
    ban ban{network("203.0.113.0/24"),
            address("203.0.113.0"),
            at_us,
            never_ends,
            1,
            strike_cause::manual};
    EXPECT_EQ(name_of(ban), "203.0.113.0/24");
    ban.network = network("203.0.113.7");
    ban.address = address("203.0.113.7");
    EXPECT_EQ(name_of(ban), "203.0.113.7");
    ban = {network("2001:db8::/64"), address("2001:db8::"), 0, 0, 1, strike_cause::login};
    EXPECT_EQ(name_of(ban), "2001:db8::");
}

TEST_F(ban_log_test, time_before_1970_and_causes) {
    setenv("TZ", "UTC0", 1);
    tzset();
    log_.append_ignore(out_, -1, address("::1"));
    EXPECT_EQ(out_,
              "1969-12-31 23:59:59,999 fail2ban.filter         [19671]: INFO    [smtp] "
              "Ignore ::1 by ip\n");
    for (int i = 0; i < 5; ++i) {
        const auto cause = static_cast<strike_cause>(i);
        EXPECT_EQ(parse_cause(to_text(cause)), cause);
    }
    EXPECT_FALSE(parse_cause("Login"));
}

struct duration_case {
    std::int64_t seconds;
    std::string_view text;
};

// From fail2ban itself: tests/end_to_end/fail2ban_test.py compares thousands.
constexpr duration_case durations[] = {
    {0, "0"},
    {1, "1s"},
    {59, "59s"},
    {60, "1m"},
    {600, "10m"},
    {3590, "59m 50s"},
    {3594, "59m 54s"},
    {3595, "1h"},
    {3605, "1h"},
    {3600 + 95, "1h 1m"},
    {86'400, "1d"},
    {86'400 * 2 + 3600 * 7 + 60 * 15, "2d 7h 15m"},
    {86'400 * 2 + 3599, "2d 1h"},
    {604'800, "1w"},
    {86'400 * 368, "1y 3d"},
    {86'400 * 390, "1y 3w 4d"},
    {31'579'200, "1y 1d"}, // A tie goes to the even day.
};

TEST_F(ban_log_test, durations_as_fail2ban_says_them) {
    for (const duration_case& c : durations) {
        EXPECT_EQ(duration_text(std::chrono::seconds(c.seconds)), c.text) << c.seconds;
    }
}

} // namespace
} // namespace ebbgate::bans
