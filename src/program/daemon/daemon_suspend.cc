// suspend, resume: mail of a domain or of a tenant waits for a while.

#include "codec/json/writer.h"
#include "config/units.h"
#include "program/daemon/daemon.h"
#include "program/daemon/queue_request.h"
#include "relay/suspensions.h"
#include "service/admin/arguments.h"
#include "service/overlay/commands.h"

#include <chrono>
#include <ctime>
#include <utility>

namespace ebbgate::program {

namespace {

using admin::argument_kind;
using admin::refusal_reason;
using admin::request;

constexpr std::chrono::seconds suspension_time{300};
constexpr std::chrono::seconds suspension_time_max{365LL * 24 * 3600};

} // namespace

void daemon::add_suspension_commands() {
    const auto operators = admin::permission::operators;
    commands_->add(
        {"suspend",
         {queue_domain, queue_tenant, queue_reason, {"duration", argument_kind::text, false, 64}},
         operators,
         [this](const request& asked) { return suspend(asked); }});
    commands_->add({"resume",
                    {queue_domain, queue_tenant, {"all", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) { return resume(asked); }});
    commands_->add({"suspend list",
                    {admin::after_argument, admin::rows_argument},
                    operators,
                    [this](const request&) { return suspend_list(); }});
}

std::string daemon::suspend(const admin::request& asked) {
    overlay::suspension added;
    added.domain = config::lower_ascii(asked.text("domain"));
    added.tenant = asked.text("tenant");
    added.reason = asked.text("reason");
    if (added.domain.empty() && added.tenant.empty()) {
        return admin::refusal(refusal_reason::usage, "expected a domain, a tenant, or both");
    }
    if (added.reason.empty() || !is_reason(added.reason)) {
        return admin::refusal(refusal_reason::usage, "expected a reason, one line of ASCII");
    }
    std::chrono::seconds time = suspension_time;
    if (const std::string_view duration = asked.text("duration"); !duration.empty()) {
        const auto parsed = config::parse_duration(duration);
        if (!parsed || parsed->count() < 1 || *parsed > suspension_time_max) {
            return admin::refusal(refusal_reason::usage,
                                  "expected a duration such as 1h, at most a year");
        }
        time = *parsed;
    }
    added.created_unix_s = std::time(nullptr);
    added.until_unix_s = added.created_unix_s + time.count();
    const auto done = overlay_->suspend(overlay::by(asked), added);
    if (!done) {
        return admin::refusal(refusal_reason::failed, done.error().detail);
    }
    if (done->verdict == overlay::verdict::refused) {
        return admin::refusal(refusal_reason::refused, done->why);
    }
    if (const std::string fault = put_suspensions_in_force(); !fault.empty()) {
        return fault;
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("changed", true).member("in_force", true);
    out.member("until", added.until_unix_s).end_object();
    return text;
}

std::string daemon::resume(const admin::request& asked) {
    const std::string domain = config::lower_ascii(asked.text("domain"));
    const std::string_view tenant = asked.text("tenant");
    const bool all = asked.flag("all");
    if (all != (domain.empty() && tenant.empty())) {
        return admin::refusal(refusal_reason::usage,
                              "expected a domain, a tenant or both, or --all alone");
    }
    const auto done = overlay_->resume(overlay::by(asked), domain, tenant, all);
    if (!done) {
        return admin::refusal(refusal_reason::failed, done.error().detail);
    }
    if (const std::string fault = put_suspensions_in_force(); !fault.empty()) {
        return fault;
    }
    return admin::change_answer(done->verdict == overlay::verdict::changed);
}

std::string daemon::suspend_list() {
    const auto all = overlay_->suspensions(std::time(nullptr));
    if (!all) {
        return admin::refusal(refusal_reason::failed, all.error().detail);
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("suspended").begin_array();
    for (const overlay::suspension& one : *all) {
        out.begin_object().member("domain", one.domain).member("tenant", one.tenant);
        out.member("reason", one.reason).member("created", one.created_unix_s);
        out.member("until", one.until_unix_s).end_object();
    }
    out.end_array().member("next", 0).end_object();
    return text;
}

result<std::shared_ptr<const relay::suspensions>> daemon::read_suspensions() {
    const auto all = overlay_->suspensions(std::time(nullptr));
    if (!all) {
        return std::unexpected(all.error());
    }
    std::vector<relay::suspension> suspended;
    for (const overlay::suspension& one : *all) {
        suspended.push_back(
            {one.domain, one.tenant, one.reason, one.created_unix_s, one.until_unix_s});
    }
    return std::make_shared<const relay::suspensions>(suspended);
}

std::string daemon::put_suspensions_in_force() {
    const auto suspended = read_suspensions();
    if (!suspended) {
        return admin::refusal(refusal_reason::failed, suspended.error().detail);
    }
    on_each_shard([&](relay::shard& shard) { shard.queue().set_suspensions(*suspended); });
    return {};
}

} // namespace ebbgate::program
