// The commands of ebbgatectl, by topic: each function adds its own to the command line.
//
// Input   The parsed command line; passwords and tokens never stand on it.
// Output  Text for people, or with --json one object; the exit code.
// Owner   main(); the context lives as long as the command line.
// Specs   docs/control.md.

#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace ebbgate::ctl {

inline constexpr int exit_done = 0;
inline constexpr int exit_refused = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_unreachable = 3;

struct context {
    std::string socket = "/run/ebbgate/admin.sock";
    bool as_json = false;
    int exit_code = exit_done;
};

void add_queue_commands(CLI::App& app, context& context);       // status queue message flush ...
void add_account_commands(CLI::App& app, context& context);     // account
void add_sender_commands(CLI::App& app, context& context);      // sender token
void add_filelink_commands(CLI::App& app, context& context);    // filelink
void add_limit_commands(CLI::App& app, context& context);       // limit
void add_ban_commands(CLI::App& app, context& context);         // ban unban banned ignore why
void add_policy_commands(CLI::App& app, context& context);      // check reload policy audit
void add_dkim_commands(CLI::App& app, context& context);        // dkim
void add_spool_commands(CLI::App& app, context& context);       // spool
void add_suppression_commands(CLI::App& app, context& context); // suppression
void add_tls_report_commands(CLI::App& app, context& context);  // tls-report

// A command that does something, with its --json.
CLI::App* add_leaf(CLI::App& parent, context& context, std::string name, std::string help);

// Says what is wrong on the error output, and with --json also as an object.
void complain(context& context, int exit_code, const std::string& what);

} // namespace ebbgate::ctl
