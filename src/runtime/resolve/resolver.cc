#include "runtime/resolve/resolver.h"

#include "base/text.h"

#include <fmt/format.h>

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <string_view>
#include <unbound.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::dns {

namespace {

constexpr int class_internet = 1;
constexpr int rcode_no_error = 0;
constexpr int rcode_no_name = 3;

// Of what others say, as much as a log line needs.
std::string printable(std::string_view text) {
    constexpr std::size_t text_max = 300;
    std::string result(text.substr(0, text_max));
    std::ranges::replace_if(result, [](char c) { return is_control(c) || !is_ascii(c); }, '?');
    return result;
}

std::string_view name_of_rcode(int rcode) noexcept {
    constexpr std::string_view names[] = {
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    return rcode >= 0 && static_cast<std::size_t>(rcode) < std::size(names)
               ? names[static_cast<std::size_t>(rcode)]
               : "an unknown code";
}

answer trouble(std::string text) {
    answer made;
    made.text = std::move(text);
    return made;
}

std::string subject(std::string_view name, record_type type) {
    return fmt::format("{} of {}", name_of(type), printable(name));
}

std::string without_final_dot(std::string_view name) {
    return lowered(name.ends_with('.') ? name.substr(0, name.size() - 1) : name);
}

std::vector<std::string> rdata_of(const ub_result& found) {
    std::vector<std::string> all;
    for (std::size_t i = 0; found.data[i] != nullptr && i < resolver::records_max; ++i) {
        all.emplace_back(found.data[i], static_cast<std::size_t>(found.len[i]));
    }
    return all;
}

answer answer_of(std::string_view name, record_type type, const ub_result& found) {
    if (found.bogus != 0) {
        answer made =
            trouble(fmt::format("{}: fails DNSSEC{}{}",
                                subject(name, type),
                                found.why_bogus == nullptr ? "" : ": ",
                                printable(found.why_bogus == nullptr ? "" : found.why_bogus)));
        made.bogus = true;
        return made;
    }
    answer made;
    made.secure = found.secure != 0;
    made.ttl_seconds = static_cast<std::uint32_t>(std::max(found.ttl, 0));
    made.canonical_name =
        without_final_dot(found.canonname == nullptr ? name : std::string_view(found.canonname));
    if (found.rcode == rcode_no_name) {
        made.status = answer_status::no_name;
    } else if (found.rcode != rcode_no_error) {
        return trouble(fmt::format("{}: {}", subject(name, type), name_of_rcode(found.rcode)));
    } else if (found.havedata == 0) {
        made.status = answer_status::no_data;
    } else {
        made.status = answer_status::found;
        made.rdata = rdata_of(found);
    }
    return made;
}

} // namespace

std::string_view name_of(record_type type) noexcept {
    switch (type) {
    case record_type::a:
        return "A";
    case record_type::cname:
        return "CNAME";
    case record_type::ptr:
        return "PTR";
    case record_type::mx:
        return "MX";
    case record_type::txt:
        return "TXT";
    case record_type::aaaa:
        return "AAAA";
    case record_type::tlsa:
        return "TLSA";
    }
    return "?";
}

result<std::unique_ptr<resolver>> resolver::open(const resolver_settings& settings) {
    auto context = open_context(settings.context);
    if (!context) {
        return std::unexpected(context.error());
    }
    const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        return fail(failure_kind::io, fmt::format("DNS: eventfd: {}", std::strerror(errno)));
    }
    return std::unique_ptr<resolver>(new resolver(settings, std::move(*context), wake_fd));
}

resolver::resolver(const resolver_settings& settings, context_pointer context, int wake_fd)
    : settings_(settings), context_(std::move(context)), wake_fd_(wake_fd),
      thread_([this] { run(); }) {}

resolver::~resolver() {
    stop();
    close(wake_fd_);
}

void resolver::stop() {
    {
        const std::lock_guard hold(lock_);
        stopping_ = true;
    }
    wake();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void resolver::ask(task::reactor& home, std::string name, record_type type, done then) {
    counts_asked_.fetch_add(1, std::memory_order_relaxed);
    question made{&home, std::move(name), type, std::move(then), {}, this};
    const std::uint64_t unanswered = unanswered_.fetch_add(1, std::memory_order_relaxed);
    if (unanswered >= settings_.asked_max + settings_.waiting_max) {
        counts_refused_.fetch_add(1, std::memory_order_relaxed);
        finish(made, trouble(subject(made.name, type) + ": too many questions wait"));
        return;
    }
    if (made.name.find('\0') != std::string::npos) {
        finish(made, trouble(subject(made.name, type) + ": no name has a zero byte"));
        return;
    }
    bool first = false;
    {
        std::unique_lock hold(lock_);
        if (stopping_) {
            hold.unlock();
            finish(made, trouble(subject(made.name, type) + ": the gateway stops"));
            return;
        }
        made.deadline = clock::now() + settings_.timeout;
        first = incoming_.empty();
        incoming_.push_back(std::move(made));
    }
    if (first) {
        wake();
    }
}

result<void> resolver::open_again(const context_settings& settings) {
    auto context = open_context(settings);
    if (!context) {
        return std::unexpected(std::move(context.error()));
    }
    {
        const std::lock_guard hold(lock_);
        next_context_ = std::move(*context);
    }
    wake();
    return {};
}

void resolver::wake() const noexcept {
    const std::uint64_t one = 1;
    (void)!write(wake_fd_, &one, sizeof one); // Full: it is awake.
}

void resolver::run() {
    // libunbound's thread inherits this: signals are for the management thread.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (take_incoming()) {
        hand_on();
        wait();
        (void)ub_process(context_.get());
        expire();
    }
    context_.reset(); // Ends its thread. No callback comes any more.
    for (question& one : waiting_) {
        finish(one, trouble(subject(one.name, one.type) + ": the gateway stops"));
    }
    for (auto& [number, one] : asked_) {
        finish(one, trouble(subject(one.name, one.type) + ": the gateway stops"));
    }
    waiting_.clear();
    asked_.clear();
}

