// The store of attachments that became links, and what keeps it clean: links that have expired go.
//
// Input   A folder.
// Output  The store, for any thread; what sweeps have deleted, as notes.
// Owner   The management thread, which calls tend(); sweeps run on a thread of low priority.
// Fails   open() says why. A sweep that fails is noted, once an hour at most, and tried again.
// Bounds  links_max a sweep, and then another at once while there is more.

#pragma once

#include "ebbgate/base/result.h"

#include "program/daemon/background.h"
#include "store/blob/blob_store.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace ebbgate::program {

class link_upkeep {
public:
    using clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds interval{60};
    static constexpr std::chrono::hours note_interval{1};
    static constexpr std::size_t links_max = 1000;

    // `note` is called on the sweeper's thread.
    [[nodiscard]] static result<std::unique_ptr<link_upkeep>>
    open(const std::string& folder, std::function<void(const std::string&)> note);

    ~link_upkeep() { ending_ = true; }

    link_upkeep(const link_upkeep&) = delete;
    link_upkeep& operator=(const link_upkeep&) = delete;

    [[nodiscard]] blob::blob_store& store() noexcept { return *store_; }

    // Starts a sweep when one is due.
    void tend(clock::time_point now);

private:
    link_upkeep(std::unique_ptr<blob::blob_store> store,
                std::function<void(const std::string&)> note)
        : store_(std::move(store)), note_(std::move(note)) {}

    void sweep();

    std::unique_ptr<blob::blob_store> store_;
    std::function<void(const std::string&)> note_;
    clock::time_point due_{};
    clock::time_point noted_{}; // Of the sweeper.
    std::atomic<bool> sweeping_{false};
    std::atomic<bool> ending_{false};
    background sweeper_; // The last: it ends first.
};

} // namespace ebbgate::program
