// What a flow awaits of the spool: a message's next block, or that an append is settled.
//
//     read_wait read(reactor.ready());
//     spool::message_reader reader(device, files, read_wait::on_read, &read);
//     reader.start(id, where);
//     co_await read.done;
//
// Owner   One flow, in its frame, until the reader or the writer has answered.

#pragma once

#include "ebbgate/spool/reader.h"
#include "ebbgate/spool/writer.h"

#include "runtime/task/scope.h"

namespace ebbgate::relay {

struct read_wait {
    explicit read_wait(task::ready_list& ready) : done(ready) {}

    static void on_read(spool::message_reader&, spool::read_status status, void* context) noexcept {
        read_wait& wait = *static_cast<read_wait*>(context);
        wait.status = status;
        wait.done.set();
    }

    task::signal done;
    spool::read_status status = spool::read_status::failed;
};

struct append_wait : spool::append_request {
    explicit append_wait(task::ready_list& ready) : done(ready) {
        on_settled = [](spool::append_request& request,
                        spool::append_status status,
                        const spool::location&) noexcept {
            append_wait& wait = static_cast<append_wait&>(request);
            wait.status = status;
            wait.done.set();
        };
    }

    task::signal done;
    spool::append_status status = spool::append_status::failed;
};

} // namespace ebbgate::relay
