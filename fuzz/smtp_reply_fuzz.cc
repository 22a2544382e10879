// Law: replies are the same however the bytes are cut; none holds a control character; and one that
// is written again is read as the same reply.

#include "ebbgate/base/assert.h"
#include "ebbgate/smtp/reply_parser.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using ebbgate::byte_view;
using ebbgate::smtp::reply;

struct parsed {
    std::vector<reply> replies;
    std::optional<ebbgate::smtp::reply_fault> fault;
};

parsed parse(byte_view wire, std::size_t chunk_bytes) {
    ebbgate::smtp::reply_parser parser;
    parsed out;
    while (!wire.empty()) {
        const std::string copy(wire.substr(0, chunk_bytes));
        wire.remove_prefix(copy.size());
        byte_view chunk = copy;
        while (!chunk.empty()) {
            const auto step = parser.feed(chunk);
            chunk.remove_prefix(step.consumed_bytes);
            if (step.fault) {
                out.fault = step.fault;
                return out;
            }
            if (step.complete) {
                out.replies.push_back(parser.take());
            }
        }
    }
    return out;
}

bool equal(const reply& a, const reply& b) {
    return a.code == b.code && a.status == b.status && a.text == b.text;
}

void check_reply(const reply& reply) {
    EBBGATE_ASSERT(reply.code >= 200 && reply.code <= 599);
    bool short_lines = true;
    std::size_t line_bytes = 0;
    for (const char c : reply.text) {
        EBBGATE_ASSERT(c == '\n' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f));
        line_bytes = c == '\n' ? 0 : line_bytes + 1;
        short_lines = short_lines && line_bytes < 400;
    }
    static_cast<void>(ebbgate::smtp::parse_ehlo_response(reply));
    // Longer lines are cut when they are written. Texts that look like a status are not the same
    // any more once a status stands before them.
    if (short_lines && reply.status.present()) {
        const parsed again = parse(ebbgate::smtp::to_wire(reply), 10'000);
        EBBGATE_ASSERT(again.replies.size() == 1);
        EBBGATE_ASSERT(again.replies[0].code == reply.code);
        EBBGATE_ASSERT(again.replies[0].status == reply.status);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    const byte_view wire(reinterpret_cast<const char*>(data + 1), bytes - 1);
    const parsed whole = parse(wire, wire.size() + 1);
    const parsed pieces = parse(wire, data[0] % 50U + 1);
    EBBGATE_ASSERT(whole.fault == pieces.fault);
    EBBGATE_ASSERT(whole.replies.size() == pieces.replies.size());
    for (std::size_t i = 0; i < whole.replies.size(); ++i) {
        EBBGATE_ASSERT(equal(whole.replies[i], pieces.replies[i]));
        check_reply(whole.replies[i]);
    }
    return 0;
}
