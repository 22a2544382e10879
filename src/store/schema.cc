#include "store/schema.h"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace ebbgate::store {

result<void> make_or_check(database& opened, const schema& of) {
    const auto version = opened.number("PRAGMA user_version");
    const auto id = opened.number("PRAGMA application_id");
    const auto tables = opened.number("SELECT COUNT(*) FROM sqlite_schema");
    for (const auto* asked : {&version, &id, &tables}) {
        if (!*asked) {
            return std::unexpected(asked->error());
        }
    }
    if (*id == of.application_id && *version == of.version) {
        return {};
    }
    const bool is_empty = *id == 0 && *version == 0 && *tables == 0;
    const bool is_previous = *id == of.application_id && *version != 0 &&
                             *version + 1 == of.version && !of.from_previous.empty();
    if (!is_empty && !is_previous) {
        return fail(failure_kind::bad_input,
                    fmt::format("{}; this version reads schema {}",
                                *id == of.application_id
                                    ? fmt::format("its schema is number {}", *version)
                                    : std::string("another program's database"),
                                of.version));
    }
    auto change = transaction::begin(opened);
    if (!change) {
        return std::unexpected(std::move(change.error()));
    }
    auto made =
        opened.execute(fmt::format("{} PRAGMA application_id = {}; PRAGMA user_version = {};",
                                   is_empty ? of.tables : of.from_previous,
                                   of.application_id,
                                   of.version));
    return made ? change->commit() : std::move(made);
}

} // namespace ebbgate::store
