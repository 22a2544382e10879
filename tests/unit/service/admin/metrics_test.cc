// Each line of /metrics is a comment or a sample of a family that was declared before, once.

#include "service/admin/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace ebbgate::admin {
namespace {

std::string text_of(daemon_facts facts) {
    std::vector<relay::shard_status> shards(2);
    shards[0].counters.messages_received = 3;
    shards[1].counters.messages_received = 4;
    shards[0].counters.logins_failed = 2;
    shards[0].queue.held = 7;
    shards[1].oldest_age_ms = 61'999;
    shards[1].intake_open = false;
    return metrics_text(facts, shards);
}

TEST(metrics, samples_are_sums_over_the_shards_and_facts_of_the_daemon) {
    daemon_facts facts;
    facts.version = "1.2";
    facts.policy_is_stale = true;
    facts.policy_reloads = 5;
    facts.policy_reloads_refused = 6;
    facts.bans.bans = 8;
    facts.bans.refused_by_kernel = true;
    facts.files.emplace().by_class[4] = 9;
    facts.files->sent_bytes = 10;
    const std::string text = "\n" + text_of(facts);
    for (const char* line : {"ebbgate_build_info{version=\"1.2\"} 1",
                             "ebbgate_messages_received_total 7",
                             "ebbgate_logins_total{result=\"failed\"} 2",
                             "ebbgate_queue_items{state=\"held\"} 7",
                             "ebbgate_queue_oldest_seconds 61",
                             "ebbgate_spool_intake_open 0",
                             "ebbgate_policy_stale 1",
                             "ebbgate_policy_reloads_total{result=\"done\"} 5",
                             "ebbgate_policy_reloads_total{result=\"refused\"} 6",
                             "ebbgate_bans 8",
                             "ebbgate_ban_mode{mode=\"kernel\"} 1",
                             "ebbgate_ban_mode{mode=\"reset\"} 0",
                             "ebbgate_file_requests_total{class=\"4xx\"} 9",
                             "ebbgate_file_sent_bytes_total 10",
                             "ebbgate_shards 2"}) {
        EXPECT_NE(text.find("\n" + std::string(line) + "\n"), std::string::npos) << line;
    }
}

TEST(metrics, the_text_is_well_formed_and_labels_are_escaped) {
    daemon_facts facts;
    facts.version = "a\"b\\c\nd";
    const std::string text = text_of(facts);
    EXPECT_NE(text.find("version=\"a\\\"b\\\\c\\nd\"} 1\n"), std::string::npos);
    std::istringstream lines(text);
    std::set<std::string> families;
    std::string current;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string first;
        std::string second;
        std::string name;
        std::string rest;
        words >> first;
        if (first == "#") {
            words >> second >> name >> rest;
            if (second == "HELP") {
                EXPECT_TRUE(families.insert(name).second) << name << " twice";
                current = name;
            } else {
                EXPECT_EQ(second, "TYPE");
                EXPECT_EQ(rest == "counter", name.ends_with("_total")) << name;
            }
            EXPECT_EQ(name, current);
            EXPECT_FALSE(rest.empty());
            continue;
        }
        EXPECT_EQ(first.substr(0, first.find('{')), current);
        words >> second;
        EXPECT_FALSE(second.empty());
        EXPECT_EQ(second.find_first_not_of("0123456789"), std::string::npos) << line;
    }
    EXPECT_GT(families.size(), 40U);
    EXPECT_TRUE(text.ends_with("\n"));
}

} // namespace
} // namespace ebbgate::admin
