// Law: however the bytes are cut, the scanner finds the same fields, faults and end; the fields
// cover its text without a gap; and the judgement of the From field is the same.

#include "ebbgate/base/assert.h"
#include "ebbgate/mail/authors.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using ebbgate::byte_view;
using ebbgate::mail::header_fault;
using ebbgate::mail::header_field;
using ebbgate::mail::header_scanner;

void check(const header_scanner& scanner, byte_view wire) {
    EBBGATE_ASSERT(scanner.complete());
    EBBGATE_ASSERT(scanner.header_wire_bytes() <= wire.size());
    std::size_t at = 0;
    for (const header_field& field : scanner.fields()) {
        EBBGATE_ASSERT(field.at == at && field.name_bytes > 0);
        EBBGATE_ASSERT(scanner.raw(field).ends_with("\r\n"));
        EBBGATE_ASSERT(scanner.text()[field.value_at - 1] == ':');
        EBBGATE_ASSERT(scanner.value(field).data() + scanner.value(field).size() + 2 ==
                       scanner.raw(field).data() + scanner.raw(field).size());
        EBBGATE_ASSERT(std::size_t{field.wire_at} + field.wire_bytes <=
                       scanner.header_wire_bytes());
        at += field.bytes;
    }
    EBBGATE_ASSERT(at == scanner.text().size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 2) {
        return 0;
    }
    // Small limits, so that they are reached.
    const ebbgate::mail::header_limits limits{std::size_t{data[1]} * 16, data[1] % 16U + 1};
    byte_view wire(reinterpret_cast<const char*>(data + 2), bytes - 2);
    header_scanner whole(limits);
    whole.feed(wire);
    whole.finish();
    check(whole, wire);

    header_scanner pieces(limits);
    pieces.feed("Left: over\r\n from: the last message\r\n");
    pieces.clear();
    const std::size_t chunk_bytes_max = data[0] % 100U + 1;
    std::size_t length = 1;
    while (!wire.empty()) {
        const std::string chunk(wire.substr(0, length));
        length = length % chunk_bytes_max + 1;
        pieces.feed(chunk);
        wire.remove_prefix(chunk.size());
    }
    pieces.finish();
    EBBGATE_ASSERT(pieces.text() == whole.text());
    EBBGATE_ASSERT(pieces.header_wire_bytes() == whole.header_wire_bytes());
    EBBGATE_ASSERT(std::ranges::equal(pieces.fields(), whole.fields()));
    for (std::size_t i = 0; i < ebbgate::mail::header_fault_count; ++i) {
        const auto fault = static_cast<header_fault>(i);
        EBBGATE_ASSERT(pieces.fault_at(fault) == whole.fault_at(fault));
    }
    EBBGATE_ASSERT(ebbgate::mail::authors_of(pieces) == ebbgate::mail::authors_of(whole));
    return 0;
}
