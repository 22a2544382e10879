// Law: stuffing then unstuffing is the identity, however both are cut; and the stuffed form goes
// through a data decoder as one message.

#include "ebbgate/base/assert.h"
#include "ebbgate/smtp/data_decoder.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace {

using ebbgate::byte_view;

std::optional<std::string> stuff(byte_view raw, std::size_t chunk_bytes) {
    ebbgate::smtp::bdat_stuffer stuffer;
    std::string out;
    while (!raw.empty()) {
        const std::string copy(raw.substr(0, chunk_bytes));
        raw.remove_prefix(copy.size());
        byte_view chunk = copy;
        while (!chunk.empty()) {
            const auto step = stuffer.next(chunk);
            if (step.fault) {
                return std::nullopt;
            }
            out += step.output;
            chunk.remove_prefix(step.consumed_bytes);
        }
    }
    const auto end = stuffer.finish();
    if (end.fault) {
        return std::nullopt;
    }
    out += end.output;
    return out;
}

std::string unstuff(byte_view wire, std::size_t chunk_bytes) {
    ebbgate::smtp::dot_unstuffer unstuffer;
    std::string out;
    while (!wire.empty()) {
        byte_view chunk = wire.substr(0, chunk_bytes);
        wire.remove_prefix(chunk.size());
        while (!chunk.empty()) {
            const auto step = unstuffer.next(chunk);
            EBBGATE_ASSERT(!step.fault);
            out += step.output;
            chunk.remove_prefix(step.consumed_bytes);
        }
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    const std::size_t chunk_bytes = data[0] % 100U + 1;
    const byte_view raw(reinterpret_cast<const char*>(data + 1), bytes - 1);
    const auto whole = stuff(raw, raw.size() + 1);
    EBBGATE_ASSERT(stuff(raw, chunk_bytes) == whole);
    if (!whole) {
        return 0;
    }
    std::string expected(raw);
    if (!expected.empty() && !expected.ends_with("\r\n")) {
        expected += "\r\n";
    }
    EBBGATE_ASSERT(unstuff(*whole, chunk_bytes) == expected);
    EBBGATE_ASSERT(unstuff(*whole, whole->size() + 1) == expected);

    ebbgate::smtp::data_decoder decoder;
    const std::string sent = *whole + ".\r\n";
    const auto received = decoder.feed(sent);
    EBBGATE_ASSERT(received.complete && received.message == *whole);
    EBBGATE_ASSERT(received.consumed_bytes == sent.size());
    return 0;
}
