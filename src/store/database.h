// An SQLite file: opened for durability, prepared statements, transactions.
//
// Owner   One thread at a time. Statements end before their database.
// Fails   With the text of SQLite in the detail; nothing throws.
// Bounds  A busy file is waited for, busy_ms_max long.
// Specs   sqlite.org/c3ref; WAL with synchronous=FULL: a commit that returned survives a power cut.

#pragma once

#include "ebbgate/base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace ebbgate::store {

inline constexpr int busy_ms_max = 5000;

class statement {
public:
    // Parameters count from 1, columns from 0, as in SQLite. Text is copied.
    statement& bind(int parameter, std::int64_t number);
    statement& bind(int parameter, std::string_view text);

    // True: a row is there. False: no more; the statement is ready to run again, with new values.
    [[nodiscard]] result<bool> step();

    // All rows, until `take` fails, which may return nothing or a result<void>.
    template <typename taker>
    [[nodiscard]] result<void> each(taker take) {
        for (;;) {
            const result<bool> row = step();
            if (!row) {
                return std::unexpected(row.error());
            }
            if (!*row) {
                return {};
            }
            if constexpr (std::is_void_v<std::invoke_result_t<taker&, const statement&>>) {
                take(std::as_const(*this));
            } else if (result<void> taken = take(std::as_const(*this)); !taken) {
                return taken;
            }
        }
    }

    // For what gives no rows.
    [[nodiscard]] result<void> run();

    [[nodiscard]] std::int64_t number(int column) const;
    // Until the next step().
    [[nodiscard]] std::string_view text(int column) const;

private:
    friend class database;

    struct end {
        void operator()(sqlite3_stmt* handle) const;
    };

    explicit statement(sqlite3_stmt* handle) : handle_(handle) {}

    std::unique_ptr<sqlite3_stmt, end> handle_;
};

class database {
public:
    // Made, with mode 0600, when it does not exist.
    [[nodiscard]] static result<database> open(const std::string& path);

    [[nodiscard]] result<void> execute(const std::string& sql);
    [[nodiscard]] result<statement> prepare(std::string_view sql);
    // The first column of the first row; 0: there is none.
    [[nodiscard]] result<std::int64_t> number(std::string_view sql);
    // Rows that the last statement changed.
    [[nodiscard]] std::int64_t changes() const;

private:
    struct end {
        void operator()(sqlite3* handle) const;
    };

    explicit database(sqlite3* handle) : handle_(handle) {}

    std::unique_ptr<sqlite3, end> handle_;
};

// Rolled back at the end of its scope unless committed.
class transaction {
public:
    [[nodiscard]] static result<transaction> begin(database& database);
    transaction(transaction&& other) noexcept;
    transaction& operator=(transaction&&) = delete;
    ~transaction();

    [[nodiscard]] result<void> commit();

private:
    explicit transaction(database& database) : database_(&database) {}

    database* database_;
};

} // namespace ebbgate::store
