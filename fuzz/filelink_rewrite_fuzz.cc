// Any message, cut in two ways, with links for all but the smallest attachments: what leaves is the
// same, in wire form, and its signatures are good for what a receiver sees. Without a link it is
// the message that leaves when there are no links at all.

#include "ebbgate/base/assert.h"

#include "../tests/unit/stage/content/run_chain.h"

#include <cstdint>
#include <string>

namespace content = ebbgate::content;
using ebbgate::byte_view;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 2) {
        return 0;
    }
    const auto message = content::testing_chain::as_received(
        byte_view(reinterpret_cast<const char*>(data + 2), bytes - 2));
    if (!message) {
        return 0;
    }
    ebbgate::policy::filelink_settings links;
    links.larger_than_bytes = data[1] % 64;
    links.total_larger_than_bytes = data[1] / 64 * 40U;
    const auto whole =
        content::testing_chain::run_chain(*message, message->size(), nullptr, &links);
    const auto cut = content::testing_chain::run_chain(*message, 1U + data[0], nullptr, &links);
    EBBGATE_ASSERT(whole.refused.has_value() == cut.refused.has_value());
    if (whole.refused) {
        return 0;
    }
    EBBGATE_ASSERT(whole.left == cut.left && whole.links.size() == cut.links.size());
    for (std::size_t i = 0; i < whole.links.size(); ++i) {
        EBBGATE_ASSERT(whole.links[i].content == cut.links[i].content);
    }
    EBBGATE_ASSERT(content::testing_chain::verifies(whole));
    if (whole.links.empty()) {
        // As received: a needless dot before a line need not be kept.
        const auto plain = content::testing_chain::run_chain(*message, message->size());
        EBBGATE_ASSERT(content::testing_chain::unstuffed(whole.left) ==
                       content::testing_chain::unstuffed(plain.left));
    }
    EBBGATE_ASSERT(content::testing_chain::is_wire_form(whole.left));
    return 0;
}
