// Law: whatever line comes, the answer is one JSON object with "ok"; a handler sees declared
// arguments only, each within its bound; and with a token never anything but its own tenant.

#include "ebbgate/base/assert.h"

#include "codec/json/document.h"
#include "service/admin/command.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace ebbgate::admin; // NOLINT(google-build-using-namespace): this file is the program

constexpr const char* good = R"({"ok":true})";

std::string run_for_tenants(const request& asked) {
    EBBGATE_ASSERT(asked.has("tenant") && asked.text("tenant").size() <= 64);
    EBBGATE_ASSERT(asked.administrator() == nullptr || asked.text("tenant") == "acme");
    for (const char c : asked.text("tenant")) {
        EBBGATE_ASSERT(static_cast<unsigned char>(c) >= 0x20);
    }
    EBBGATE_ASSERT(asked.number("after") >= 0);
    EBBGATE_ASSERT(asked.objects("items").size() <= 3);
    for (const ebbgate::json::value& item : asked.objects("items")) {
        EBBGATE_ASSERT(item.is_object());
        for (const ebbgate::json::value& member : item.children()) {
            EBBGATE_ASSERT(member.is_string());
        }
    }
    return good;
}

std::string run_for_operators(const request& asked) {
    EBBGATE_ASSERT(asked.administrator() == nullptr);
    EBBGATE_ASSERT(asked.text("id").size() <= 13);
    return good;
}

dispatcher made() {
    dispatcher commands(
        [](std::string_view token) {
            return token == "T" ? std::optional(tenant_administrator{"acme", "label"})
                                : std::nullopt;
        },
        [](const request& asked) { EBBGATE_ASSERT(asked.administrator() != nullptr); });
    commands.add({"release",
                  {{"id", argument_kind::text, false, 13}},
                  permission::operators,
                  run_for_operators,
                  true});
    commands.add({"sender add",
                  {{"tenant", argument_kind::text, true, 64},
                   {"after", argument_kind::number, false},
                   {"now", argument_kind::flag, false},
                   {"items", argument_kind::objects, false, 3}},
                  permission::tenants,
                  run_for_tenants,
                  false});
    return commands;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static const dispatcher commands = made();
    const std::string answer =
        commands.answer({reinterpret_cast<const char*>(data), bytes}, peer{1});
    const auto parsed = ebbgate::json::document::parse(answer);
    EBBGATE_ASSERT(parsed.has_value());
    EBBGATE_ASSERT(parsed->root().find("ok") != nullptr);
    EBBGATE_ASSERT(answer.find('\n') == std::string::npos);
    return 0;
}
