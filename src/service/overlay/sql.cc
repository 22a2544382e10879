#include "service/overlay/sql.h"

namespace ebbgate::overlay {

void sql::fail_with(failure fault) {
    if (!fault_) {
        fault_ = std::move(fault);
    }
}

void sql::rows(std::string_view text,
               parameters values,
               const std::function<void(const store::statement& row)>& take) {
    if (failed()) {
        return;
    }
    auto made = database_->prepare(text);
    if (!made) {
        return fail_with(std::move(made.error()));
    }
    int place = 0;
    for (const parameter& value : values) {
        ++place;
        std::visit([&](const auto& one) { (void)made->bind(place, one); }, value);
    }
    if (auto read = made->each(take); !read) {
        fail_with(std::move(read.error()));
    }
}

std::int64_t sql::run(std::string_view text, parameters values) {
    rows(text, values, [](const store::statement&) {});
    return failed() ? 0 : database_->changes();
}

std::optional<std::int64_t> sql::number(std::string_view text, parameters values) {
    std::optional<std::int64_t> found;
    rows(text, values, [&found](const store::statement& row) {
        found = found.value_or(row.number(0));
    });
    return found;
}

} // namespace ebbgate::overlay
