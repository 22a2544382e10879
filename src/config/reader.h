// Reads values out of a JSON tree and collects every fault with its place.
//
// Input   A JSON document, and per object the list of keys that may stand in it.
// Output  Values, or the default when the key is absent or wrong; the faults tell which.
// Owner   One per file being read.
// Fails   Never by itself: the caller asks faults() at the end.
// Bounds  faults_max.

#pragma once

#include "codec/json/document.h"
#include "config/fault.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ebbgate::config {

inline constexpr std::string_view not_built = "not implemented yet";

struct known_key {
    std::string_view name;
    bool built = true; // False: known from the published schema, refused as not_built.
};

struct named_value {
    std::string_view name;
    int value; // not_built_value: known, refused as not_built.
};

inline constexpr int not_built_value = -1;

class reader {
public:
    explicit reader(std::string file) : file_(std::move(file)) {}

    void add_fault(const json::value& at, std::string message);
    void add_fault(const json::parse_fault& fault);

    // Nothing that follows would be told: the caller may stop.
    [[nodiscard]] bool full() const noexcept { return faults_.size() >= faults_max; }

    [[nodiscard]] const faults& found() const noexcept { return faults_; }

    [[nodiscard]] faults take_faults();

    [[nodiscard]] const std::string& file() const noexcept { return file_; }

    // True when it is an object; then every key not in `keys` is a fault.
    bool object(const json::value& at, std::span<const known_key> keys);
    bool array(const json::value& at, std::size_t items_max);
    // The member, or null and a fault at the object.
    const json::value*
    required(const json::value& object, std::string_view key, std::string_view expected);

    std::optional<std::string_view> string(const json::value& at, std::string_view expected);
    std::optional<std::int64_t>
    whole_number(const json::value& at, std::int64_t min, std::int64_t max);
    std::optional<double> real_number(const json::value& at, double min, double max);
    std::optional<std::uint64_t>
    size_bytes(const json::value& at, std::uint64_t min, std::uint64_t max);
    std::optional<std::chrono::seconds>
    duration(const json::value& at, std::chrono::seconds min, std::chrono::seconds max);
    std::optional<int> choice(const json::value& at, std::span<const named_value> values);

    // Each sets `into` when the member is there and right.
    void set(const json::value& object,
             std::string_view key,
             std::uint32_t& into,
             std::uint32_t min,
             std::uint32_t max);
    void set_size(const json::value& object,
                  std::string_view key,
                  std::uint64_t& into,
                  std::uint64_t min,
                  std::uint64_t max);
    void set_duration(const json::value& object,
                      std::string_view key,
                      std::chrono::seconds& into,
                      std::chrono::seconds min,
                      std::chrono::seconds max);

private:
    std::string file_;
    faults faults_;
};

// The nearest of `names` when it is near enough to be what was meant.
[[nodiscard]] std::string_view nearest(std::string_view name,
                                       std::span<const std::string_view> names);

// What the file says, short enough for one line; quotes around a text.
[[nodiscard]] std::string shown(const json::value& at);

// 64 MiB: what the JSON parser takes (json::parse_limits).
inline constexpr std::size_t file_bytes_max = 64 * mib;

// The whole file as text, or a fault without a line. Never waits on a pipe or a device.
[[nodiscard]] std::expected<std::string, faults> read_file(const std::string& path);

// `path` relative to the folder of `file`, without "." and "..".
[[nodiscard]] std::string resolve_path(std::string_view path, const std::string& folder);
[[nodiscard]] std::string folder_of(const std::string& file);

} // namespace ebbgate::config
