#include "service/tls_report/session_counters.h"

#include <charconv>
#include <functional>
#include <utility>

namespace ebbgate::tls_report {

namespace {

constexpr std::int64_t seconds_a_day = 86'400;

constexpr const char* schema =
    "CREATE TABLE IF NOT EXISTS sessions ("
    " day INTEGER NOT NULL, domain TEXT NOT NULL, policy TEXT NOT NULL, result TEXT NOT NULL,"
    " sending_ip TEXT NOT NULL, mx_host TEXT NOT NULL, sessions INTEGER NOT NULL,"
    " PRIMARY KEY (day, domain, policy, result, sending_ip, mx_host)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS policies ("
    " day INTEGER NOT NULL, domain TEXT NOT NULL, policy TEXT NOT NULL, lines TEXT NOT NULL,"
    " mx_hosts TEXT NOT NULL, PRIMARY KEY (day, domain, policy)) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

std::string joined(const std::vector<std::string>& texts, char between) {
    std::string all;
    for (const std::string& text : texts) {
        all += text;
        all += between;
    }
    return all;
}

// Each text ends with `end`.
std::vector<std::string> split(std::string_view all, char end) {
    std::vector<std::string> texts;
    for (std::size_t at = all.find(end); at != std::string_view::npos; at = all.find(end)) {
        texts.emplace_back(all.substr(0, at));
        all.remove_prefix(at + 1);
    }
    return texts;
}

std::int64_t number_of(const std::string& text) {
    std::int64_t value = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string without_controls(std::string text) {
    std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; });
    return text;
}

std::string key_of(std::int64_t day, const std::string& domain, policy_type type) {
    return joined({std::to_string(day), without_controls(domain), to_text(type)}, '\0');
}

} // namespace

session_counters::session_counters(store::database database, statements statements)
    : database_(std::move(database)), statements_(std::move(statements)) {}

result<std::unique_ptr<session_counters>> session_counters::open(const std::string& path) {
    auto database = store::database::open(path);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    if (auto made = database->execute(schema); !made) {
        return std::unexpected(std::move(made.error()));
    }
    auto count =
        database->prepare("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)"
                          " ON CONFLICT DO UPDATE SET sessions = sessions + excluded.sessions");
    auto policy = database->prepare("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?)");
    auto forget_counts = database->prepare("DELETE FROM sessions WHERE day < ?");
    auto forget_policies = database->prepare("DELETE FROM policies WHERE day < ?");
    for (auto* prepared : {&count, &policy, &forget_counts, &forget_policies}) {
        if (!*prepared) {
            return std::unexpected(std::move(prepared->error()));
        }
    }
    return std::unique_ptr<session_counters>(new session_counters(std::move(*database),
                                                                  {std::move(*count),
                                                                   std::move(*policy),
                                                                   std::move(*forget_counts),
                                                                   std::move(*forget_policies)}));
}

session_counters::part& session_counters::part_of(const std::string& key) {
    return parts_[std::hash<std::string>{}(key) % shards_count];
}

void session_counters::add(const session& session, std::int64_t unix_s) {
    const std::string key = key_of(unix_s / seconds_a_day, session.domain, session.policy_type) +
                            joined({to_text(session.result),
                                    without_controls(session.sending_ip),
                                    without_controls(session.mx_host)},
                                   '\0');
    part& where = part_of(key);
    const std::lock_guard held(where.lock);
    if (const auto known = where.counts.find(key); known != where.counts.end()) {
        ++known->second;
    } else if (waiting_.fetch_add(1) < waiting_max) {
        where.counts.emplace(key, 1);
    } else {
        --waiting_;
        ++lost_;
    }
}

void session_counters::set_policy(const std::string& domain,
                                  const policy_text& policy,
                                  std::int64_t unix_s) {
    const std::string key = key_of(unix_s / seconds_a_day, domain, policy.policy_type);
    std::vector<std::string> lines;
    for (const std::string& line : policy.lines) {
        lines.push_back(without_controls(line));
    }
    std::vector<std::string> hosts;
    for (const std::string& host : policy.mx_hosts) {
        hosts.push_back(without_controls(host));
    }
    std::string value = joined({joined(lines, '\n'), joined(hosts, '\n')}, '\0');
    part& where = part_of(key);
    const std::lock_guard held(where.lock);
    if (const auto known = where.policies.find(key); known != where.policies.end()) {
        known->second = std::move(value);
    } else if (waiting_.fetch_add(1) < waiting_max) {
        where.policies.emplace(key, std::move(value));
    } else {
        --waiting_; // A report without its text.
    }
}

