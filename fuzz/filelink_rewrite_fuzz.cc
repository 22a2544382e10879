// Any message, cut in two ways, with links for all but the smallest attachments: what leaves is the
// same, in wire form, and its signatures are good for what a receiver sees. Without a link it is
// the message that leaves when there are no links at all.

#include "ebbgate/base/assert.h"

#include "../tests/unit/stage/content/run_chain.h"

#include <cstdint>
#include <string>

namespace content = ebbgate::content;
namespace smtp = ebbgate::smtp;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 2) {
        return 0;
    }
    // As the session gives it: wire form, ended by CRLF; else the decoder would have refused it.
    std::string wire(reinterpret_cast<const char*>(data + 2), bytes - 2);
    wire += "\r\n.\r\n";
    const smtp::data_step step = smtp::data_decoder().feed(wire);
    if (!step.complete) {
        return 0;
    }
    const std::string message = std::string(step.carry) + std::string(step.message);
    if (message.empty()) {
        return 0;
    }
    ebbgate::policy::filelink_settings links;
    links.larger_than_bytes = data[1] % 64;
    links.total_larger_than_bytes = data[1] / 64 * 40U;
    const auto whole = content::testing_chain::run_chain(message, message.size(), nullptr, &links);
    const auto cut = content::testing_chain::run_chain(message, 1U + data[0], nullptr, &links);
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
        const auto plain = content::testing_chain::run_chain(message, message.size());
        EBBGATE_ASSERT(content::testing_chain::unstuffed(whole.left) ==
                       content::testing_chain::unstuffed(plain.left));
    }
    const std::string sent = whole.left + ".\r\n";
    const smtp::data_step again = smtp::data_decoder().feed(sent);
    EBBGATE_ASSERT(again.complete && !again.fault && again.consumed_bytes == sent.size());
    return 0;
}
