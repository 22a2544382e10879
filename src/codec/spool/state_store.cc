#include "ebbgate/spool/state_store.h"

#include <algorithm>
#include <utility>

namespace ebbgate::spool {

namespace {

constexpr std::size_t room_unit = 8;

} // namespace

void state_store::set(entry& target, byte_view state) {
    if (state.size() > target.room) {
        drop(target);
        const std::size_t room = (state.size() + room_unit - 1) / room_unit * room_unit;
        if (room > left_bytes_) {
            lost_bytes_ += left_bytes_;
            left_bytes_ = std::max(room, block_bytes_min);
            made_bytes_ += left_bytes_;
            blocks_.push_back(std::make_unique_for_overwrite<char[]>(left_bytes_));
            next_ = blocks_.back().get();
        }
        target.data = std::exchange(next_, next_ + room);
        target.room = static_cast<std::uint32_t>(room);
        left_bytes_ -= room;
    }
    std::copy(state.begin(), state.end(), target.data);
    target.bytes = static_cast<std::uint32_t>(state.size());
}

void state_store::drop(entry& target) noexcept {
    lost_bytes_ += target.room;
    target = {};
}

bool state_store::is_sparse() const noexcept {
    return lost_bytes_ > 2 * block_bytes_min && lost_bytes_ > made_bytes_ / 2;
}

} // namespace ebbgate::spool