bool resolver::take_incoming() {
    std::uint64_t wakes = 0;
    (void)!read(wake_fd_, &wakes, sizeof wakes); // Before the list: what comes later wakes again.
    std::unique_lock hold(lock_);
    std::ranges::move(incoming_, std::back_inserter(waiting_));
    incoming_.clear();
    context_pointer next = std::move(next_context_);
    const bool goes_on = !stopping_;
    hold.unlock();
    if (next != nullptr) {
        use(std::move(next));
    }
    return goes_on;
}

void resolver::use(context_pointer next) {
    context_ = std::move(next); // Ends the thread of the one before. No callback of it comes.
    // They are older than those that wait: deadlines stay in order.
    for (auto last = asked_.rbegin(); last != asked_.rend(); ++last) {
        waiting_.push_front(std::move(last->second));
    }
    asked_.clear();
}

void resolver::hand_on() {
    while (!waiting_.empty() && asked_.size() < settings_.asked_max) {
        const std::uint64_t number = next_number_++;
        question& one = asked_.emplace(number, std::move(waiting_.front())).first->second;
        waiting_.pop_front();
        one.number = number;
        const int fault = ub_resolve_async(context_.get(),
                                           one.name.c_str(),
                                           static_cast<int>(one.type),
                                           class_internet,
                                           &one,
                                           &resolver::on_answer,
                                           &one.async_id);
        if (fault != 0) {
            finish(one,
                   trouble(fmt::format("{}: {}", subject(one.name, one.type), ub_strerror(fault))));
            asked_.erase(number);
        }
    }
}

void resolver::wait() const {
    clock::time_point until = clock::now() + std::chrono::hours(1);
    if (!asked_.empty()) {
        until = asked_.begin()->second.deadline;
    }
    if (!waiting_.empty()) {
        until = std::min(until, waiting_.front().deadline);
    }
    // Up: a deadline that is a part of a millisecond ahead is not waited for in a circle.
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
    pollfd both[] = {{wake_fd_, POLLIN, 0}, {ub_fd(context_.get()), POLLIN, 0}};
    (void)poll(both, std::size(both), static_cast<int>(std::max<std::int64_t>(rest, 0)));
}

void resolver::expire() {
    const clock::time_point now = clock::now();
    const auto too_late = [&](question& one) {
        counts_timed_out_.fetch_add(1, std::memory_order_relaxed);
        finish(one,
               trouble(fmt::format("{}: no answer within {:g} s",
                                   subject(one.name, one.type),
                                   std::chrono::duration<double>(settings_.timeout).count())));
    };
    while (!asked_.empty() && asked_.begin()->second.deadline <= now) {
        (void)ub_cancel(context_.get(), asked_.begin()->second.async_id);
        too_late(asked_.begin()->second);
        asked_.erase(asked_.begin());
    }
    while (!waiting_.empty() && waiting_.front().deadline <= now) {
        too_late(waiting_.front());
        waiting_.pop_front();
    }
}

// Within ub_process(), on our thread.
void resolver::on_answer(void* asked, int fault, ub_result* found) {
    question& one = *static_cast<question*>(asked);
    resolver& owner = *one.owner;
    if (fault != 0 || found == nullptr) {
        owner.finish(
            one, trouble(fmt::format("{}: {}", subject(one.name, one.type), ub_strerror(fault))));
    } else {
        owner.finish(one, answer_of(one.name, one.type, *found));
    }
    ub_resolve_free(found);
    owner.asked_.erase(one.number);
}

void resolver::finish(question& asked, answer&& found) {
    count(found);
    unanswered_.fetch_sub(1, std::memory_order_relaxed);
    asked.home->post([then = std::move(asked.then), found = std::move(found)] { then(found); });
}

void resolver::count(const answer& found) noexcept {
    std::atomic<std::uint64_t>* counter = &counts_nothing_;
    if (found.status == answer_status::found) {
        counter = &counts_found_;
    } else if (found.status == answer_status::trouble) {
        counter = &counts_trouble_;
    }
    counter->fetch_add(1, std::memory_order_relaxed);
    if (found.bogus) {
        counts_bogus_.fetch_add(1, std::memory_order_relaxed);
    }
}

resolver_counts resolver::counts() const noexcept {
    constexpr auto order = std::memory_order_relaxed;
    return {counts_asked_.load(order),
            counts_found_.load(order),
            counts_nothing_.load(order),
            counts_trouble_.load(order),
            counts_bogus_.load(order),
            counts_timed_out_.load(order),
            counts_refused_.load(order),
            unanswered_.load(order)};
}

} // namespace ebbgate::dns
