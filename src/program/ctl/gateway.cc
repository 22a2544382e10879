#include "program/ctl/gateway.h"

#include "codec/json/document.h"
#include "program/ctl/output.h"
#include "program/ctl/secret.h"
#include "service/admin/admin_socket.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace ebbgate::ctl {

namespace {

// Whether the answer is good; else the exit code is set.
bool judge(context& context, const json::value& answer) {
    const json::value* ok = answer.find("ok");
    if (ok == nullptr || ok->boolean()) { // `status` has none.
        return true;
    }
    const json::value* reason = answer.find("reason");
    const bool usage = reason != nullptr && reason->text() == "usage";
    context.exit_code = usage ? exit_usage : exit_refused;
    return false;
}

void show_refusal(const json::value& answer) {
    const json::value* error = answer.find("error");
    const std::string_view text = error == nullptr ? "the gateway refused" : error->text();
    // Faults come one a line, and look as `check` shows them.
    const bool is_list = text.find('\n') != std::string_view::npos;
    fmt::print(stderr, "{}{}\n", is_list ? "" : "ebbgatectl: ", printable_lines(text));
}

void show_change(const json::value& root) {
    const json::value* changed = root.find("changed");
    const json::value* in_force = root.find("in_force");
    const json::value* why = root.find("why");
    if (changed != nullptr && !changed->boolean()) {
        fmt::print("nothing to change\n");
    } else if (in_force != nullptr && !in_force->boolean()) {
        fmt::print("stored, not in force yet{}\n",
                   why == nullptr ? std::string() : ":\n" + printable_lines(why->text()));
    } else {
        fmt::print("done\n");
    }
}

} // namespace

request::request(std::string_view command) : out_(text_) {
    out_.begin_object().member("command", command);
    out_.key("arguments").begin_object();
}

request& request::text(std::string_view name, std::string_view value) {
    if (!value.empty()) {
        out_.member(name, value);
    }
    return *this;
}

request& request::number(std::string_view name, std::int64_t value) {
    out_.member(name, value);
    return *this;
}

request& request::flag(std::string_view name, bool value) {
    if (value) {
        out_.member(name, true);
    }
    return *this;
}

request& request::token(std::string value) {
    token_ = std::move(value);
    return *this;
}

std::string request::line() {
    out_.end_object();
    if (!token_.empty()) {
        out_.member("token", token_);
    }
    out_.end_object();
    return std::move(text_);
}

std::optional<std::string> ask(context& context, const std::string& line) {
    auto answer = admin::ask(context.socket, line);
    if (!answer) {
        complain(context, exit_unreachable, answer.error().detail);
        return std::nullopt;
    }
    const auto parsed = json::document::parse(*answer);
    if (!parsed) {
        complain(context, exit_unreachable, "the answer is no JSON: " + parsed.error().message);
        return std::nullopt;
    }
    if (!judge(context, parsed->root())) {
        if (context.as_json) {
            fmt::print("{}\n", *answer);
        } else {
            show_refusal(parsed->root());
        }
        return std::nullopt;
    }
    return std::move(*answer);
}

void ask_with(context& context,
              request& asked,
              const std::function<void(const json::value& root)>& show) {
    const auto answer = ask(context, asked.line());
    if (!answer) {
        return;
    }
    const auto parsed = json::document::parse(*answer);
    if (context.as_json || !parsed) {
        fmt::print("{}\n", *answer);
    } else {
        show(parsed->root());
    }
}

void ask_and_show(context& context, request& asked) {
    ask_with(context, asked, [](const json::value& root) { print_tree(root, ""); });
}

void ask_for_change(context& context, request& asked) {
    ask_with(context, asked, show_change);
}

void ask_for_list(context& context,
                  std::string_view command,
                  std::string_view list,
                  const std::vector<column>& columns,
                  const std::function<void(request&)>& prepare) {
    std::vector<std::vector<std::string>> rows(1);
    for (const column& one : columns) {
        rows.front().emplace_back(one.title);
    }
    std::string whole;
    json::writer out(whole);
    out.begin_object().key("ok").boolean(true).key(list).begin_array();
    // A number, or for links a text.
    std::int64_t after = 0;
    std::string after_text;
    do {
        request asked(command);
        prepare(asked);
        if (after != 0) {
            asked.number("after", after);
        }
        asked.text("after", after_text);
        const auto answer = ask(context, asked.line());
        if (!answer) {
            return;
        }
        const auto parsed = json::document::parse(*answer);
        const json::value* page = parsed ? parsed->root().find(list) : nullptr;
        if (page == nullptr) {
            return complain(context, exit_unreachable, "the answer has no list");
        }
        for (const json::value& item : page->children()) {
            if (context.as_json) {
                copy(item, out);
                continue;
            }
            auto& row = rows.emplace_back();
            for (const column& one : columns) {
                const json::value* cell = item.find(one.member);
                row.push_back(cell == nullptr             ? std::string("-")
                              : one.form == form::unix_s  ? time_text(cell->integer())
                              : one.form == form::unix_ms ? time_text(cell->integer() / 1000)
                                                          : text_of(*cell));
            }
        }
        const json::value* next = parsed->root().find("next");
        const std::int64_t before = std::exchange(after, next == nullptr ? 0 : next->integer());
        const std::string text_before =
            std::exchange(after_text, std::string(next == nullptr ? "" : next->text()));
        if (after == before && after_text == text_before) {
            break; // A gateway that does not move on must not hold us here.
        }
    } while (after != 0 || !after_text.empty());
    out.end_array().end_object();
    if (context.as_json) {
        fmt::print("{}\n", whole);
    } else {
        print_table(rows);
    }
}

void asker::add_options(CLI::App& command, const char* tenant_help) {
    command.add_option("--tenant", tenant, tenant_help);
    command.add_option("--token-file", token_file, "a tenant's token, its first line");
}

bool asker::read_token(context& context) {
    if (token_file.empty()) {
        return true;
    }
    auto read = read_token_file(token_file);
    if (!read) {
        complain(context, exit_usage, read.error());
        return false;
    }
    token = std::move(*read);
    return true;
}

void asker::add_to(request& asked) const {
    asked.text("tenant", tenant).token(token);
}

} // namespace ebbgate::ctl
