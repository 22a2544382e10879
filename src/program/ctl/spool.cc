// spool verify, export: of a stopped gateway.

#include "ebbgate/spool/posix_storage.h"
#include "ebbgate/spool/recovery.h"

#include "codec/json/writer.h"
#include "program/ctl/topics.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

namespace ebbgate::ctl {

namespace {

void show(context& context, const result<spool::verify_report>& report) {
    if (!report) {
        return complain(context, exit_refused, report.error().detail);
    }
    const spool::recovery_counts& counts = report->counts;
    const bool good = counts.corrupt_records == 0 && report->damaged_bodies == 0;
    context.exit_code = good ? exit_done : exit_refused;
    if (!context.as_json) {
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
        return;
    }
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(good);
    out.member("shards", report->shards).member("messages", report->live_messages);
    out.member("segments", counts.segments).member("groups", counts.groups);
    out.member("records", counts.records).member("torn_tail_bytes", counts.torn_tail_bytes);
    out.member("corrupt_records", counts.corrupt_records);
    out.member("damaged_bodies", report->damaged_bodies).member("voided", counts.voided);
    out.end_object();
    fmt::print("{}\n", text);
}

} // namespace

void add_spool_commands(CLI::App& app, context& context) {
    const auto folder = std::make_shared<std::string>();
    const auto into = std::make_shared<std::string>();
    CLI::App* spool = app.add_subcommand("spool", "look at a stopped gateway's spool");
    spool->require_subcommand(1);
    CLI::App* verify = add_leaf(*spool, context, "verify", "read all of it and count");
    CLI::App* write = add_leaf(*spool, context, "export", "write each message as a file");
    for (CLI::App* one : {verify, write}) {
        one->add_option("folder", *folder, "the spool: data_dir/spool")->required();
    }
    write->add_option("out", *into, "where to")->required();
    verify->callback([&context, folder] {
        spool::posix_directory files(*folder, {.read_only = true});
        show(context, spool::verify_spool(files));
    });
    write->callback([&context, folder, into] {
        spool::posix_directory files(*folder, {.read_only = true});
        show(context, spool::export_spool_to_folder(files, *into));
    });
}

} // namespace ebbgate::ctl
