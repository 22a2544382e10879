// The commands that a running gateway obeys: a table of names, arguments and who may give them.
//
// Input   One line: {"command": "sender add", "arguments": {"pattern": "@acme.example"},
//         "token": "ebbgate_..."}; or a plain verb, "status" or "release ID".
// Output  A JSON object with "ok"; when false, "reason" (one of refusal_reason) and "error".
// Owner   One thread. A request lives as long as the call that it is handed to.
// Fails   Never: what is wrong with a request is its answer. A handler sees declared arguments
//         only, each present when required, of its kind and within its bound.
// Bounds  The caller bounds the line; nesting and values by parse_limits in the .cc.
//
// Who connects without a token is an operator: the socket's mode says who that can be. A token,
// given by an operator, makes its holder the tenant's administrator and nothing more: only
// commands marked for tenants, and always for the token's own tenant, whatever uid connects.

#pragma once

#include "codec/json/document.h"
#include "service/admin/admin_socket.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::admin {

enum class refusal_reason : std::uint8_t {
    usage,     // Not a command, or its arguments are wrong.
    denied,    // The token does not allow it.
    refused,   // A rule is against it.
    not_found, // What it names is not there.
    failed,    // The system could not: disk, a file with faults.
};

[[nodiscard]] std::string_view name_of(refusal_reason reason) noexcept;

// The answer that says no.
[[nodiscard]] std::string refusal(refusal_reason reason, std::string_view error);

// The answer to a change that is in force; false: it was so already.
[[nodiscard]] std::string change_answer(bool is_changed);

enum class argument_kind : std::uint8_t { text, number, flag, objects };

struct argument {
    std::string_view name; // A literal.
    argument_kind kind = argument_kind::text;
    bool required = true;
    std::size_t size_max = 1024; // Bytes of a text, items of `objects`. Numbers: below 2^53.
};

// What a token's holder is.
struct tenant_administrator {
    std::string tenant;
    std::string token_label;
};

class request {
public:
    request(const request&) = delete; // It points into itself and into the line.
    request& operator=(const request&) = delete;

    [[nodiscard]] std::string_view command() const noexcept { return command_; }

    [[nodiscard]] const peer& from() const noexcept { return from_; }

    // Null: an operator.
    [[nodiscard]] const tenant_administrator* administrator() const noexcept {
        return administrator_ ? &*administrator_ : nullptr;
    }

    [[nodiscard]] bool has(std::string_view name) const noexcept;
    // Empty, 0, false, nothing: when it was not given.
    [[nodiscard]] std::string_view text(std::string_view name) const noexcept;
    [[nodiscard]] std::int64_t number(std::string_view name) const noexcept;
    [[nodiscard]] bool flag(std::string_view name) const noexcept;
    // Each is an object whose members are texts.
    [[nodiscard]] std::span<const json::value> objects(std::string_view name) const noexcept;

private:
    friend class dispatcher;
    request() = default;

    [[nodiscard]] const json::value* find(std::string_view name) const noexcept;

    std::string_view command_;
    peer from_;
    std::optional<tenant_administrator> administrator_;
    const json::value* arguments_ = nullptr;
    // Texts that did not come as JSON: a plain verb's, and the token's tenant.
    std::vector<std::pair<std::string_view, std::string_view>> given_;
};

enum class permission : std::uint8_t { operators, tenants };

struct command {
    std::string_view name; // A literal: "sender add".
    std::vector<argument> arguments;
    // `tenants`: also with a token; then it has an argument "tenant", which is the token's.
    permission who = permission::operators;
    std::function<std::string(const request&)> run; // Returns the answer.
    // May be asked for as a plain verb, whose rest, when there is one, is the first argument.
    bool plain = false;
};

class dispatcher {
public:
    // Whose token it is; empty when it is nobody's, is revoked or has expired.
    using token_check = std::function<std::optional<tenant_administrator>(std::string_view token)>;
    // Told of each command that a good token asked for and may not have.
    using denial_note = std::function<void(const request&)>;

    dispatcher(token_check whose_token, denial_note on_denied);

    // Asserts that the name is new.
    void add(command added);

    [[nodiscard]] std::string answer(std::string_view line, const peer& from) const;

private:
    struct fault {
        refusal_reason reason;
        std::string text;
    };

    using step = std::expected<void, fault>; // Nothing, or why not.

    [[nodiscard]] std::string answer_plain(std::string_view line, const peer& from) const;
    [[nodiscard]] std::string answer_json(std::string_view line, const peer& from) const;
    [[nodiscard]] std::expected<const command*, fault> find(const json::value& root) const;
    [[nodiscard]] step admit(const json::value& root, const command& found, request& into) const;
    [[nodiscard]] static step check_arguments(const command& found, const request& asked);

    std::map<std::string_view, command> commands_;
    token_check whose_token_;
    denial_note on_denied_;
};

} // namespace ebbgate::admin
