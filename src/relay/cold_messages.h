// Messages that wait and of which nothing is in memory but where they lie: ten million of them are
// what a bad day leaves. Who they are from and to is read back when their time comes.
//
// Owner   Outbound of one shard.
// Bounds  56 bytes a message, and 11 to 22 for the index. A record stays where it is until take().

#pragma once

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/location.h"

#include "base/id_tables.h"
#include "base/record_pool.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ebbgate::relay {

struct cold_message {
    std::uint64_t id = 0;
    spool::location where;
    std::uint32_t first_slot = 0; // Of its items in the scheduler.
    std::uint32_t items = 0;      // Those, and what else holds it.
};

static_assert(sizeof(cold_message) == 56);

class cold_messages {
public:
    cold_messages() : index_(records_) {}

    cold_messages(const cold_messages&) = delete; // The index refers to the records.
    cold_messages& operator=(const cold_messages&) = delete;

    // It is not there yet.
    void add(const cold_message& message) {
        EBBGATE_ASSERT(index_.find(message.id) == no_record);
        const std::uint32_t number = records_.make();
        records_[number] = message;
        index_.add(number);
    }

    // Null: it is not here. Good until take().
    [[nodiscard]] cold_message* find(std::uint64_t id) noexcept {
        const std::uint32_t number = index_.find(id);
        return number == no_record ? nullptr : &records_[number];
    }

    [[nodiscard]] const cold_message* find(std::uint64_t id) const noexcept {
        const std::uint32_t number = index_.find(id);
        return number == no_record ? nullptr : &records_[number];
    }

    // They will be looked for soon.
    void ask_for(std::span<const std::uint64_t> ids) const noexcept { index_.ask_for(ids); }

    void take(std::uint64_t id) {
        const std::uint32_t number = index_.find(id);
        index_.remove(id);
        records_.free(number);
    }

    [[nodiscard]] std::size_t size() const noexcept { return records_.size(); }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return records_.footprint_bytes() + index_.footprint_bytes();
    }

private:
    record_pool<cold_message> records_;
    id_index<cold_message> index_;
};

} // namespace ebbgate::relay
