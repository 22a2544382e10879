// filelink list, show, revoke, extend.

#include "program/ctl/gateway.h"
#include "program/ctl/moment.h"
#include "program/ctl/secret.h"

#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string link;
    asker who;
    std::string lasting;
    std::string until;
};

void list(context& context, options& given) {
    if (!given.who.read_token(context)) {
        return;
    }
    ask_for_list(context,
                 "filelink list",
                 "links",
                 {{"url", "URL"},
                  {"name", "NAME"},
                  {"bytes", "BYTES"},
                  {"tenant", "TENANT"},
                  {"sender", "SENDER"},
                  {"created", "CREATED", form::unix_s},
                  {"expires", "EXPIRES", form::unix_s},
                  {"state", "STATE"}},
                 [&](request& asked) { given.who.add_to(asked); });
}

void extend(context& context, options& given) {
    request asked("filelink extend");
    asked.text("link", given.link).text("keep", given.lasting);
    if (!given.until.empty()) {
        const auto moment = parse_moment(given.until);
        if (!moment) {
            return complain(context, exit_usage, moment.error());
        }
        asked.number("expires", *moment);
    }
    if (given.who.read_token(context)) {
        given.who.add_to(asked);
        ask_for_change(context, asked);
    }
}

} // namespace

void add_filelink_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* filelink = app.add_subcommand("filelink", "attachments that became links");
    filelink->require_subcommand(1);
    CLI::App* list_command = add_leaf(*filelink, context, "list", "the newest first");
    CLI::App* show = add_leaf(*filelink, context, "show", "all that is known of one");
    CLI::App* revoke = add_leaf(*filelink, context, "revoke", "never served again");
    CLI::App* extend_command = add_leaf(*filelink, context, "extend", "kept until then instead");
    for (CLI::App* one : {show, revoke, extend_command}) {
        one->add_option("link", given->link, "its URL, or the 40 digits")->required();
    }
    for (CLI::App* one : {list_command, show, revoke, extend_command}) {
        given->who.add_options(*one, "only this tenant's");
    }
    CLI::Option* lasting =
        extend_command->add_option("--for", given->lasting, "from now: 30 days, 12 months");
    CLI::Option* until =
        extend_command->add_option("--until", given->until, "2026-01-31T12:00:00Z, or 2026-01-31");
    until->excludes(lasting);
    list_command->callback([&context, given] { list(context, *given); });
    show->callback([&context, given] {
        request asked("filelink show");
        asked.text("link", given->link);
        if (given->who.read_token(context)) {
            given->who.add_to(asked);
            ask_and_show(context, asked);
        }
    });
    revoke->callback([&context, given] {
        request asked("filelink revoke");
        asked.text("link", given->link);
        if (given->who.read_token(context)) {
            given->who.add_to(asked);
            ask_for_change(context, asked);
        }
    });
    extend_command->callback([&context, given] {
        if (given->lasting.empty() && given->until.empty()) {
            throw CLI::RequiredError("--for or --until");
        }
        extend(context, *given);
    });
}

} // namespace ebbgate::ctl
