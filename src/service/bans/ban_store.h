// Bans that survive a restart: running ones, ended ones that still count, and the run-time white
// list, in one SQLite file.
//
// Input   Changes, kept in memory until flush() writes them in one transaction.
// Output  What is stored, at start.
// Owner   The ban thread: flush() waits for the disk, so nothing else may run there.
// Fails   A flush that fails keeps its changes for the next one.
// Bounds  pending_max changes wait; beyond it they are dropped, is_behind() says so, and
//         replace_all() makes it good when the disk is back.
// Specs   A row a network; times are unix microseconds, INT64_MAX for a ban that never ends.

#pragma once

#include "ebbgate/base/result.h"

#include "stage/bans/ban.h"
#include "stage/bans/network_set.h"
#include "store/database.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::bans {

class ban_store {
public:
    static constexpr std::size_t pending_max = 100'000;

    using give_row = std::function<void(const ban&)>;
    enum class row_order : std::uint8_t { any, last_to_end_first };

    [[nodiscard]] static result<ban_store> open(const std::string& path);

    [[nodiscard]] result<std::size_t> count_rows();
    [[nodiscard]] result<void> read_rows(row_order order, const give_row& give);
    [[nodiscard]] result<std::vector<config::ip_network>> read_ignore();

    // Rows that were read and that somebody else wrote; left alone.
    [[nodiscard]] std::size_t unreadable() const { return unreadable_; }

    void put(const ban& ban);
    void erase(const config::ip_network& network);
    void put_ignore(const config::ip_network& network);
    void erase_ignore(const config::ip_network& network);

    [[nodiscard]] std::size_t pending() const { return bans_.size() + ignore_.size(); }

    [[nodiscard]] bool is_behind() const { return behind_; }

    // When it returns, all that was put is on disk.
    [[nodiscard]] result<void> flush();

    // `give_all` calls what it is given for each row. The ignore list is as given.
    [[nodiscard]] result<void> replace_all(const std::function<void(const give_row&)>& give_all,
                                           const std::vector<config::ip_network>& ignore);

private:
    struct statements {
        store::statement put;
        store::statement erase;
        store::statement put_ignore;
        store::statement erase_ignore;
    };

    ban_store(store::database database, statements statements);

    void note(const config::ip_network& network, std::optional<ban> change);
    void note_ignore(const config::ip_network& network, bool listed);
    void bind(const ban& ban);
    [[nodiscard]] result<void> write_pending();
    // `take` answers whether the row could be read.
    [[nodiscard]] result<void> read(const std::string& query,
                                    const std::function<bool(const store::statement&)>& take);

    store::database database_;
    statements statements_; // They end before their database.
    // The last change of each; empty: no row any more.
    std::unordered_map<config::ip_network, std::optional<ban>, network_hash> bans_;
    std::unordered_map<config::ip_network, bool, network_hash> ignore_;
    bool behind_ = false;
    std::size_t unreadable_ = 0;
};

} // namespace ebbgate::bans
