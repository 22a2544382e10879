#include "service/filelink/commands.h"

#include "codec/json/writer.h"
#include "service/admin/arguments.h"
#include "service/admin/command_group.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ctime>
#include <expected>
#include <memory>
#include <utility>

namespace ebbgate::filelink {

namespace {

using admin::argument;
using admin::argument_kind;
using admin::change_note;
using admin::optional_tenant;
using admin::permission;
using admin::refusal;
using admin::refusal_reason;
using admin::request;

constexpr std::size_t short_digits = 12;

constexpr argument link_argument{"link", argument_kind::text, true, 2048}; // A URL, at most.

std::string_view state_of(const blob::link& one, std::int64_t now_unix_s) {
    return one.revoked_unix_s != 0            ? "revoked"
           : one.expires_unix_s <= now_unix_s ? "expired"
                                              : "live";
}

void write_link(json::writer& out, const blob::link& one, std::int64_t now_unix_s) {
    out.member("token", one.token).member("url", one.url + one.file_name());
    out.member("name", one.name).member("tenant", one.tenant).member("bytes", one.bytes);
    out.member("sender", one.sender).member("message", one.message_id);
    out.member("created", one.created_unix_s).member("expires", one.expires_unix_s);
    out.member("revoked", one.revoked_unix_s).member("state", state_of(one, now_unix_s));
}

class handlers {
public:
    handlers(blob::blob_store& store, admin::audit kept) : store_(store), audit_(std::move(kept)) {}

    std::string list(const request& asked);
    std::string show(const request& asked);
    std::string revoke(const request& asked);
    std::string extend(const request& asked);

private:
    // The link, when it is there and the asking one's; else the answer.
    [[nodiscard]] std::expected<blob::link, std::string> find(const request& asked);
    // The same for a change: what is not found or not allowed now is noted or held back.
    [[nodiscard]] std::expected<blob::link, std::string> find_to_change(const request& asked);
    void note(const request& asked, const blob::link& of, change_note done) const;
    [[nodiscard]] std::string refuse(const request& asked, const blob::link& of, std::string why);
    [[nodiscard]] std::string
    answer(const request& asked, const blob::link& of, change_note done, const result<bool>& made);

