#include "service/admin/command.h"

#include "ebbgate/base/assert.h"

#include "codec/json/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

namespace ebbgate::admin {

namespace {

constexpr json::parse_limits request_limits = {
    .text_bytes_max = admin_socket::request_bytes_max, .depth_max = 6, .values_max = 20'000};
constexpr std::size_t objects_members_max = 8;
constexpr std::size_t shown_bytes_max = 64; // Of what the client sent, in an error.

bool is_of(argument_kind kind, const json::value& value) {
    switch (kind) {
    case argument_kind::text:
        return value.is_string();
    case argument_kind::number:
        return value.is(json::kind::integer);
    case argument_kind::flag:
        return value.is(json::kind::boolean);
    case argument_kind::objects:
        return value.is_array();
    }
    return false;
}

std::string expected(const argument& declared) {
    switch (declared.kind) {
    case argument_kind::text:
        return fmt::format("a text of at most {} bytes without control characters",
                           declared.size_max);
    case argument_kind::number:
        return "a whole number from 0 to 2^53";
    case argument_kind::flag:
        return "true or false";
    case argument_kind::objects:
        break;
    }
    return fmt::format("an array of at most {} objects of texts", declared.size_max);
}

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

bool is_within(const argument& declared, const json::value& value) {
    constexpr std::int64_t number_max = std::int64_t{1} << 53;
    switch (declared.kind) {
    case argument_kind::text:
        return value.text().size() <= declared.size_max && !has_control(value.text());
    case argument_kind::number:
        return value.integer() >= 0 && value.integer() <= number_max;
    case argument_kind::flag:
        return true;
    case argument_kind::objects:
        break;
    }
    const auto good = [](const json::value& item) {
        return item.is_object() && item.children().size() <= objects_members_max &&
               std::all_of(item.children().begin(), item.children().end(), [](const auto& member) {
                   return member.is_string() && !has_control(member.text());
               });
    };
    return value.children().size() <= declared.size_max &&
           std::all_of(value.children().begin(), value.children().end(), good);
}

const argument* declared(const command& command, std::string_view name) {
    const auto found = std::find_if(command.arguments.begin(),
                                    command.arguments.end(),
                                    [name](const argument& one) { return one.name == name; });
    return found == command.arguments.end() ? nullptr : &*found;
}

std::string_view shown(std::string_view text) {
    return text.substr(0, shown_bytes_max);
}

std::string unknown_command(std::string_view name) {
    return fmt::format("unknown command \"{}\"", shown(name));
}

} // namespace

std::string_view name_of(refusal_reason reason) noexcept {
    switch (reason) {
    case refusal_reason::usage:
        return "usage";
    case refusal_reason::denied:
        return "denied";
    case refusal_reason::refused:
        return "refused";
    case refusal_reason::not_found:
        return "not_found";
    case refusal_reason::failed:
        break;
    }
    return "failed";
}

std::string refusal(refusal_reason reason, std::string_view error) {
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(false);
    out.member("reason", name_of(reason));
    out.member("error", error).end_object();
    return text;
}

std::string change_answer(bool is_changed) {
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("changed", is_changed);
    out.member("in_force", true).end_object();
    return text;
}

const json::value* request::find(std::string_view name) const noexcept {
    return arguments_ == nullptr ? nullptr : arguments_->find(name);
}

bool request::has(std::string_view name) const noexcept {
    return find(name) != nullptr || std::any_of(given_.begin(), given_.end(), [name](auto& one) {
               return one.first == name;
           });
}

std::string_view request::text(std::string_view name) const noexcept {
    for (const auto& [given, text] : given_) {
        if (given == name) {
            return text;
        }
    }
    const json::value* value = find(name);
    return value == nullptr ? std::string_view() : value->text();
}

std::int64_t request::number(std::string_view name) const noexcept {
    const json::value* value = find(name);
    return value == nullptr ? 0 : value->integer();
}

bool request::flag(std::string_view name) const noexcept {
    const json::value* value = find(name);
    return value != nullptr && value->boolean();
}

std::span<const json::value> request::objects(std::string_view name) const noexcept {
    const json::value* value = find(name);
    return value == nullptr ? std::span<const json::value>() : value->children();
}

dispatcher::dispatcher(token_check whose_token, denial_note on_denied)
    : whose_token_(std::move(whose_token)), on_denied_(std::move(on_denied)) {}

void dispatcher::add(command added) {
    // A command for tenants that has no tenant could not be confined to one.
    EBBGATE_ASSERT(added.who == permission::operators || declared(added, "tenant") != nullptr);
    const std::string_view name = added.name;
    const bool fresh = commands_.emplace(name, std::move(added)).second;
    EBBGATE_ASSERT(fresh);
}

std::string dispatcher::answer(std::string_view line, const peer& from) const {
    return line.starts_with('{') ? answer_json(line, from) : answer_plain(line, from);
}

std::string dispatcher::answer_plain(std::string_view line, const peer& from) const {
    const std::size_t blank = line.find(' ');
    const std::string_view verb = line.substr(0, blank);
    const std::string_view rest =
        blank == std::string_view::npos ? std::string_view() : line.substr(blank + 1);
    const auto found = commands_.find(verb);
    if (found == commands_.end() || !found->second.plain) {
        return refusal(refusal_reason::usage, unknown_command(verb));
    }
    request asked;
    asked.command_ = found->second.name;
    asked.from_ = from;
    const auto& arguments = found->second.arguments;
    if (!rest.empty()) {
        if (arguments.empty() || arguments.front().kind != argument_kind::text ||
            rest.size() > arguments.front().size_max || has_control(rest)) {
            return refusal(refusal_reason::usage, "what follows the command is not for it");
        }
        asked.given_.emplace_back(arguments.front().name, rest);
    }
    const auto checked = check_arguments(found->second, asked);
    return checked ? found->second.run(asked)
                   : refusal(checked.error().reason, checked.error().text);
}

std::string dispatcher::answer_json(std::string_view line, const peer& from) const {
    const auto document = json::document::parse(line, request_limits);
    if (!document) {
        return refusal(refusal_reason::usage,
                       fmt::format("not a request: {}", document.error().message));
    }
    const auto found = find(document->root());
    if (!found) {
        return refusal(found.error().reason, found.error().text);
    }
    request asked;
    asked.from_ = from;
    asked.command_ = (*found)->name;
    asked.arguments_ = document->root().find("arguments");
    auto checked = admit(document->root(), **found, asked);
    if (checked) {
        checked = check_arguments(**found, asked);
    }
    return checked ? (*found)->run(asked) : refusal(checked.error().reason, checked.error().text);
}

auto dispatcher::find(const json::value& root) const -> std::expected<const command*, fault> {
    for (const json::value& member : root.children()) {
        const std::string_view key = member.key();
        const bool good = ((key == "command" || key == "token") && member.is_string()) ||
                          (key == "arguments" && member.is_object());
        if (!good) {
            return std::unexpected(fault{refusal_reason::usage,
                                         "expected {\"command\": TEXT, \"arguments\": OBJECT, "
                                         "\"token\": TEXT}"});
        }
    }
    const json::value* name = root.find("command");
    if (name == nullptr) {
        return std::unexpected(fault{refusal_reason::usage, "the request has no command"});
    }
    const auto found = commands_.find(name->text());
    if (found == commands_.end()) {
        return std::unexpected(fault{refusal_reason::usage, unknown_command(name->text())});
    }
    return &found->second;
}

auto dispatcher::admit(const json::value& root, const command& found, request& into) const -> step {
    const json::value* token = root.find("token");
    if (token == nullptr) {
        return {};
    }
    into.administrator_ = whose_token_(token->text());
    if (!into.administrator_) {
        return std::unexpected(fault{refusal_reason::denied, "the token is not valid"});
    }
    const std::string_view own = into.administrator_->tenant;
    const json::value* named = into.find("tenant");
    const bool is_own = named == nullptr || (named->is_string() && named->text() == own);
    if (found.who != permission::tenants || !is_own) {
        on_denied_(into);
        return std::unexpected(
            fault{refusal_reason::denied,
                  found.who != permission::tenants
                      ? fmt::format("\"{}\" is for operators, not for a token", found.name)
                      : "the token is another tenant's"});
    }
    into.given_.emplace_back("tenant", own);
    return {};
}

auto dispatcher::check_arguments(const command& found, const request& asked) -> step {
    const auto wrong = [](std::string text) {
        return std::unexpected(fault{refusal_reason::usage, std::move(text)});
    };
    if (asked.arguments_ != nullptr) {
        for (const json::value& value : asked.arguments_->children()) {
            const argument* known = declared(found, value.key());
            if (known == nullptr) {
                return wrong(fmt::format(
                    "unknown argument \"{}\" of \"{}\"", shown(value.key()), found.name));
            }
            if (!is_of(known->kind, value) || !is_within(*known, value)) {
                return wrong(
                    fmt::format("argument \"{}\": expected {}", known->name, expected(*known)));
            }
        }
    }
    for (const argument& known : found.arguments) {
        if (known.required && !asked.has(known.name)) {
            return wrong(fmt::format("\"{}\" needs the argument \"{}\"", found.name, known.name));
        }
    }
    return {};
}

} // namespace ebbgate::admin
