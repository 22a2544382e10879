// status, flush, release.

#include "program/ctl/gateway.h"

#include <memory>

namespace ebbgate::ctl {

void add_queue_commands(CLI::App& app, context& context) {
    const auto id = std::make_shared<std::string>();
    CLI::App* status = add_leaf(app, context, "status", "ports, sessions, queue, spool, ring");
    CLI::App* flush = add_leaf(app, context, "flush", "try all deferred messages now");
    CLI::App* release = add_leaf(app, context, "release", "let held messages go");
    release->add_option("id", *id, "one message; without it, all");
    for (CLI::App* one : {status, flush, release}) {
        one->callback([&context, id, name = one->get_name()] {
            request asked(name);
            asked.text("id", *id); // Empty but for `release`.
            ask_and_show(context, asked);
        });
    }
}

} // namespace ebbgate::ctl
