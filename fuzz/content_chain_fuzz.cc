// Any message, cut in two ways: what leaves is the same, in wire form, and its signatures are good
// for what a receiver sees.

#include "ebbgate/base/assert.h"

#include "../tests/unit/stage/content/run_chain.h"

#include <cstdint>
#include <string>

namespace content = ebbgate::content;
using ebbgate::byte_view;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 1) {
        return 0;
    }
    const auto message = content::testing_chain::as_received(
        byte_view(reinterpret_cast<const char*>(data + 1), bytes - 1));
    if (!message) {
        return 0;
    }
    const ebbgate::policy::attachment_settings attachments;
    const auto whole = content::testing_chain::run_chain(*message, message->size(), &attachments);
    const auto cut = content::testing_chain::run_chain(*message, 1U + data[0], &attachments);
    EBBGATE_ASSERT(whole.refused.has_value() == cut.refused.has_value());
    if (whole.refused) {
        return 0;
    }
    EBBGATE_ASSERT(whole.left == cut.left);
    EBBGATE_ASSERT(content::testing_chain::verifies(whole));
    EBBGATE_ASSERT(content::testing_chain::is_wire_form(whole.left));
    return 0;
}
