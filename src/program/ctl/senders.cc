// sender add, remove, list; token add, list, revoke.

#include "codec/json/document.h"
#include "crypto/token.h"
#include "program/ctl/gateway.h"
#include "program/ctl/moment.h"
#include "program/ctl/secret.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string pattern;
    asker who;
    std::string label;
    bool changes = false;
    expiry until;
};

void change_sender(context& context, options& given, std::string_view command) {
    if (given.who.tenant.empty() && given.who.token_file.empty()) {
        throw CLI::RequiredError("--tenant or --token-file");
    }
    if (!given.who.read_token(context)) {
        return;
    }
    request asked(command);
    given.who.add_to(asked);
    asked.text("pattern", given.pattern);
    ask_for_change(context, asked);
}

void list_senders(context& context, options& given) {
    if (!given.who.read_token(context)) {
        return;
    }
    const std::string_view last = given.changes ? "change" : "source";
    ask_for_list(
        context,
        "sender list",
        "senders",
        {{"pattern", "SENDER"}, {"tenant", "TENANT"}, {last, given.changes ? "CHANGE" : "SOURCE"}},
        [&](request& asked) {
            given.who.add_to(asked);
            asked.flag("changes", given.changes);
        });
}

// The token is made here, and only its digest goes to the gateway.
void add_token(context& context, const options& given) {
    const auto expires = given.until.unix_s();
    if (!expires) {
        return complain(context, exit_usage, expires.error());
    }
    const std::string token = crypto::make_token();
    request asked("token add");
    asked.text("tenant", given.who.tenant).text("label", given.label);
    asked.text("digest", crypto::token_digest(token));
    if (*expires != 0) {
        asked.number("expires", *expires);
    }
    if (!ask(context, asked.line())) {
        return;
    }
    if (context.as_json) {
        fmt::print("{{\"ok\":true,\"token\":\"{}\"}}\n", token);
    } else {
        fmt::print(stderr, "This token is shown once:\n");
        fmt::print("{}\n", token);
    }
}

void add_token_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* token = app.add_subcommand("token", "what lets a tenant change its own senders");
    token->require_subcommand(1);
    CLI::App* add = add_leaf(*token, context, "add", "makes one and shows it once");
    CLI::App* revoke = add_leaf(*token, context, "revoke", "it opens nothing from now on");
    for (CLI::App* one : {add, revoke}) {
        one->add_option("--tenant", given->who.tenant, "whose it is")->required();
        one->add_option("--label", given->label, "its name in lists and in the audit")->required();
    }
    given->until.add_options(*add);
    add->callback([&context, given] { add_token(context, *given); });
    revoke->callback([&context, given] {
        request asked("token revoke");
        asked.text("tenant", given->who.tenant).text("label", given->label);
        ask_for_change(context, asked);
    });
    CLI::App* list = add_leaf(*token, context, "list", "labels and times, never the tokens");
    list->add_option("--tenant", given->who.tenant, "only this tenant's");
    list->callback([&context, given] {
        ask_for_list(context,
                     "token list",
                     "tokens",
                     {{"label", "LABEL"},
                      {"tenant", "TENANT"},
                      {"rights", "RIGHTS"},
                      {"created", "CREATED", form::unix_s},
                      {"expires", "EXPIRES", form::unix_s},
                      {"expired", "EXPIRED"}},
                     [&given](request& asked) { asked.text("tenant", given->who.tenant); });
    });
}

} // namespace

void add_sender_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* sender = app.add_subcommand("sender", "addresses that a tenant may send from");
    sender->require_subcommand(1);
    CLI::App* add = add_leaf(*sender, context, "add", "user@domain, @domain or @*.domain");
    CLI::App* remove = add_leaf(*sender, context, "remove", "also one of the policy file");
    CLI::App* list = add_leaf(*sender, context, "list", "what is in force, and where it is from");
    for (CLI::App* one : {add, remove}) {
        one->add_option("sender", given->pattern, "the address or domain")->required();
    }
    for (CLI::App* one : {add, remove, list}) {
        given->who.add_options(*one, "whose sender it is");
    }
    add->callback([&context, given] { change_sender(context, *given, "sender add"); });
    remove->callback([&context, given] { change_sender(context, *given, "sender remove"); });
    list->add_flag("--changes", given->changes, "only what was changed by command");
    list->callback([&context, given] { list_senders(context, *given); });
    add_token_commands(app, context);
}

} // namespace ebbgate::ctl
