// Law: a rate that is accepted is within its bounds, and its text reads as the same rate.

#include "ebbgate/base/assert.h"

#include "config/rate.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const std::string_view text(reinterpret_cast<const char*>(data), bytes);
    const auto rate = ebbgate::config::parse_rate(text);
    if (!rate) {
        return 0;
    }
    EBBGATE_ASSERT(rate->count <= ebbgate::config::rate_count_max);
    EBBGATE_ASSERT(rate->period.count() >= 0);
    EBBGATE_ASSERT(rate->period <= ebbgate::config::rate_period_max);
    EBBGATE_ASSERT(rate->is_unlimited() == (text == "unlimited"));
    EBBGATE_ASSERT(ebbgate::config::parse_rate(ebbgate::config::to_text(*rate)) == rate);
    return 0;
}
