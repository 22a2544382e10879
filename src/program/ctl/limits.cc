// limit list, set, reset.

#include "program/ctl/gateway.h"
#include "program/ctl/moment.h"

#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string rule;
    std::string subject;
    std::string rate;
    expiry until;
};

void set_limit(context& context, const options& given) {
    const auto expires = given.until.unix_s();
    if (!expires) {
        return complain(context, exit_usage, expires.error());
    }
    request asked("limit set");
    asked.text("rule", given.rule).text("subject", given.subject).text("rate", given.rate);
    if (*expires != 0) {
        asked.number("expires", *expires);
    }
    ask_for_change(context, asked);
}

} // namespace

void add_limit_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* limit = app.add_subcommand("limit", "overrides of the policy's limits");
    limit->require_subcommand(1);
    CLI::App* set = add_leaf(*limit, context, "set", "raises or lowers one limit for one subject");
    CLI::App* reset = add_leaf(*limit, context, "reset", "the policy's own limit again");
    for (CLI::App* one : {set, reset}) {
        one->add_option("rule", given->rule, "such as messages_per_sender")->required();
        one->add_option("subject", given->subject, "the address, login or tenant")->required();
    }
    set->add_option("rate", given->rate, "such as 2000/day")->required();
    given->until.add_options(*set);
    set->callback([&context, given] { set_limit(context, *given); });
    reset->callback([&context, given] {
        request asked("limit reset");
        asked.text("rule", given->rule).text("subject", given->subject);
        ask_for_change(context, asked);
    });
    CLI::App* list = add_leaf(*limit, context, "list", "all overrides");
    list->callback([&context] {
        ask_for_list(context,
                     "limit list",
                     "limits",
                     {{"rule", "RULE"},
                      {"subject", "SUBJECT"},
                      {"rate", "RATE"},
                      {"expires", "EXPIRES", form::unix_s},
                      {"expired", "EXPIRED"}},
                     [](request&) {});
    });
}

} // namespace ebbgate::ctl
