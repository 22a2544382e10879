#include "config/password_hash.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <system_error>

namespace ebbgate::config {

namespace {

constexpr std::string_view prefixes[] = {
    "$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$6$", "$5$"};
constexpr std::size_t hash_bytes_min = 20;
constexpr std::size_t hash_bytes_max = 384; // CRYPT_OUTPUT_SIZE of crypt(3), with its NUL.

// What a check may cost at most, in the units of the method: some seconds of a core, not hours.
constexpr std::uint32_t sha_rounds_max = 1'000'000;
constexpr int bcrypt_cost_max = 15;
constexpr std::string_view digits_64 =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t memory_cost_max = 17; // log2 of the blocks, give or take one.

bool is_affordable(std::string_view hash, std::string_view method) noexcept {
    std::string_view rest = hash.substr(method.size());
    if (method == "$5$" || method == "$6$") {
        constexpr std::string_view key = "rounds=";
        std::uint32_t rounds = 0;
        if (!rest.starts_with(key)) {
            return true;
        }
        rest.remove_prefix(key.size());
        const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), rounds);
        return read.ec == std::errc{} && rounds <= sha_rounds_max;
    }
    if (method.starts_with("$2")) {
        rest = rest.substr(0, 2);
        int cost = 0;
        const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), cost);
        return read.ec == std::errc{} && cost <= bcrypt_cost_max;
    }
    // yescrypt has a letter for its flavour before the cost; scrypt has not.
    const std::size_t at = method == "$7$" ? 0 : 1;
    const std::size_t cost = rest.size() > at ? digits_64.find(rest[at]) : std::string_view::npos;
    return cost != std::string_view::npos && cost <= memory_cost_max;
}

} // namespace

std::string_view hash_method(std::string_view hash) noexcept {
    const auto found =
        std::find_if(std::begin(prefixes), std::end(prefixes), [hash](std::string_view prefix) {
            return hash.starts_with(prefix);
        });
    return found == std::end(prefixes) ? std::string_view() : *found;
}

bool is_password_hash(std::string_view text) noexcept {
    const auto allowed = [](char c) {
        return c > ' ' && c < 0x7f && std::string_view(":;*!\\").find(c) == std::string_view::npos;
    };
    const std::string_view method = hash_method(text);
    return !method.empty() && is_affordable(text, method) && text.size() >= hash_bytes_min &&
           text.size() < hash_bytes_max && std::all_of(text.begin(), text.end(), allowed);
}

} // namespace ebbgate::config
