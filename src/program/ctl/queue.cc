// status, queue, message, flush, release, bounce, suspend, resume.

#include "program/ctl/gateway.h"
#include "program/ctl/output.h"

#include <fmt/format.h>

#include <array>
#include <memory>

namespace ebbgate::ctl {

namespace {

constexpr std::array<const char*, 10> age_titles = {
    "<5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"};

struct options {
    std::string id;
    std::string domain;
    std::string tenant;
    std::string reason;
    std::string duration;
    std::int64_t rows = 0;
    std::int64_t after = 0;
    bool held = false;
    bool ages = false;
    bool all = false;
    bool quiet = false;
    bool headers = false;

    void add_to(request& asked) const {
        asked.text("id", id).text("domain", domain).text("tenant", tenant);
    }
};

// "90s", "5m", "3h", "2d": a column of ages is read by its order of magnitude.
std::string age_text(std::int64_t seconds) {
    if (seconds < 120) {
        return fmt::format("{}s", seconds);
    }
    if (seconds < 2 * 3600) {
        return fmt::format("{}m", seconds / 60);
    }
    return seconds < 2 * 86'400 ? fmt::format("{}h", seconds / 3600)
                                : fmt::format("{}d", seconds / 86'400);
}

std::string cell(const json::value& of, std::string_view member) {
    const json::value* found = of.find(member);
    return found == nullptr ? std::string("-") : text_of(*found);
}

std::int64_t number(const json::value& of, std::string_view member) {
    const json::value* found = of.find(member);
    return found == nullptr ? 0 : found->integer();
}

// The latest of the times at which it may go on.
std::int64_t until_of(const json::value& lane) {
    return std::max({number(lane, "suspended_until"),
                     number(lane, "backed_off_until"),
                     number(lane, "paused_until")});
}

void show_lanes(const json::value& root) {
    std::vector<std::vector<std::string>> rows = {
        {"LANE", "READY", "DEFERRED", "ACTIVE", "CONN", "OLDEST", "STATE", "UNTIL", "FAULT"}};
    const auto add = [&rows](const json::value& lane) {
        rows.push_back({cell(lane, "lane"),
                        cell(lane, "ready"),
                        cell(lane, "deferred"),
                        cell(lane, "in_flight"),
                        cell(lane, "connections"),
                        age_text(number(lane, "oldest_seconds")),
                        cell(lane, "state"),
                        time_text(until_of(lane)),
                        cell(lane, "fault")});
    };
    for (const json::value& lane : root.find("lanes")->children()) {
        add(lane);
    }
    add(*root.find("total"));
    for (std::size_t at = 6; at < 9; ++at) {
        rows.back()[at].clear();
    }
    print_table(rows);
    if (const std::int64_t more = number(root, "more_lanes"); more > 0) {
        fmt::print("and {} more lanes: --rows N\n", more);
    }
    if (const std::int64_t held = number(root, "held"); held > 0) {
        fmt::print("held: {}: queue list --held\n", held);
    }
}

void show_ages(const json::value& root) {
    std::vector<std::vector<std::string>> rows = {{"LANE", "TOTAL"}};
    rows.front().insert(rows.front().end(), age_titles.begin(), age_titles.end());
    const auto add = [&rows](std::string name, const json::value& ages) {
        std::vector<std::string> row = {std::move(name), ""};
        std::int64_t total = 0;
        for (const json::value& one : ages.children()) {
            total += one.integer();
            row.push_back(text_of(one));
        }
        row[1] = std::to_string(total);
        rows.push_back(std::move(row));
    };
    add("total", *root.find("total")->find("ages"));
    add("held", *root.find("held_ages"));
    for (const json::value& lane : root.find("lanes")->children()) {
        add(cell(lane, "lane"), *lane.find("ages"));
    }
    print_table(rows);
}

void show_messages(const json::value& root) {
    std::vector<std::vector<std::string>> rows = {
        {"ID", "AGE", "STATE", "TRIES", "NEXT", "RCPTS", "TENANT", "CLASS", "LANE", "LAST REPLY"}};
    for (const json::value& one : root.find("messages")->children()) {
        rows.push_back({cell(one, "id"),
                        age_text(number(one, "age_seconds")),
                        cell(one, "state"),
                        cell(one, "attempts"),
                        time_text(number(one, "next_try")),
                        cell(one, "recipients"),
                        cell(one, "tenant"),
                        cell(one, "class"),
                        cell(one, "lane"),
                        cell(one, "last_reply")});
    }
    print_table(rows);
    if (const std::int64_t next = number(root, "next"); next != 0) {
        fmt::print("more: --after {}\n", next);
    }
}

void show_message(const json::value& root) {
    for (const char* name : {"id", "sender", "tenant", "account", "client", "helo", "bytes"}) {
        fmt::print("{:<10} {}\n", name, cell(root, name));
    }
    fmt::print("{:<10} {}\n", "received", time_text(number(root, "received")));
    const json::value* recipients = root.find("recipients");
    std::size_t shown = 0;
    for (const json::value& one : recipients->children()) {
        ++shown;
        fmt::print("\n{}: {}\n", cell(one, "recipient"), cell(one, "why"));
        for (const char* name :
             {"destination", "attempts", "last_reply", "lane", "destination_fault"}) {
            if (one.find(name) != nullptr) {
                fmt::print("    {:<18} {}\n", name, cell(one, name));
            }
        }
        for (const char* name : {"next_try", "lane_until"}) {
            if (one.find(name) != nullptr) {
                fmt::print("    {:<18} {}\n", name, time_text(number(one, name)));
            }
        }
    }
    const std::int64_t total = number(root, "recipients_total");
    fmt::print("\n{} of {} recipients wait here\n", shown, total);
    if (const json::value* header = root.find("header")) {
        fmt::print("\n");
        std::string text(header->text());
        std::erase(text, '\r');
        fmt::print("{}\n", printable_lines(text));
    }
}

void add_queue(CLI::App& app, context& context, const std::shared_ptr<options>& given) {
    CLI::App* queue = add_leaf(app, context, "queue", "what waits, by lane, the largest first");
    CLI::App* list = add_leaf(*queue, context, "list", "the messages one by one, a page at a time");
    for (CLI::App* one : {queue, list}) {
        one->add_option("--domain", given->domain, "of recipients, or a lane's destination");
        one->add_option("--tenant", given->tenant, "whose mail");
        one->add_option("--rows", given->rows, "at most so many lines")->check(CLI::Range(1, 1000));
    }
    queue->add_flag("--ages", given->ages, "how old it is, in minutes, by lane");
    queue->add_flag("--held", given->held, "the messages that are held, one by one");
    list->add_flag("--held", given->held, "only what is held");
    list->add_option("--after", given->after, "where the page before ended");
    const auto show_list = [&context, given] {
        request asked("queue list");
        given->add_to(asked);
        asked.flag("held", given->held);
        if (given->rows != 0) {
            asked.number("rows", given->rows);
        }
        if (given->after != 0) {
            asked.number("after", given->after);
        }
        ask_with(context, asked, show_messages);
    };
    list->callback(show_list);
    queue->callback([&context, given, queue, show_list] {
        if (!queue->get_subcommands().empty()) {
            return; // It has been shown.
        }
        if (given->held) {
            return show_list();
        }
        request asked("queue");
        given->add_to(asked);
        asked.flag("ages", given->ages);
        if (given->rows != 0) {
            asked.number("rows", given->rows);
        }
        ask_with(context, asked, given->ages ? show_ages : show_lanes);
    });
    CLI::App* message = add_leaf(app, context, "message", "one message that waits");
    message->add_option("id", given->id, "its id")->required();
    message->add_flag("--headers", given->headers, "and its header, at most 64 KiB");
    message->callback([&context, given] {
        request asked("message");
        asked.text("id", given->id).flag("headers", given->headers);
        ask_with(context, asked, show_message);
    });
}

void add_bounce(CLI::App& app, context& context, const std::shared_ptr<options>& given) {
    CLI::App* bounce = add_leaf(app, context, "bounce", "ends mail that waits, as undeliverable");
    bounce->add_option("id", given->id, "one message");
    bounce->add_option("--domain", given->domain, "of recipients, or a lane's destination");
    bounce->add_option("--tenant", given->tenant, "whose mail");
    bounce->add_flag("--all", given->all, "everything");
    bounce->add_option("--reason", given->reason, "for the sender and the log")->required();
    bounce->add_flag("--quiet", given->quiet, "no bounce message is sent");
    bounce->callback([&context, given] {
        request asked("bounce");
        given->add_to(asked);
        asked.flag("all", given->all).text("reason", given->reason).flag("quiet", given->quiet);
        ask_and_show(context, asked);
    });
}

void add_suspend(CLI::App& app, context& context, const std::shared_ptr<options>& given) {
    CLI::App* suspend = add_leaf(app, context, "suspend", "mail waits, for a while");
    CLI::App* resume = add_leaf(app, context, "resume", "it waits no longer");
    CLI::App* list = add_leaf(*suspend, context, "list", "what is suspended");
    for (CLI::App* one : {suspend, resume}) {
        one->add_option("--domain", given->domain, "of recipients, or a lane's destination");
        one->add_option("--tenant", given->tenant, "whose mail");
    }
    suspend->add_option("--duration", given->duration, "such as 1h; 5m unless given");
    suspend->add_option("--reason", given->reason, "for who looks at the queue");
    resume->add_flag("--all", given->all, "everything");
    suspend->callback([&context, given, suspend] {
        if (!suspend->get_subcommands().empty()) {
            return; // `suspend list`
        }
        if (given->reason.empty()) {
            throw CLI::RequiredError("--reason");
        }
        request asked("suspend");
        given->add_to(asked);
        asked.text("reason", given->reason).text("duration", given->duration);
        ask_with(context, asked, [](const json::value& root) {
            fmt::print("suspended until {}\n", time_text(number(root, "until")));
        });
    });
    resume->callback([&context, given] {
        request asked("resume");
        given->add_to(asked);
        asked.flag("all", given->all);
        ask_for_change(context, asked);
    });
    list->callback([&context] {
        ask_for_list(context,
                     "suspend list",
                     "suspended",
                     {{"domain", "DOMAIN"},
                      {"tenant", "TENANT"},
                      {"until", "UNTIL", form::unix_s},
                      {"created", "SINCE", form::unix_s},
                      {"reason", "REASON"}},
                     [](request&) {});
    });
}

} // namespace

void add_queue_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* status = add_leaf(app, context, "status", "ports, sessions, queue, spool, ring");
    CLI::App* flush = add_leaf(app, context, "flush", "try deferred messages now");
    CLI::App* release = add_leaf(app, context, "release", "let held messages go");
    flush->add_option("id", given->id, "one message; without it and the options, all");
    flush->add_option("--domain", given->domain, "of recipients, or a lane's destination");
    flush->add_option("--tenant", given->tenant, "whose mail");
    release->add_option("id", given->id, "one message; without it, all");
    for (CLI::App* one : {status, flush, release}) {
        one->callback([&context, given, name = one->get_name()] {
            request asked(name);
            given->add_to(asked); // Empty but for those that take it.
            ask_and_show(context, asked);
        });
    }
    add_queue(app, context, given);
    add_bounce(app, context, given);
    add_suspend(app, context, given);
}

} // namespace ebbgate::ctl
