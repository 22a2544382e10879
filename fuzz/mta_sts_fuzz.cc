// Laws: a policy that was read is within its bounds and, written again, reads the same; an id has
// the characters that an id may have.

#include "ebbgate/base/assert.h"

#include "codec/mta_sts/policy.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    namespace mta_sts = ebbgate::mta_sts;
    const ebbgate::byte_view text(reinterpret_cast<const char*>(data), bytes);
    if (const auto read = mta_sts::parse_policy(text)) {
        EBBGATE_ASSERT(read->mx.size() <= mta_sts::mx_patterns_max);
        EBBGATE_ASSERT(read->max_age_s >= 0 && read->max_age_s <= mta_sts::max_age_s_max);
        EBBGATE_ASSERT(mta_sts::parse_policy(mta_sts::to_text(*read)) == read);
        for (const auto& pattern : read->mx) {
            const bool wild = pattern.starts_with("*.");
            EBBGATE_ASSERT(read->matches(wild ? "a" + pattern.substr(1) : pattern));
        }
    }
    if (const auto id = mta_sts::parse_record(text)) {
        EBBGATE_ASSERT(!id->empty() && id->size() <= 32);
        EBBGATE_ASSERT(mta_sts::parse_record("v=STSv1; id=" + *id) == id);
    }
    return 0;
}
