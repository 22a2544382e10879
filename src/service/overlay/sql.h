// Statements in a row, whose first failure is kept: the work reads straight, and is checked once.
//
// Owner   One unit of work on the management thread.
// Fails   After the first failure every call does nothing and finds nothing; the caller asks
//         failed() before it believes or commits anything.

#pragma once

#include "store/database.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace ebbgate::overlay {

class sql {
public:
    using parameter = std::variant<std::int64_t, std::string_view>;
    using parameters = std::initializer_list<parameter>;

    explicit sql(store::database& database) : database_(&database) {}

    // Returns how many rows it changed.
    std::int64_t run(std::string_view text, parameters values);
    // The first column of the first row.
    [[nodiscard]] std::optional<std::int64_t> number(std::string_view text, parameters values);
    void rows(std::string_view text,
              parameters values,
              const std::function<void(const store::statement& row)>& take);

    [[nodiscard]] bool failed() const noexcept { return fault_.has_value(); }

    // Only when it failed.
    [[nodiscard]] failure take_fault() { return std::move(*fault_); }

    void fail_with(failure fault);

private:
    store::database* database_;
    std::optional<failure> fault_;
};

} // namespace ebbgate::overlay
