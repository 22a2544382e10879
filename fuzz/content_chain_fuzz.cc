// Any message, cut in two ways: what leaves is the same, in wire form, and its signatures are good
// for what a receiver sees.

#include "ebbgate/base/assert.h"

#include "../tests/unit/stage/content/run_chain.h"

#include <cstdint>
#include <string>

namespace content = ebbgate::content;
namespace smtp = ebbgate::smtp;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 1) {
        return 0;
    }
    // As the session gives it: wire form, ended by CRLF; else the decoder would have refused it.
    std::string wire(reinterpret_cast<const char*>(data + 1), bytes - 1);
    wire += "\r\n.\r\n";
    const smtp::data_step step = smtp::data_decoder().feed(wire);
    if (!step.complete) {
        return 0;
    }
    const std::string message = std::string(step.carry) + std::string(step.message);
    if (message.empty()) {
        return 0;
    }
    const ebbgate::policy::attachment_settings attachments;
    const auto whole = content::testing_chain::run_chain(message, message.size(), &attachments);
    const auto cut = content::testing_chain::run_chain(message, 1U + data[0], &attachments);
    EBBGATE_ASSERT(whole.refused.has_value() == cut.refused.has_value());
    if (whole.refused) {
        return 0;
    }
    EBBGATE_ASSERT(whole.left == cut.left);
    EBBGATE_ASSERT(content::testing_chain::verifies(whole));
    std::string sent = whole.left + ".\r\n";
    const smtp::data_step again = smtp::data_decoder().feed(sent);
    EBBGATE_ASSERT(again.complete && !again.fault && again.consumed_bytes == sent.size());
    return 0;
}
