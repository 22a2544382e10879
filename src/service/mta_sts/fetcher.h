// Fetches policies over HTTPS, many at once, by libcurl on one thread.
//
// Input   A domain in its ASCII form, from any thread.
// Output  The policy, or what TLS-RPT calls the fault; nothing when its turn did not come in time.
// Owner   A thread of its own; `done` runs on it, or within fetch() when there is no place.
// Fails   As a fault. A host that is slow costs others nothing but a place among transfers_max.
// Bounds  transfers_max at once, timeout_s each with all that belongs to it; queue_max wait, for
//         queue_s_max at most; policy_bytes_max of answer.
// Specs   RFC 8461 3.3: a valid certificate for mta-sts.DOMAIN, status 200, text/plain, and no
//         redirect is followed.
//
// There is no share for each domain or address: one who has a zone with thousands of policy hosts
// has thousands of names and as many addresses as he likes. What bounds him is time: all places are
// free again after timeout_s, and who waits is told within queue_s_max that nothing is known.

#pragma once

#include "codec/mta_sts/policy.h"
#include "codec/tls_report/report.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

namespace ebbgate::mta_sts {

struct fetch_settings {
    std::string ca_file;    // PEM bundle; empty: libcurl's own.
    std::string connect_to; // "127.0.0.1:PORT" instead of the host's own address: for tests.
    long timeout_s = 10;
    std::size_t transfers_max = 200;
    std::size_t queue_max = 10'000;
    long queue_s_max = 20;
};

struct fetch_fault {
    tls_report::result_type type = tls_report::result_type::sts_policy_fetch_error;
    std::string detail;
};

// Nothing: nobody asked, for want of a place. That says nothing of the domain.
using fetch_answer = std::optional<std::expected<policy, fetch_fault>>;
using fetch_done = std::function<void(fetch_answer)>;

class policy_source {
public:
    // `done` is called once, on any thread, perhaps within the call.
    virtual void fetch(const std::string& domain, fetch_done done) = 0;

protected:
    ~policy_source() = default;
};

class fetcher final : public policy_source {
public:
    explicit fetcher(fetch_settings settings);
    ~fetcher();
    fetcher(const fetcher&) = delete;
    fetcher& operator=(const fetcher&) = delete;

    void fetch(const std::string& domain, fetch_done done) override;

    // When it returns no `done` runs; those of what was under way are not called.
    void stop();

private:
    struct job {
        std::string domain;
        fetch_done done;
        std::chrono::steady_clock::time_point since;
    };

    struct transfer;
    struct engine; // libcurl's.

    void run();
    void begin_waiting();
    void refuse_late();
    void end_finished();

    fetch_settings settings_;
    std::mutex lock_;
    std::deque<job> queue_;
    std::atomic<bool> stopping_ = false;
    std::unique_ptr<engine> engine_;
    std::unordered_map<void*, std::unique_ptr<transfer>> transfers_; // By libcurl's handle.
    std::thread thread_;
};

} // namespace ebbgate::mta_sts