    blob::blob_store& store_;
    admin::audit audit_;
};

std::string not_found() {
    return refusal(refusal_reason::not_found, "no such link");
}

std::expected<blob::link, std::string> handlers::find(const request& asked) {
    const std::string_view token = token_in(asked.text("link"));
    if (token.empty()) {
        return std::unexpected(
            refusal(refusal_reason::usage, "\"link\": expected a link's token or its URL"));
    }
    auto found = store_.find(token);
    const std::string_view tenant = asked.text("tenant");
    if (!found) {
        // Whose it is cannot be read any more: an operator is told, a tenant is not.
        return std::unexpected(
            tenant.empty() ? refusal(refusal_reason::failed, found.error().detail) : not_found());
    }
    if (!*found || (!tenant.empty() && (*found)->tenant != tenant)) {
        return std::unexpected(not_found());
    }
    return std::move(**found);
}

std::expected<blob::link, std::string> handlers::find_to_change(const request& asked) {
    if (audit_.may_change && !audit_.may_change(asked)) {
        return std::unexpected(admin::too_many_changes());
    }
    auto found = find(asked);
    if (const std::string_view token = token_in(asked.text("link")); !found && !token.empty()) {
        audit_.note(asked,
                    {std::string(asked.text("tenant")), short_form(token), "", "", "no such link"});
    }
    return found;
}

void handlers::note(const request& asked, const blob::link& of, change_note done) const {
    done.tenant = of.tenant;
    done.subject = short_form(of.token);
    audit_.note(asked, done);
}

std::string handlers::refuse(const request& asked, const blob::link& of, std::string why) {
    note(asked, of, {.result = why});
    return refusal(refusal_reason::refused, why);
}

std::string handlers::answer(const request& asked,
                             const blob::link& of,
                             change_note done,
                             const result<bool>& made) {
    if (!made) {
        done.result = made.error().detail;
        note(asked, of, std::move(done));
        return refusal(refusal_reason::failed, made.error().detail);
    }
    done.result = *made ? "done" : "no such link"; // It expired and was swept meanwhile.
    note(asked, of, std::move(done));
    return *made ? admin::change_answer(true) : not_found();
}

std::string handlers::list(const request& asked) {
    const std::int64_t rows = admin::rows_of(asked, list_rows_max);
    const auto page =
        store_.list(asked.text("tenant"), asked.text("after"), static_cast<std::size_t>(rows));
    if (!page) {
        return refusal(page.error().kind == failure_kind::bad_input ? refusal_reason::usage
                                                                    : refusal_reason::failed,
                       page.error().detail);
    }
    const std::int64_t now = std::time(nullptr);
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("links").begin_array();
    for (const blob::link& one : page->links) {
        out.begin_object();
        write_link(out, one, now);
        out.end_object();
    }
    out.end_array().member("next", page->next).end_object();
    return text;
}

std::string handlers::show(const request& asked) {
    const auto found = find(asked);
    if (!found) {
        return found.error();
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true);
    write_link(out, *found, std::time(nullptr));
    out.member("content_type", found->content_type);
    out.member("sha256", fmt::format("{:02x}", fmt::join(found->hash, ""))).end_object();
    return text;
}

std::string handlers::revoke(const request& asked) {
    const auto found = find_to_change(asked);
    if (!found) {
        return found.error();
    }
    if (found->revoked_unix_s != 0) {
        note(asked, *found, {.before = "revoked", .after = "revoked", .result = "done"});
        return admin::change_answer(false);
    }
    const std::int64_t now = std::time(nullptr);
    return answer(asked,
                  *found,
                  {.before = std::string(state_of(*found, now)), .after = "revoked"},
                  store_.revoke(found->token, now));
}

std::string handlers::extend(const request& asked) {
    const std::int64_t now = std::time(nullptr);
    std::int64_t expires = asked.number("expires");
    if (asked.has("keep") == asked.has("expires")) {
        return refusal(refusal_reason::usage, "expected one of \"keep\" and \"expires\"");
    }
    if (asked.has("keep")) {
        const auto keep = config::parse_duration(asked.text("keep"));
        if (!keep || keep->count() == 0) {
            return refusal(refusal_reason::usage,
                           "\"keep\": expected a duration such as 30 days or 12 months");
        }
        expires = now + keep->count();
    }
    const auto found = find_to_change(asked);
    if (!found) {
        return found.error();
    }
    if (found->revoked_unix_s != 0) {
        return refuse(asked, *found, "the link was revoked");
    }
    if (expires <= now) {
        return refuse(asked, *found, "the link would have expired already");
    }
    if (expires - now > extend_seconds_max) {
        return refuse(asked, *found, "a link is kept for ten years from now at most");
    }
    return answer(asked,
                  *found,
                  {.before = fmt::format("until {}", found->expires_unix_s),
                   .after = fmt::format("until {}", expires)},
                  store_.extend(found->token, expires));
}

} // namespace

std::string_view token_in(std::string_view text) noexcept {
    text.remove_prefix(text.rfind('/') + 1); // Not there: npos + 1 is 0.
    text = text.substr(0, text.find('.'));
    return blob::is_token(text) ? text : std::string_view();
}

std::string short_form(std::string_view token) {
    return fmt::format("{}...", token.substr(0, short_digits));
}

void add_commands(admin::dispatcher& to, blob::blob_store& store, admin::audit kept) {
    admin::command_group group(
        to, permission::tenants, std::make_shared<handlers>(store, std::move(kept)));
    group.add("filelink list",
              &handlers::list,
              {optional_tenant, {"after", argument_kind::text, false, 64}, admin::rows_argument});
    group.add("filelink show", &handlers::show, {link_argument, optional_tenant});
    group.add("filelink revoke", &handlers::revoke, {link_argument, optional_tenant});
    group.add("filelink extend",
              &handlers::extend,
              {link_argument, optional_tenant, admin::keep_argument, admin::expires_argument});
}

} // namespace ebbgate::filelink
