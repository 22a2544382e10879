#include "config/reader.h"

#include "config/units.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <vector>

namespace ebbgate::config {

namespace {

// At most `bytes_max` of it, without half a character at the end.
std::string_view clipped(std::string_view text, std::size_t bytes_max) {
    if (text.size() <= bytes_max) {
        return text;
    }
    std::size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) {
        --end;
    }
    return text.substr(0, end);
}

// Levenshtein distance in which two swapped neighbours count as one mistake.
std::size_t distance(std::string_view left, std::string_view right) {
    std::vector<std::vector<std::size_t>> cost(left.size() + 1,
                                               std::vector<std::size_t>(right.size() + 1));
    for (std::size_t i = 0; i <= left.size(); ++i) {
        for (std::size_t j = 0; j <= right.size(); ++j) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            const std::size_t change = left[i - 1] == right[j - 1] ? 0 : 1;
            cost[i][j] =
                std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + change});
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
                cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
            }
        }
    }
    return cost[left.size()][right.size()];
}

class closed_at_end {
public:
    explicit closed_at_end(int fd) : fd_(fd) {}

    closed_at_end(const closed_at_end&) = delete;
    closed_at_end& operator=(const closed_at_end&) = delete;

    ~closed_at_end() { ::close(fd_); }

private:
    int fd_;
};

} // namespace

std::string shown(const json::value& at) {
    constexpr std::size_t shown_max = 60;
    switch (at.kind()) {
    case json::kind::string:
        return fmt::format(
            "\"{}{}\"", clipped(at.text(), shown_max), at.text().size() > shown_max ? "..." : "");
    case json::kind::integer:
        return std::to_string(at.integer());
    case json::kind::real:
        return fmt::format("{}", at.real());
    case json::kind::boolean:
        return at.boolean() ? "true" : "false";
    case json::kind::null:
    case json::kind::array:
    case json::kind::object:
        break;
    }
    return std::string(json::name_of(at.kind()));
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> names) {
    constexpr std::size_t name_bytes_max = 64;
    std::string_view best;
    // A third of the letters may differ: "hostnam", "listners", but not any short word.
    std::size_t best_distance = std::max<std::size_t>(name.size() / 3, 1) + 1;
    if (name.size() > name_bytes_max) {
        return best;
    }
    for (const std::string_view candidate : names) {
        const std::size_t found = distance(name, candidate);
        if (found < best_distance) {
            best = candidate;
            best_distance = found;
        }
    }
    return best;
}

void reader::add_fault(const json::value& at, std::string message) {
    if (faults_.size() >= faults_max) {
        return;
    }
    // In the order of the text, which is not always the order of the checks.
    const auto place = std::upper_bound(
        faults_.begin(), faults_.end(), at.line(), [](std::uint32_t line, const fault& found) {
            return line < found.line;
        });
    faults_.insert(place, {file_, at.line(), at.pointer(), std::move(message)});
}

void reader::add_fault(const json::parse_fault& fault) {
    faults_.push_back({file_, fault.line, fault.pointer, fault.message});
}

faults reader::take_faults() {
    return std::move(faults_);
}

bool reader::object(const json::value& at, std::span<const known_key> keys) {
    if (!at.is_object()) {
        add_fault(at, fmt::format("expected an object, found {}", shown(at)));
        return false;
    }
    for (const json::value& member : at.children()) {
        if (full()) {
            return false;
        }
        const auto known = std::find_if(keys.begin(), keys.end(), [&](const known_key& key) {
            return key.name == member.key();
        });
        if (known != keys.end()) {
            if (!known->built) {
                add_fault(member, std::string(not_built));
            }
            continue;
        }
        std::vector<std::string_view> names;
        for (const known_key& key : keys) {
            names.push_back(key.name);
        }
        const std::string_view meant = nearest(member.key(), names);
        if (meant.empty()) {
            add_fault(member,
                      fmt::format("unknown key; expected one of: {}", fmt::join(names, ", ")));
        } else {
            add_fault(member, fmt::format("unknown key; did you mean \"{}\"?", meant));
        }
    }
    return true;
}

bool reader::array(const json::value& at, std::size_t items_max) {
    if (!at.is_array()) {
        add_fault(at, fmt::format("expected an array, found {}", shown(at)));
        return false;
    }
    if (at.children().size() > items_max) {
        add_fault(at,
                  fmt::format("{} items; expected at most {}", at.children().size(), items_max));
        return false;
    }
    return true;
}

const json::value*
reader::required(const json::value& object, std::string_view key, std::string_view expected) {
    const json::value* found = object.find(key);
    if (found == nullptr) {
        add_fault(object, fmt::format("\"{}\" is missing; expected {}", key, expected));
    }
    return found;
}

std::optional<std::string_view> reader::string(const json::value& at, std::string_view expected) {
    if (!at.is_string() || at.text().empty()) {
        add_fault(at, fmt::format("expected {}, found {}", expected, shown(at)));
        return std::nullopt;
    }
    if (at.text().find('\0') != std::string_view::npos) {
        add_fault(at, fmt::format("contains a NUL character; expected {}", expected));
        return std::nullopt;
    }
    return at.text();
}

