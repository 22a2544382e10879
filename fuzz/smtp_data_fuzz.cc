// Law: however the bytes are cut, the decoder keeps the same message and stops at the same byte;
// what it accepts ends with CRLF and has no end mark within.

#include "ebbgate/base/assert.h"
#include "ebbgate/smtp/data_decoder.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using ebbgate::byte_view;

struct decoded {
    std::string message;
    std::size_t consumed_bytes = 0;
    std::uint32_t stuffed_dots = 0;
    bool complete = false;
    std::optional<ebbgate::smtp::data_fault> fault;
};

// Chunks of 1 to `chunk_bytes_max` bytes, in lengths that go up and down.
decoded decode(byte_view wire, std::size_t chunk_bytes_max) {
    ebbgate::smtp::data_decoder decoder;
    decoded out;
    std::size_t length = 1;
    while (out.consumed_bytes < wire.size() && !out.complete && !out.fault) {
        const std::string chunk(wire.substr(out.consumed_bytes, length));
        length = length % chunk_bytes_max + 1;
        const auto step = decoder.feed(chunk);
        out.message += step.carry;
        out.message += step.message;
        out.consumed_bytes += step.consumed_bytes;
        out.stuffed_dots += step.stuffed_dots;
        out.complete = step.complete;
        out.fault = step.fault;
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    const byte_view wire(reinterpret_cast<const char*>(data + 1), bytes - 1);
    ebbgate::smtp::data_decoder decoder;
    const auto whole = decoder.feed(wire);
    EBBGATE_ASSERT(whole.carry.empty());
    const decoded pieces = decode(wire, data[0] % 100U + 1);
    EBBGATE_ASSERT(pieces.complete == whole.complete);
    EBBGATE_ASSERT(pieces.fault == whole.fault);
    EBBGATE_ASSERT(pieces.consumed_bytes == whole.consumed_bytes);
    if (whole.fault) {
        return 0;
    }
    EBBGATE_ASSERT(pieces.message == whole.message);
    EBBGATE_ASSERT(pieces.stuffed_dots == whole.stuffed_dots);
    if (whole.complete) {
        EBBGATE_ASSERT(wire.substr(whole.message.size(), 3) == ".\r\n");
        EBBGATE_ASSERT(whole.message.empty() || whole.message.ends_with("\r\n"));
        EBBGATE_ASSERT(whole.message.find("\r\n.\r\n") == byte_view::npos);
    }
    return 0;
}
