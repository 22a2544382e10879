// Laws: a name that is read has at most four characters a byte and no character but those of host
// names, dots and escapes; and what is read of a record is never larger than the record.

#include "ebbgate/base/assert.h"

#include "codec/dns/rdata.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

void check_name(const std::string& name) {
    EBBGATE_ASSERT(name.size() <= 4 * dns::name_wire_bytes_max);
    EBBGATE_ASSERT(std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.' || c == '\\';
    }));
    EBBGATE_ASSERT(!name.starts_with('.') && !name.ends_with('.') &&
                   name.find("..") == std::string::npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const byte_view rdata(reinterpret_cast<const char*>(data), bytes);
    if (const auto name = dns::read_name(rdata)) {
        check_name(*name);
    }
    if (const auto mx = dns::read_mx(rdata)) {
        check_name(mx->host);
        EBBGATE_ASSERT(dns::read_name(rdata.substr(2)) == mx->host);
    }
    if (const auto text = dns::read_txt(rdata)) {
        EBBGATE_ASSERT(text->size() < rdata.size());
    }
    if (const auto tlsa = dns::read_tlsa(rdata)) {
        EBBGATE_ASSERT(tlsa->data.size() + 3 == rdata.size());
    }
    EBBGATE_ASSERT(dns::read_a(rdata).has_value() == (bytes == 4));
    if (const auto address = dns::read_aaaa(rdata)) {
        check_name(dns::reverse_name(*address));
    }
    return 0;
}
