#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::store {

namespace {

std::unexpected<failure> fault_of(sqlite3* handle, int code) {
    const int primary = code & 0xff;
    const failure_kind kind = primary == SQLITE_FULL ? failure_kind::no_space
                              : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB
                                  ? failure_kind::corrupt
                              : primary == SQLITE_BUSY       ? failure_kind::unavailable
                              : primary == SQLITE_CONSTRAINT ? failure_kind::bad_input
                                                             : failure_kind::io;
    return fail(kind,
                std::string("SQLite: ") +
                    (handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code)));
}

} // namespace

void statement::end::operator()(sqlite3_stmt* handle) const {
    (void)sqlite3_finalize(handle);
}

statement& statement::bind(int parameter, std::int64_t number) {
    (void)sqlite3_bind_int64(handle_.get(), parameter, number);
    return *this;
}

statement& statement::bind(int parameter, std::string_view text) {
    // SQLite takes a null pointer, which an empty view may have, for NULL.
    const char* bytes = text.empty() ? "" : text.data();
    (void)sqlite3_bind_text64(
        handle_.get(), parameter, bytes, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    return *this;
}

result<bool> statement::step() {
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_ROW) {
        return true;
    }
    sqlite3* const database = sqlite3_db_handle(handle_.get());
    if (code != SQLITE_DONE) {
        auto fault = fault_of(database, code);
        (void)sqlite3_reset(handle_.get());
        return fault;
    }
    (void)sqlite3_reset(handle_.get());
    (void)sqlite3_clear_bindings(handle_.get());
    return false;
}

result<void> statement::run() {
    return each([](const statement&) {});
}

std::int64_t statement::number(int column) const {
    return sqlite3_column_int64(handle_.get(), column);
}

std::string_view statement::text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
    return bytes == nullptr
               ? std::string_view()
               : std::string_view(
                     bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column)));
}

void database::end::operator()(sqlite3* handle) const {
    (void)sqlite3_close_v2(handle);
}

result<database> database::open(const std::string& path) {
    // SQLite would make it readable by all; its journal takes the mode of the file.
    const int fd = ::open(path.c_str(), O_CREAT | O_CLOEXEC | O_RDWR, 0600);
    if (fd >= 0) {
        ::close(fd);
    }
    sqlite3* handle = nullptr;
    const int code =
        sqlite3_open_v2(path.c_str(),
                        &handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
                        nullptr);
    database opened(handle);
    if (code != SQLITE_OK) {
        auto fault = fault_of(handle, code);
        fault.error().detail = path + ": " + fault.error().detail;
        return fault;
    }
    (void)sqlite3_busy_timeout(handle, busy_ms_max);
    if (auto set = opened.execute(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
            "PRAGMA trusted_schema=OFF;");
        !set) {
        set.error().detail = path + ": " + set.error().detail;
        return std::unexpected(std::move(set.error()));
    }
    return opened;
}

result<void> database::execute(const std::string& sql) {
    const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) {
        return fault_of(handle_.get(), code);
    }
    return {};
}

result<statement> database::prepare(std::string_view sql) {
    sqlite3_stmt* made = nullptr;
    const int code = sqlite3_prepare_v3(handle_.get(),
                                        sql.data(),
                                        static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT,
                                        &made,
                                        nullptr);
    if (code != SQLITE_OK || made == nullptr) {
        return fault_of(handle_.get(), code);
    }
    return statement(made);
}

result<std::int64_t> database::number(std::string_view sql) {
    auto made = prepare(sql);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    const auto row = made->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    return *row ? made->number(0) : 0;
}

std::int64_t database::changes() const {
    return sqlite3_changes64(handle_.get());
}

result<transaction> transaction::begin(database& database) {
    // IMMEDIATE: waits for another writer here and not amid its work.
    if (auto begun = database.execute("BEGIN IMMEDIATE"); !begun) {
        return std::unexpected(std::move(begun.error()));
    }
    return transaction(database);
}

transaction::transaction(transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

transaction::~transaction() {
    if (database_ != nullptr) {
        (void)database_->execute("ROLLBACK");
    }
}

result<void> transaction::commit() {
    database* const committing = std::exchange(database_, nullptr);
    auto done = committing->execute("COMMIT");
    if (!done) {
        (void)committing->execute("ROLLBACK");
    }
    return done;
}

} // namespace ebbgate::store
