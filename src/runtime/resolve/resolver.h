// DNS: questions from any thread, answered by libunbound, which caches and validates.
//
// Input   A name and a type of record.
// Output  An answer, on the reactor of who asked.
// Owner   The daemon. It stops before the reactors that ask are gone: answers are posted to them.
//         One thread of its own hands questions on and takes answers; see unbound_context.h for
//         libunbound's.
// Fails   As answers: SERVFAIL, refused, bogus, no answer in time, too many questions: `trouble`.
// Bounds  asked_max questions under way, waiting_max more that wait; each has `timeout` from ask()
//         on, also while it waits. An answer has records_max records.
// Specs   RFC 1034, RFC 2308 (negative answers), RFC 4035 (DNSSEC), RFC 5452 (forgery).

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/resolve/answer.h"
#include "runtime/resolve/unbound_context.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

struct ub_result;

namespace ebbgate::dns {

struct resolver_settings {
    context_settings context;
    std::chrono::milliseconds timeout{30'000};
    std::size_t asked_max = 512;
    std::size_t waiting_max = 16'384;
};

// Since the start.
struct resolver_counts {
    std::uint64_t asked = 0;
    std::uint64_t found = 0;
    std::uint64_t nothing = 0; // no_data and no_name.
    std::uint64_t trouble = 0; // With those below.
    std::uint64_t bogus = 0;
    std::uint64_t timed_out = 0;
    std::uint64_t refused = 0;    // Too many questions.
    std::uint64_t unanswered = 0; // Now.
};

class resolver final : public asker {
public:
    static constexpr std::size_t records_max = 1024;

    [[nodiscard]] static result<std::unique_ptr<resolver>> open(const resolver_settings& settings);
    ~resolver();
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;

    void ask(task::reactor& home, std::string name, record_type type, done then) override;

    // With these settings, and what the files that they name say now, from any thread. What is
    // being asked is asked again, in its time; the cache is empty. With a fault nothing changes.
    [[nodiscard]] result<void> open_again(const context_settings& settings);

    // What is still asked is answered as trouble, and so is what is asked from now on.
    void stop();

    [[nodiscard]] resolver_counts counts() const noexcept;

private:
    using clock = std::chrono::steady_clock;

    struct question {
        task::reactor* home = nullptr;
        std::string name;
        record_type type = record_type::a;
        done then;
        clock::time_point deadline;
        resolver* owner = nullptr;
        std::uint64_t number = 0;
        int async_id = 0;
    };

    // Also the order of deadlines: all questions have the same time.
    using question_map = std::map<std::uint64_t, question>;

    resolver(const resolver_settings& settings, context_pointer context, int wake_fd);

    static void on_answer(void* asked, int fault, ub_result* found);

    void run();
    bool take_incoming(); // False: stopping.
    void use(context_pointer next);
    void hand_on();
    void expire();
    void wait() const;
    void wake() const noexcept;
    void finish(question& asked, answer&& found);
    void count(const answer& found) noexcept;

    const resolver_settings settings_;
    context_pointer context_;
    const int wake_fd_;

    std::mutex lock_; // Of the three below.
    std::deque<question> incoming_;
    context_pointer next_context_;
    bool stopping_ = false;

    // The thread's own.
    std::deque<question> waiting_;
    question_map asked_;
    std::uint64_t next_number_ = 0;

    std::atomic<std::uint64_t> counts_asked_ = 0;
    std::atomic<std::uint64_t> counts_found_ = 0;
    std::atomic<std::uint64_t> counts_nothing_ = 0;
    std::atomic<std::uint64_t> counts_trouble_ = 0;
    std::atomic<std::uint64_t> counts_bogus_ = 0;
    std::atomic<std::uint64_t> counts_timed_out_ = 0;
    std::atomic<std::uint64_t> counts_refused_ = 0;
    std::atomic<std::uint64_t> unanswered_ = 0;

    std::thread thread_;
};

} // namespace ebbgate::dns
