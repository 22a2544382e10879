// Asks the running gateway, and shows what it answers.
//
// Fails   With the exit code in the context, and the reason on the error output.
// Bounds  A page at a time from the gateway; a whole list in memory only for --json.

#pragma once

#include "codec/json/document.h"
#include "codec/json/writer.h"
#include "program/ctl/topics.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::ctl {

class request {
public:
    explicit request(std::string_view command);
    request(const request&) = delete; // The writer holds on to the text.
    request& operator=(const request&) = delete;

    // An empty text and a false flag are not sent.
    request& text(std::string_view name, std::string_view value);
    request& number(std::string_view name, std::int64_t value);
    request& flag(std::string_view name, bool value);
    request& token(std::string value);

    // For the import: a member that the caller writes.
    json::writer& member(std::string_view name) { return out_.key(name); }

    // The request's line; asked once.
    [[nodiscard]] std::string line();

private:
    std::string text_;
    json::writer out_;
    std::string token_;
};

// Whose command it is: the operator's for a tenant, or a tenant's own with its token.
struct asker {
    std::string tenant;
    std::string token_file;

    std::string token; // From read_token() on.

    void add_options(CLI::App& command, const char* tenant_help);
    // False: it was said why it cannot be read.
    [[nodiscard]] bool read_token(context& context);
    void add_to(request& asked) const;
};

// What the gateway answered; empty when it refused or was not reached, which is then said.
[[nodiscard]] std::optional<std::string> ask(context& context, const std::string& line);

// Asks and shows the answer: as it is with --json, else by `show`.
void ask_with(context& context,
              request& asked,
              const std::function<void(const json::value& root)>& show);
// Shows it as names and values.
void ask_and_show(context& context, request& asked);
// Asks for a change and says whether it made one and is in force.
void ask_for_change(context& context, request& asked);

enum class form : std::uint8_t { plain, unix_s, unix_ms };

struct column {
    std::string_view member;
    std::string_view title;
    ctl::form form = form::plain;
};

// Asks page after page, and shows a table. `prepare` adds the arguments to each request.
void ask_for_list(context& context,
                  std::string_view command,
                  std::string_view list,
                  const std::vector<column>& columns,
                  const std::function<void(request&)>& prepare);

} // namespace ebbgate::ctl
