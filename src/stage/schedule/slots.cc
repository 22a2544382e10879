#include "stage/schedule/slots.h"

namespace ebbgate::schedule {

std::uint32_t slot_store::make() {
    if (first_free_ != no_slot) {
        const std::uint32_t number = first_free_;
        first_free_ = (*this)[number].waiting.next;
        (*this)[number] = slot{};
        return number;
    }
    if (made_ % block_slots == 0) {
        blocks_.push_back(std::make_unique<slot[]>(block_slots));
    }
    EBBGATE_ASSERT(made_ != no_slot);
    return made_++;
}

void slot_store::free(std::uint32_t number) {
    (*this)[number] = slot{};
    (*this)[number].waiting.next = first_free_;
    first_free_ = number;
}

} // namespace ebbgate::schedule
