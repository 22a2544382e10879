// check, reload, policy show, audit.

#include "config/server.h"
#include "program/ctl/gateway.h"
#include "relay/identities.h"
#include "runtime/tls/tls.h"
#include "stage/policy/snapshot.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string config_file = "/etc/ebbgate/ebbgate.json";
    std::string policy_file;
    std::string tenant;
    std::int64_t after = 0;
    bool dry_run = false;
};

config::faults find_faults(const options& given) {
    if (!given.policy_file.empty()) {
        return policy::check(given.policy_file);
    }
    const auto server = config::load(given.config_file);
    if (!server) {
        return server.error();
    }
    const auto policy = policy::load(server->policy);
    if (!policy) {
        return policy.error();
    }
    tls::initialise();
    return relay::check_together(*server, **policy);
}

// Works without a gateway.
void check(context& context, const options& given) {
    const config::faults faults = find_faults(given);
    context.exit_code = faults.empty() ? exit_done : exit_refused;
    if (!context.as_json) {
        if (!faults.empty()) {
            fmt::print(stderr, "{}\n", config::to_text(faults));
        }
        return;
    }
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(faults.empty()).key("faults").begin_array();
    for (const config::fault& fault : faults) {
        out.begin_object().member("file", fault.file).member("line", fault.line);
        out.member("pointer", fault.pointer).member("message", fault.message).end_object();
    }
    out.end_array().end_object();
    fmt::print("{}\n", text);
}

} // namespace

void add_policy_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* check_command = add_leaf(app, context, "check", "check configuration and policy");
    check_command->add_option("--config", given->config_file, "configuration file");
    check_command->add_option("--policy", given->policy_file, "only this policy file");
    check_command->callback([&context, given] { check(context, *given); });

    CLI::App* reload = add_leaf(app, context, "reload", "read the policy again");
    reload->add_flag("--dry-run", given->dry_run, "say what is wrong with it, change nothing");
    reload->callback([&context, given] {
        request asked("reload");
        asked.flag("dry_run", given->dry_run);
        ask_and_show(context, asked);
    });

    CLI::App* policy = app.add_subcommand("policy", "the policy in force");
    policy->require_subcommand(1);
    CLI::App* show = add_leaf(*policy, context, "show", "file and changes together");
    show->add_option("--tenant", given->tenant, "only this tenant");
    show->add_option("--after", given->after, "the `next` of the page before")
        ->check(CLI::NonNegativeNumber);
    show->callback([&context, given] {
        request asked("policy show");
        asked.text("tenant", given->tenant).number("after", given->after);
        ask_and_show(context, asked);
    });

    CLI::App* audit = add_leaf(app, context, "audit", "who changed what, the newest first");
    audit->add_option("--tenant", given->tenant, "only this tenant's");
    audit->callback([&context, given] {
        ask_for_list(context,
                     "audit",
                     "audit",
                     {{"time_ms", "TIME", form::unix_ms},
                      {"by", "BY"},
                      {"uid", "UID"},
                      {"token", "TOKEN"},
                      {"command", "COMMAND"},
                      {"tenant", "TENANT"},
                      {"subject", "SUBJECT"},
                      {"before", "BEFORE"},
                      {"after", "AFTER"},
                      {"result", "RESULT"}},
                     [&given](request& asked) { asked.text("tenant", given->tenant); });
    });
}

} // namespace ebbgate::ctl
