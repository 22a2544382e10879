// ebbgatectl: what an operator asks of a running gateway, or of its stopped spool.

#include "codec/json/writer.h"
#include "program/ctl/output.h"
#include "program/ctl/topics.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace ebbgate::ctl {

CLI::App* add_leaf(CLI::App& parent, context& context, std::string name, std::string help) {
    CLI::App* leaf = parent.add_subcommand(std::move(name), std::move(help));
    leaf->add_flag("--json", context.as_json, "as JSON");
    return leaf;
}

void complain(context& context, int exit_code, const std::string& what) {
    context.exit_code = exit_code;
    fmt::print(stderr, "ebbgatectl: {}\n", printable_lines(what));
    if (context.as_json) {
        std::string text;
        json::writer out(text);
        out.begin_object().key("ok").boolean(false).member("error", what).end_object();
        fmt::print("{}\n", text);
    }
}

} // namespace ebbgate::ctl

int main(int argc, char** argv) {
    using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program
    ctl::context context;
    CLI::App app{"ebbgatectl: operates an Ebbgate gateway"};
    app.require_subcommand(1);
    app.add_option("--socket", context.socket, "the gateway's admin socket");
    ctl::add_queue_commands(app, context);
    ctl::add_account_commands(app, context);
    ctl::add_sender_commands(app, context);
    ctl::add_filelink_commands(app, context);
    ctl::add_limit_commands(app, context);
    ctl::add_ban_commands(app, context);
    ctl::add_policy_commands(app, context);
    ctl::add_dkim_commands(app, context);
    ctl::add_spool_commands(app, context);
    ctl::add_suppression_commands(app, context);
    ctl::add_tls_report_commands(app, context);
    try {
        app.parse(argc, argv); // Runs the command's callback.
    } catch (const CLI::ParseError& fault) {
        return app.exit(fault) == 0 ? ctl::exit_done : ctl::exit_usage;
    }
    return context.exit_code;
}
