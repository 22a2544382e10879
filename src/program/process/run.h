// How a load tool runs: until SIGTERM, SIGINT, or its time is over.
//
// Owner   The main thread; one run in a process.

#pragma once

#include "runtime/task/reactor.h"

#include <cstdint>
#include <functional>

namespace ebbgate::process {

// From here on SIGTERM and SIGINT end the run and not the process.
void catch_stop_signals();

// `seconds`: 0 for no end. `on_turn` is called at least every 100 ms; it may be empty.
void run(task::reactor& reactor,
         double seconds,
         const std::function<void(std::uint64_t now_ms)>& on_turn = {});

} // namespace ebbgate::process
