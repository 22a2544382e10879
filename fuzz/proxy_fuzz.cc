// Law: however the bytes are cut, the reader says the same and takes the same number of bytes, and
// never more than a header may have.

#include "ebbgate/base/assert.h"

#include "codec/proxy/header_reader.h"

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    const ebbgate::byte_view text(reinterpret_cast<const char*>(data + 1), bytes - 1);
    ebbgate::proxy::header_reader reader;
    const auto whole = reader.feed(text);
    EBBGATE_ASSERT(whole.consumed_bytes <= ebbgate::proxy::v2_bytes_max);
    EBBGATE_ASSERT(whole.header || whole.fault || whole.consumed_bytes == text.size());

    ebbgate::proxy::header_reader cut_reader;
    ebbgate::proxy::header_step step;
    std::size_t consumed_bytes = 0;
    std::size_t length = 1;
    while (consumed_bytes < text.size() && !step.header && !step.fault) {
        const std::string chunk(text.substr(consumed_bytes, length));
        length = length % (data[0] % 50U + 1) + 1;
        step = cut_reader.feed(chunk);
        consumed_bytes += step.consumed_bytes;
    }
    EBBGATE_ASSERT(consumed_bytes == whole.consumed_bytes);
    EBBGATE_ASSERT(step.header == whole.header);
    EBBGATE_ASSERT(step.fault == whole.fault);
    return 0;
}
