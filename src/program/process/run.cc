#include "program/process/run.h"

#include <csignal>

namespace ebbgate::process {

namespace {

constexpr std::uint64_t turn_ms_max = 100; // A signal may be seen so late.

volatile std::sig_atomic_t stop_asked = 0;

} // namespace

void catch_stop_signals() {
    for (const int number : {SIGTERM, SIGINT}) {
        (void)std::signal(number, [](int) { stop_asked = 1; });
    }
}

void run(task::reactor& reactor,
         double seconds,
         const std::function<void(std::uint64_t now_ms)>& on_turn) {
    const std::uint64_t begun_ms = reactor.now_ms();
    while (stop_asked == 0) {
        reactor.run_once(turn_ms_max);
        const std::uint64_t now_ms = reactor.now_ms();
        if (on_turn) {
            on_turn(now_ms);
        }
        if (seconds > 0 && static_cast<double>(now_ms - begun_ms) > seconds * 1e3) {
            return;
        }
    }
}

} // namespace ebbgate::process
