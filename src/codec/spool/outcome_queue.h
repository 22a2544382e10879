// Done and state records that wait for a group, and come back when their group fails.
//
// Owner   A writer.
// Bounds  What the owner has live; a group takes as much as fits.

#pragma once

#include "ebbgate/spool/location.h"

#include "codec/spool/group_builder.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::spool {

struct done_entry {
    std::uint64_t message_id = 0;
    location where;
};

struct state_entry {
    std::uint64_t message_id = 0;
    std::string blob;
};

class outcome_queue {
public:
    void add_done(std::uint64_t message_id, const location& where) {
        done_.push_back({message_id, where});
    }

    void add_state(std::uint64_t message_id, byte_view blob) {
        states_.push_back({message_id, std::string(blob)});
    }

    [[nodiscard]] bool empty() const noexcept { return done_.empty() && states_.empty(); }

    [[nodiscard]] std::size_t count() const noexcept { return done_.size() + states_.size(); }

    // Moves what fits into the group, and remembers it until it settles.
    void write_to(group_builder& group);

    // Of the group under way; the caller drops what is done.
    [[nodiscard]] const std::vector<done_entry>& done_under_way() const noexcept {
        return done_under_way_;
    }

    void settled() noexcept;
    // The group failed: back to the front, in the old order.
    void put_back();

private:
    void write_states(group_builder& group);
    void write_done(group_builder& group);

    std::vector<done_entry> done_;
    std::vector<state_entry> states_;
    std::vector<done_entry> done_under_way_;
    std::vector<state_entry> states_under_way_;
    std::string ids_;
};

} // namespace ebbgate::spool
