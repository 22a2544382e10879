// ban, unban, banned, ignore, why.

#include "config/units.h"
#include "program/ctl/gateway.h"

#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string address;
    std::string lasting;
    bool all = false;
};

void ban(context& context, const options& given) {
    request asked("ban");
    asked.text("address", given.address);
    if (!given.lasting.empty()) {
        const auto duration = config::parse_duration(given.lasting);
        if (!duration || duration->count() == 0) {
            return complain(
                context, exit_usage, given.lasting + ": expected a duration such as 10m or 7d");
        }
        asked.number("seconds", duration->count());
    }
    ask_for_change(context, asked);
}

void add_ignore_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* ignore = app.add_subcommand("ignore", "addresses that are never banned");
    ignore->require_subcommand(1);
    CLI::App* add = add_leaf(*ignore, context, "add", "lifts its ban, too");
    CLI::App* remove = add_leaf(*ignore, context, "remove", "it counts again");
    for (CLI::App* one : {add, remove}) {
        one->add_option("network", given->address, "an address or a network")->required();
        one->callback([&context, given, name = "ignore " + one->get_name()] {
            request asked(name);
            asked.text("network", given->address);
            ask_for_change(context, asked);
        });
    }
    add_leaf(*ignore, context, "list", "all of them")->callback([&context] {
        ask_for_list(context,
                     "ignore list",
                     "ignore",
                     {{"network", "NETWORK"}, {"source", "SOURCE"}},
                     [](request&) {});
    });
}

} // namespace

void add_ban_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* ban_command = add_leaf(app, context, "ban", "refuse an address from now on");
    ban_command->add_option("address", given->address, "the address")->required();
    ban_command->add_option("--for", given->lasting, "a duration; else the policy's ban_time");
    ban_command->callback([&context, given] { ban(context, *given); });

    CLI::App* unban = add_leaf(app, context, "unban", "let an address in again");
    CLI::Option* address = unban->add_option("address", given->address, "the address");
    CLI::Option* all = unban->add_flag("--all", given->all, "every address that is banned");
    address->excludes(all);
    unban->callback([&context, given] {
        if (given->address.empty() && !given->all) {
            throw CLI::RequiredError("an address or --all");
        }
        request asked("unban");
        asked.text("address", given->address).flag("all", given->all);
        ask_for_change(context, asked);
    });

    CLI::App* banned = add_leaf(app, context, "banned", "who is banned, until when");
    banned->add_option("address", given->address, "only this one");
    banned->callback([&context, given] {
        ask_for_list(context,
                     "banned",
                     "banned",
                     {{"address", "ADDRESS"},
                      {"since", "SINCE", form::unix_s},
                      {"until", "UNTIL", form::unix_s},
                      {"count", "TIMES"}},
                     [&given](request& asked) { asked.text("address", given->address); });
    });
    add_ignore_commands(app, context);

    CLI::App* why = add_leaf(app, context, "why", "what the gateway would do, and by which rule");
    why->add_option("subject", given->address, "a sender, an address or a message's id")
        ->required();
    why->callback([&context, given] {
        request asked("why");
        asked.text("subject", given->address);
        ask_and_show(context, asked);
    });
}

} // namespace ebbgate::ctl
