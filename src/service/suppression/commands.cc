#include "service/suppression/commands.h"

#include "ebbgate/smtp/address.h"

#include "codec/json/writer.h"
#include "config/units.h"
#include "service/admin/arguments.h"
#include "service/admin/command_group.h"

#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <utility>

namespace ebbgate::suppression {

namespace {

using admin::argument;
using admin::argument_kind;
using admin::permission;
using admin::refusal;
using admin::refusal_reason;
using admin::request;
using admin::tenant_argument;

constexpr argument address_argument{
    "address", argument_kind::text, true, bounces::suppressed_address_bytes_max};

class handlers {
public:
    handlers(suppression_list& list,
             admin::audit kept,
             std::function<bool(std::string_view tenant)> is_tenant)
        : list_(list), audit_(std::move(kept)), is_tenant_(std::move(is_tenant)) {}

    std::string list(const request& asked);
    std::string add(const request& asked);
    std::string remove(const request& asked);

private:
    // The answer when nothing may be changed; empty otherwise.
    [[nodiscard]] std::string hindrance(const request& asked) const;
    std::string refuse(const request& asked, refusal_reason reason, const std::string& why) const;
    std::string changed(const request& asked, std::string after, bool is_changed) const;
    void note(const request& asked, std::string after, std::string outcome) const;

    suppression_list& list_;
    admin::audit audit_;
    std::function<bool(std::string_view tenant)> is_tenant_;
};

void handlers::note(const request& asked, std::string after, std::string outcome) const {
    audit_.note(asked,
                {.tenant = std::string(asked.text("tenant")),
                 .subject = bounces::suppressed_form(asked.text("address")),
                 .after = std::move(after),
                 .result = std::move(outcome)});
}

std::string
handlers::refuse(const request& asked, refusal_reason reason, const std::string& why) const {
    note(asked, {}, why);
    return refusal(reason, why);
}

std::string handlers::changed(const request& asked, std::string after, bool is_changed) const {
    note(asked, std::move(after), "done");
    return admin::change_answer(is_changed);
}

std::string handlers::hindrance(const request& asked) const {
    if (audit_.may_change && !audit_.may_change(asked)) {
        return admin::too_many_changes();
    }
    if (!smtp::parse_mailbox(asked.text("address"), true)) {
        return refusal(refusal_reason::usage, "\"address\": expected local@domain");
    }
    return {};
}

std::string handlers::list(const request& asked) {
    const auto found = list_.list(
        asked.text("tenant"), asked.number("after"), admin::rows_of(asked, page_rows_max));
    if (!found) {
        return refusal(refusal_reason::failed, found.error().detail);
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("suppressed").begin_array();
    for (const entry& one : found->rows) {
        out.begin_object().member("address", one.address).member("tenant", one.tenant);
        out.member("class", one.name).member("reply", one.reply);
        out.member("created", one.created_unix_s)
            .member("expires", one.expires_unix_s)
            .end_object();
    }
    out.end_array().member("next", found->next).end_object();
    return text;
}

std::string handlers::add(const request& asked) {
    if (std::string why = hindrance(asked); !why.empty()) {
        return why;
    }
    const std::int64_t now = std::time(nullptr);
    std::int64_t expires = asked.number("expires");
    if (asked.has("keep")) {
        const auto keep = config::parse_duration(asked.text("keep"));
        if (!keep || keep->count() == 0 || asked.has("expires")) {
            return refusal(refusal_reason::usage,
                           "\"keep\": expected a duration such as 30 days, and no \"expires\"");
        }
        expires = now + keep->count();
    }
    if (expires != 0 && expires <= now) {
        return refuse(asked, refusal_reason::refused, "it would have expired already");
    }
    if (!is_tenant_(asked.text("tenant"))) {
        return refuse(asked, refusal_reason::refused, "no such tenant");
    }
    const auto done = list_.add({0,
                                 std::string(asked.text("tenant")),
                                 std::string(asked.text("address")),
                                 {},
                                 std::string(asked.text("reason")),
                                 now,
                                 expires});
    if (!done) {
        return refuse(asked, refusal_reason::failed, done.error().detail);
    }
    if (*done == addition::full) {
        return refuse(asked, refusal_reason::refused, "the list is full");
    }
    return changed(asked,
                   expires == 0 ? "suppressed" : fmt::format("suppressed until {}", expires),
                   *done == addition::added);
}

std::string handlers::remove(const request& asked) {
    if (std::string why = hindrance(asked); !why.empty()) {
        return why;
    }
    const auto done = list_.remove(asked.text("tenant"), asked.text("address"));
    if (!done) {
        return refuse(asked, refusal_reason::failed, done.error().detail);
    }
    if (!*done) {
        return refuse(asked, refusal_reason::not_found, "not on the list");
    }
    return changed(asked, {}, true);
}

} // namespace

void add_commands(admin::dispatcher& to,
                  suppression_list& list,
                  admin::audit kept,
                  std::function<bool(std::string_view tenant)> is_tenant) {
    admin::command_group group(
        to,
        permission::tenants,
        std::make_shared<handlers>(list, std::move(kept), std::move(is_tenant)));
    group.add("suppression list",
              &handlers::list,
              {admin::optional_tenant, admin::after_argument, admin::rows_argument});
    group.add("suppression add",
              &handlers::add,
              {tenant_argument,
               address_argument,
               {"reason", argument_kind::text, false, reply_bytes_max},
               admin::keep_argument,
               admin::expires_argument});
    group.add("suppression remove", &handlers::remove, {tenant_argument, address_argument});
}

} // namespace ebbgate::suppression