std::optional<std::int64_t>
reader::whole_number(const json::value& at, std::int64_t min, std::int64_t max) {
    if (!at.is(json::kind::integer) || at.integer() < min || at.integer() > max) {
        add_fault(
            at,
            fmt::format("expected a whole number from {} to {}, found {}", min, max, shown(at)));
        return std::nullopt;
    }
    return at.integer();
}

std::optional<double> reader::real_number(const json::value& at, double min, double max) {
    if (!at.is_number() || !(at.real() >= min && at.real() <= max)) {
        add_fault(at,
                  fmt::format("expected a number from {} to {}, found {}", min, max, shown(at)));
        return std::nullopt;
    }
    return at.real();
}

std::optional<std::uint64_t>
reader::size_bytes(const json::value& at, std::uint64_t min, std::uint64_t max) {
    std::optional<std::uint64_t> size;
    if (at.is_string()) {
        size = parse_size_bytes(at.text());
    } else if (at.is(json::kind::integer) && at.integer() >= 0) {
        size = static_cast<std::uint64_t>(at.integer());
    }
    if (!size) {
        add_fault(at,
                  fmt::format("expected a size such as \"25MB\" (KB MB GB KiB MiB GiB), found {}",
                              shown(at)));
        return std::nullopt;
    }
    if (*size < min || *size > max) {
        add_fault(
            at, fmt::format("expected a size from {} to {} bytes, found {}", min, max, shown(at)));
        return std::nullopt;
    }
    return size;
}

std::optional<std::chrono::seconds>
reader::duration(const json::value& at, std::chrono::seconds min, std::chrono::seconds max) {
    const auto duration = at.is_string() ? parse_duration(at.text()) : std::nullopt;
    if (!duration) {
        add_fault(
            at,
            fmt::format("expected a duration such as \"10m\" (s m h d, days, months), found {}",
                        shown(at)));
        return std::nullopt;
    }
    if (*duration < min || *duration > max) {
        add_fault(at,
                  fmt::format("expected a duration from {} to {} seconds, found {}",
                              min.count(),
                              max.count(),
                              shown(at)));
        return std::nullopt;
    }
    return duration;
}

std::optional<int> reader::choice(const json::value& at, std::span<const named_value> values) {
    std::vector<std::string> names;
    for (const named_value& value : values) {
        if (at.is_string() && at.text() == value.name) {
            if (value.value == not_built_value) {
                add_fault(at, fmt::format("\"{}\" is {}", value.name, not_built));
                return std::nullopt;
            }
            return value.value;
        }
        if (value.value != not_built_value) {
            names.push_back(fmt::format("\"{}\"", value.name));
        }
    }
    add_fault(at, fmt::format("expected {}, found {}", fmt::join(names, " or "), shown(at)));
    return std::nullopt;
}

void reader::set(const json::value& object,
                 std::string_view key,
                 std::uint32_t& into,
                 std::uint32_t min,
                 std::uint32_t max) {
    if (const json::value* at = object.find(key)) {
        if (const auto number = whole_number(*at, min, max)) {
            into = static_cast<std::uint32_t>(*number);
        }
    }
}

void reader::set_size(const json::value& object,
                      std::string_view key,
                      std::uint64_t& into,
                      std::uint64_t min,
                      std::uint64_t max) {
    if (const json::value* at = object.find(key)) {
        into = size_bytes(*at, min, max).value_or(into);
    }
}

void reader::set_duration(const json::value& object,
                          std::string_view key,
                          std::chrono::seconds& into,
                          std::chrono::seconds min,
                          std::chrono::seconds max) {
    if (const json::value* at = object.find(key)) {
        into = duration(*at, min, max).value_or(into);
    }
}

std::expected<std::string, faults> read_file(const std::string& path) {
    const auto refuse = [&path](std::string why) {
        return std::unexpected(faults{{path, 0, "", std::move(why)}});
    };
    const auto unreadable = [&refuse](int cause) {
        return refuse(fmt::format("cannot be read: {}", std::strerror(cause)));
    };
    // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return unreadable(errno);
    }
    const closed_at_end closes(fd);
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
        return unreadable(errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return refuse("expected a regular file");
    }
    std::string text;
    std::size_t used = 0;
    const auto expected_bytes = static_cast<std::uint64_t>(status.st_size);
    // One byte more than it says, to see the end; a file that grows is read on, up to the bound.
    const std::size_t first_bytes = std::min<std::uint64_t>(expected_bytes, file_bytes_max) + 1;
    text.reserve(first_bytes + json::document::padding_bytes);
    text.resize(first_bytes);
    for (;;) {
        const ssize_t got = ::read(fd, text.data() + used, text.size() - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return unreadable(errno);
        }
        used += static_cast<std::size_t>(got);
        if (used > file_bytes_max) {
            return refuse(fmt::format("is too large; expected at most {} bytes", file_bytes_max));
        }
        if (got == 0) {
            text.resize(used);
            return text;
        }
        if (used == text.size()) {
            text.resize(std::min(2 * used, file_bytes_max + 1));
        }
    }
}

std::string resolve_path(std::string_view path, const std::string& folder) {
    return (std::filesystem::path(folder) / path).lexically_normal().string();
}

std::string folder_of(const std::string& file) {
    return std::filesystem::absolute(file).lexically_normal().parent_path().string();
}

} // namespace ebbgate::config