result<void> session_counters::flush(std::int64_t unix_s) {
    part taken;
    for (part& each : parts_) {
        const std::lock_guard held(each.lock);
        waiting_ -= each.counts.size() + each.policies.size();
        taken.counts.merge(each.counts); // A key is in one part only.
        taken.policies.merge(each.policies);
    }
    auto done = write(taken, unix_s / seconds_a_day);
    if (!done) {
        give_back(taken);
    }
    return done;
}

void session_counters::give_back(part& taken) {
    for (const auto& [key, sessions] : taken.counts) {
        part& where = part_of(key);
        const std::lock_guard held(where.lock);
        std::uint64_t& count = where.counts[key];
        waiting_ += count == 0 ? 1 : 0;
        count += sessions;
    }
    for (const auto& [key, text] : taken.policies) {
        part& where = part_of(key);
        const std::lock_guard held(where.lock);
        waiting_ += where.policies.emplace(key, text).second ? 1 : 0; // A newer one stays.
    }
}

result<void> session_counters::write(const part& taken, std::int64_t day) {
    auto all = store::transaction::begin(database_);
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    for (const auto& [key, sessions] : taken.counts) {
        const std::vector<std::string> fields = split(key, '\0');
        store::statement& put = statements_.count;
        put.bind(1, number_of(fields[0]));
        for (int at = 1; at < 6; ++at) {
            put.bind(at + 1, std::string_view(fields[static_cast<std::size_t>(at)]));
        }
        put.bind(7, static_cast<std::int64_t>(sessions));
        if (auto done = put.run(); !done) {
            return done;
        }
    }
    for (const auto& [key, text] : taken.policies) {
        const std::vector<std::string> fields = split(key, '\0');
        const std::vector<std::string> texts = split(text, '\0');
        auto done = statements_.policy.bind(1, number_of(fields[0]))
                        .bind(2, std::string_view(fields[1]))
                        .bind(3, std::string_view(fields[2]))
                        .bind(4, std::string_view(texts[0]))
                        .bind(5, std::string_view(texts[1]))
                        .run();
        if (!done) {
            return done;
        }
    }
    for (store::statement* forget : {&statements_.forget_counts, &statements_.forget_policies}) {
        if (auto done = forget->bind(1, day - days_kept + 1).run(); !done) {
            return done;
        }
    }
    return all->commit();
}

result<std::vector<std::string>> session_counters::domains(std::int64_t day) {
    auto query =
        database_.prepare("SELECT DISTINCT domain FROM sessions WHERE day = ? ORDER BY domain");
    if (!query) {
        return std::unexpected(std::move(query.error()));
    }
    query->bind(1, day);
    std::vector<std::string> names;
    auto read =
        query->each([&names](const store::statement& row) { names.emplace_back(row.text(0)); });
    if (!read) {
        return std::unexpected(std::move(read.error()));
    }
    return names;
}

result<std::string> session_counters::report(const report_head& head) {
    std::vector<session_count> counts;
    std::vector<policy_text> policies;
    auto rows =
        database_.prepare("SELECT policy, result, sending_ip, mx_host, sessions FROM sessions"
                          " WHERE day = ? AND domain = ?");
    auto texts = database_.prepare(
        "SELECT policy, lines, mx_hosts FROM policies WHERE day = ? AND domain = ?");
    for (auto* query : {&rows, &texts}) {
        if (!*query) {
            return std::unexpected(std::move(query->error()));
        }
        (*query)->bind(1, head.day).bind(2, std::string_view(head.domain));
        auto read = (*query)->each([&](const store::statement& at) {
            const auto type = parse_policy_type(at.text(0));
            const auto result = query == &rows ? parse_result_type(at.text(1)) : std::nullopt;
            if (type && result) {
                counts.push_back({*type,
                                  *result,
                                  std::string(at.text(2)),
                                  std::string(at.text(3)),
                                  static_cast<std::uint64_t>(at.number(4))});
            } else if (type && query == &texts) {
                policies.push_back({*type, split(at.text(1), '\n'), split(at.text(2), '\n')});
            }
        });
        if (!read) {
            return std::unexpected(std::move(read.error()));
        }
    }
    return write_report(head, counts, policies);
}

} // namespace ebbgate::tls_report
