// ebbgatectl: what an operator asks of a running gateway, or of its stopped spool.

#include "ebbgate/spool/posix_storage.h"
#include "ebbgate/spool/recovery.h"

#include "codec/json/document.h"
#include "config/server.h"
#include "service/admin/admin_socket.h"
#include "stage/policy/snapshot.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

std::string text_of(const json::value& value) {
    switch (value.kind()) {
    case json::kind::string:
        return std::string(value.text());
    case json::kind::boolean:
        return value.boolean() ? "yes" : "no";
    case json::kind::integer:
        return std::to_string(value.integer());
    case json::kind::real:
        return fmt::format("{}", value.real());
    case json::kind::null:
    case json::kind::array:
    case json::kind::object:
        break;
    }
    return "-";
}

void print_tree(const json::value& value, const std::string& path) {
    if (value.is_object() || value.is_array()) {
        for (const json::value& child : value.children()) {
            print_tree(child, child.pointer());
        }
        return;
    }
    std::string name = path.substr(1);
    for (char& c : name) {
        c = c == '/' ? '.' : c;
    }
    fmt::print("{:<28} {}\n", name, text_of(value));
}

int ask_and_print(const std::string& socket, const std::string& command, bool as_json) {
    const auto answer = admin::ask(socket, command);
    if (!answer) {
        fmt::print(stderr, "ebbgatectl: {}\n", answer.error().detail);
        return 1;
    }
    const auto parsed = json::document::parse(*answer);
    if (as_json || !parsed) {
        fmt::print("{}\n", *answer);
    } else {
        print_tree(parsed->root(), "");
    }
    return answer->find("\"ok\":false") == std::string::npos ? 0 : 1;
}

int print_report(const result<spool::verify_report>& report) {
    if (!report) {
        fmt::print(stderr, "ebbgatectl: {}\n", report.error().detail);
        return 1;
    }
    const spool::recovery_counts& counts = report->counts;
    fmt::print("shards {}, messages {}, segments {}, groups {}, records {}\n"
               "torn tail bytes {}, corrupt records {}, damaged bodies {}, voided {}\n",
               report->shards,
               report->live_messages,
               counts.segments,
               counts.groups,
               counts.records,
               counts.torn_tail_bytes,
               counts.corrupt_records,
               report->damaged_bodies,
               counts.voided);
    return counts.corrupt_records == 0 && report->damaged_bodies == 0 ? 0 : 1;
}

int check(const std::string& file) {
    const auto server = config::load(file);
    if (!server) {
        fmt::print(stderr, "{}\n", config::to_text(server.error()));
        return 1;
    }
    const config::faults faults = policy::check(server->policy);
    if (!faults.empty()) {
        fmt::print(stderr, "{}\n", config::to_text(faults));
    }
    return faults.empty() ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"ebbgatectl: operates an Ebbgate gateway"};
    app.require_subcommand(1);
    std::string socket = "/run/ebbgate/admin.sock";
    app.add_option("--socket", socket, "the gateway's admin socket");
    bool as_json = false;
    std::string id;
    std::string config_file = "/etc/ebbgate/ebbgate.json";
    std::string folder;
    std::string out_folder;

    auto* status = app.add_subcommand("status", "ports, sessions, queue, spool, ring");
    auto* reload = app.add_subcommand("reload", "read the policy again");
    auto* flush = app.add_subcommand("flush", "try all deferred messages now");
    auto* release = app.add_subcommand("release", "let held messages go");
    for (CLI::App* one : {status, reload, flush, release}) {
        one->add_flag("--json", as_json, "as JSON");
    }
    release->add_option("id", id, "one message; without it, all");
    auto* check_command = app.add_subcommand("check", "check configuration and policy");
    check_command->add_option("--config", config_file, "configuration file");
    auto* spool_command = app.add_subcommand("spool", "look at a stopped gateway's spool");
    spool_command->require_subcommand(1);
    auto* verify = spool_command->add_subcommand("verify", "read all of it and count");
    verify->add_option("folder", folder, "the spool: data_dir/spool")->required();
    auto* export_command = spool_command->add_subcommand("export", "write each message as a file");
    export_command->add_option("folder", folder, "the spool: data_dir/spool")->required();
    export_command->add_option("out", out_folder, "where to")->required();
    CLI11_PARSE(app, argc, argv);

    if (*check_command) {
        return check(config_file);
    }
    if (*spool_command) {
        spool::posix_directory files(folder, {.read_only = true});
        return print_report(*verify ? spool::verify_spool(files)
                                    : spool::export_spool_to_folder(files, out_folder));
    }
    const std::string command = *status      ? "status"
                                : *reload    ? "reload"
                                : *flush     ? "flush"
                                : id.empty() ? "release"
                                             : "release " + id;
    return ask_and_print(socket, command, as_json);
}
