// tls-report.

#include "program/ctl/gateway.h"
#include "program/ctl/output.h"

#include <fmt/format.h>

#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string domain;
    std::string day;
};

void show(const json::value& root) {
    if (const json::value* report = root.find("report")) {
        std::string text;
        json::writer out(text);
        copy(*report, out);
        fmt::print("{}\n", printable(text));
    } else if (const json::value* domains = root.find("domains")) {
        for (const json::value& one : domains->children()) {
            fmt::print("{}\n", printable(one.text()));
        }
    }
}

} // namespace

void add_tls_report_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* command =
        add_leaf(app, context, "tls-report", "how TLS to a domain's mail hosts went, as TLS-RPT");
    command->add_option("domain", given->domain, "of recipients; else the domains are listed");
    command->add_option("--day", given->day, "YYYY-MM-DD in UTC; else today");
    command->callback([&context, given] {
        request asked("tls-report");
        asked.text("domain", given->domain).text("day", given->day);
        ask_with(context, asked, show);
    });
}

} // namespace ebbgate::ctl
