// What the table told, as its users would keep it.

#pragma once

#include "stage/bans/ban_table.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ebbgate::bans {

inline constexpr std::int64_t second_us = 1'000'000;
inline constexpr std::int64_t start_us = 1'795'500'000 * second_us;

inline config::ip_address address(std::string_view text) {
    return config::parse_ip_address(text).value();
}

inline config::ip_network network(std::string_view text) {
    return config::parse_ip_network(text).value();
}

inline void restore_all(ban_table& table,
                        const std::vector<ban>& rows,
                        std::vector<config::ip_network> ignore,
                        std::int64_t now_us) {
    table.begin_restore(rows.size(), std::move(ignore));
    for (const ban& row : rows) {
        table.restore(row, now_us);
    }
    table.end_restore(now_us);
}

struct recorder final : ban_observer {
    std::map<config::ip_network, ban> running;
    std::map<config::ip_network, ban> rows; // What a store would hold.
    std::set<config::ip_network> white;
    std::vector<std::string> told;

    void on_banned(const ban& ban, bool restored) override {
        EXPECT_TRUE(running.emplace(ban.network, ban).second);
        rows.insert_or_assign(ban.network, ban);
        note(restored ? "restored " : "banned ", ban);
    }

    void on_changed(const ban& ban) override {
        EXPECT_TRUE(running.contains(ban.network));
        running.insert_or_assign(ban.network, ban);
        rows.insert_or_assign(ban.network, ban);
        note("changed ", ban);
    }

    void on_unbanned(const ban& ban, ban_end why) override {
        EXPECT_EQ(running.erase(ban.network), 1U);
        rows.insert_or_assign(ban.network, ban);
        if (why == ban_end::lifted) {
            rows.erase(ban.network);
        }
        note(why == ban_end::expired  ? "expired "
             : why == ban_end::lifted ? "lifted "
                                      : "displaced ",
             ban);
    }

    void on_forgotten(const config::ip_network& network) override {
        EXPECT_FALSE(running.contains(network));
        rows.erase(network);
        if (noting) {
            told.push_back("forgotten " + config::to_text(network));
        }
    }

    void on_white_list(const std::vector<config::ip_network>& added,
                       const std::vector<config::ip_network>& removed) override {
        for (const config::ip_network& gone : removed) {
            EXPECT_EQ(white.erase(gone), 1U);
        }
        for (const config::ip_network& fresh : added) {
            EXPECT_TRUE(white.insert(fresh).second);
            EXPECT_FALSE(running.contains(fresh)) << "a ban of the same network is lifted before";
        }
    }

    bool noting = true;

private:
    void note(const std::string& what, const ban& ban) {
        if (noting) {
            told.push_back(what + name_of(ban));
        }
    }
};

} // namespace ebbgate::bans
