// What the spool needs from threads that may block: segments and body files made and removed, and
// the free space of its disk.
//
// Owner   The shard; its flows belong to the shard's scope.
// Fails   Told to the writer, which asks again later, and to the log.
// Bounds  One segment and one body file under way.

#pragma once

#include "ebbgate/base/result.h"
#include "ebbgate/spool/posix_storage.h"

#include "relay/context.h"
#include "runtime/task/flow.h"

namespace ebbgate::relay {

// Of the drafts that wait for a body file.
class body_file_waiters {
public:
    virtual void body_file_failed(failure_kind why) = 0;

protected:
    ~body_file_waiters() = default;
};

class spool_upkeep {
public:
    // `worker` has one thread: segments are made in the order asked for.
    spool_upkeep(relay::context& context,
                 shard::worker_pool& worker,
                 spool::posix_directory& folder,
                 body_file_waiters& waiters);
    spool_upkeep(const spool_upkeep&) = delete;
    spool_upkeep& operator=(const spool_upkeep&) = delete;

    // Before the first message a segment must be there; made on this thread, nobody waits yet.
    [[nodiscard]] result<void> make_first_segment();
    // Starts to watch the free space.
    void start();
    // Once a turn, behind the writer's pump().
    void on_turn();

private:
    task::flow<> make_segment();
    task::flow<> make_body_file();
    task::flow<> remove(spool::retired_segment retired);
    task::flow<> watch_free_space();

    relay::context& context_;
    shard::worker_pool& worker_;
    spool::posix_directory& folder_;
    body_file_waiters& waiters_;
};

} // namespace ebbgate::relay
