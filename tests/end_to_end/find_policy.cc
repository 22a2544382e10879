// Finds MTA-STS policies as a shard would, for a test that plays DNS and the web server.
//
//   find_policy STORE CA_FILE CONNECT_TO TIMEOUT_S
//
// Commands, one a line: "txt DOMAIN VALUE", "txt DOMAIN" (none), "txt DOMAIN !" (no answer),
// "clock SECONDS" (on from there), "find DOMAIN [TIMES]" at once. Each find answers a line:
// "MODE MAX_AGE MX,MX FAULT asked=TIMES".

#include "codec/mta_sts/policy.h"
#include "runtime/shard/worker_pool.h"
#include "runtime/task/reactor.h"
#include "service/mta_sts/fetcher.h"
#include "service/mta_sts/policy_finder.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

void print(const mta_sts::found_policy& found, int asked) {
    std::string hosts;
    if (found.policy != nullptr) {
        for (const std::string& host : found.policy->mx) {
            hosts += (hosts.empty() ? "" : ",") + host;
        }
    }
    std::printf("%s %ld %s %s asked=%d\n",
                found.is_unknown          ? "unknown"
                : found.policy == nullptr ? "nothing"
                                          : mta_sts::to_text(found.policy->mode),
                found.policy == nullptr ? 0L : static_cast<long>(found.policy->max_age_s),
                hosts.empty() ? "-" : hosts.c_str(),
                found.fault ? tls_report::to_text(*found.fault) : "-",
                asked);
    std::fflush(stdout);
    if (found.fault) {
        std::fprintf(stderr, "%s\n", found.detail.c_str());
    }
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "expected STORE CA_FILE CONNECT_TO TIMEOUT_S\n");
        return 1;
    }
    auto reactor = task::reactor::open({});
    std::atomic<std::int64_t> skew_s = 0; // Read by other threads.
    shard::worker_pool workers(2, 100);
    mta_sts::fetch_settings fetch;
    fetch.ca_file = argv[2];
    fetch.connect_to = argv[3];
    fetch.timeout_s = std::stol(argv[4]);
    fetch.transfers_max = 20;
    fetch.queue_s_max = 3;
    mta_sts::fetcher fetcher(fetch);
    mta_sts::finder_settings settings;
    settings.path = argv[1];
    settings.now_s = [&skew_s] { return std::time(nullptr) + skew_s; };
    auto finder = mta_sts::policy_finder::open(settings, workers, fetcher);
    if (!reactor || !finder) {
        std::fprintf(stderr, "%s\n", finder ? "no ring" : finder.error().detail.c_str());
        return 1;
    }
    std::map<std::string, mta_sts::txt_answer> records;
    int asked = 0;
    const mta_sts::ask_txt ask = [&](const std::string& name, const auto& done) {
        ++asked;
        done(records[name]);
    };
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command;
        std::string domain;
        std::string rest;
        words >> command >> domain >> std::ws;
        std::getline(words, rest);
        if (command == "clock") {
            skew_s += std::stol(domain);
        } else if (command == "txt") {
            mta_sts::txt_answer& answer = records["_mta-sts." + domain];
            answer.failed = rest == "!";
            answer.records = rest.empty() || answer.failed ? std::vector<std::string>{}
                                                           : std::vector<std::string>{rest};
        } else if (command == "find") {
            int owed = rest.empty() ? 1 : std::stoi(rest);
            asked = 0;
            for (int count = owed; count > 0; --count) {
                (*finder)->find(domain, **reactor, ask, [&](const mta_sts::found_policy& found) {
                    --owed;
                    print(found, asked);
                });
            }
            while (owed > 0) {
                (*reactor)->run_once(10);
            }
        }
    }
    fetcher.stop();
    (void)workers.stop(std::chrono::seconds(5));
    return 0;
}
