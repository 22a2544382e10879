// suppression list, add, remove.

#include "program/ctl/gateway.h"
#include "program/ctl/moment.h"

#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string address;
    std::string reason;
    asker who;
    expiry until;
};

bool has_tenant(context& context, options& given) {
    if (given.who.tenant.empty() && given.who.token_file.empty()) {
        throw CLI::RequiredError("--tenant or --token-file");
    }
    return given.who.read_token(context);
}

void add(context& context, options& given) {
    const auto expires = given.until.unix_s();
    if (!expires) {
        return complain(context, exit_usage, expires.error());
    }
    if (!has_tenant(context, given)) {
        return;
    }
    request asked("suppression add");
    given.who.add_to(asked);
    asked.text("address", given.address).text("reason", given.reason);
    if (*expires != 0) {
        asked.number("expires", *expires);
    }
    ask_for_change(context, asked);
}

void list(context& context, options& given) {
    if (!given.who.read_token(context)) {
        return;
    }
    ask_for_list(context,
                 "suppression list",
                 "suppressed",
                 {{"address", "ADDRESS"},
                  {"tenant", "TENANT"},
                  {"class", "CLASS"},
                  {"created", "SINCE", form::unix_s},
                  {"expires", "EXPIRES", form::unix_s},
                  {"reply", "REPLY"}},
                 [&](request& asked) { given.who.add_to(asked); });
}

} // namespace

void add_suppression_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* suppression =
        app.add_subcommand("suppression", "recipients that bounced and are not tried again");
    suppression->require_subcommand(1);
    CLI::App* list_command = add_leaf(*suppression, context, "list", "the oldest first");
    CLI::App* add_command = add_leaf(*suppression, context, "add", "mail for it bounces at once");
    CLI::App* remove = add_leaf(*suppression, context, "remove", "mail for it is tried again");
    for (CLI::App* one : {add_command, remove}) {
        one->add_option("address", given->address, "local@domain")->required();
    }
    for (CLI::App* one : {list_command, add_command, remove}) {
        given->who.add_options(*one, "whose mail");
    }
    add_command->add_option("--reason", given->reason, "for who looks at the list");
    given->until.add_options(*add_command);
    list_command->callback([&context, given] { list(context, *given); });
    add_command->callback([&context, given] { add(context, *given); });
    remove->callback([&context, given] {
        if (has_tenant(context, *given)) {
            request asked("suppression remove");
            given->who.add_to(asked);
            asked.text("address", given->address);
            ask_for_change(context, asked);
        }
    });
}

} // namespace ebbgate::ctl
