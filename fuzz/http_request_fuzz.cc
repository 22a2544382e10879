// Law: however the bytes are cut, the reader finds the same requests and refuses at the same place;
// what it hands on is within its bounds and was framed in one way only.

#include "ebbgate/base/assert.h"

#include "service/http/request_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace ebbgate::http; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t header_bytes_max = 300;
constexpr std::size_t body_bytes_max = 100;

void judge(const request& one) {
    EBBGATE_ASSERT(one.path.starts_with('/'));
    EBBGATE_ASSERT(one.path.find('?') == std::string::npos);
    EBBGATE_ASSERT(one.body.size() <= body_bytes_max);
    EBBGATE_ASSERT(one.headers.size() <= 100);
    std::size_t lengths = 0;
    for (const header& field : one.headers) {
        lengths += equal_without_case(field.name, "content-length") ? 1 : 0;
        EBBGATE_ASSERT(!equal_without_case(field.name, "transfer-encoding"));
        for (const char c : field.name + field.value) {
            EBBGATE_ASSERT(c != '\r' && c != '\n' && c != '\0');
        }
    }
    EBBGATE_ASSERT(lengths <= 1);
    EBBGATE_ASSERT(lengths == 0 ||
                   std::stoull(std::string(one.find("content-length"))) == one.body.size());
    EBBGATE_ASSERT(lengths == 1 || one.body.empty());
}

// All requests as one text, and how it ended.
std::string read(ebbgate::byte_view text, std::size_t first, std::size_t step_max) {
    request_reader reader({header_bytes_max, 100, [](const request&) { return body_bytes_max; }});
    std::string all;
    std::size_t length = first;
    while (!text.empty()) {
        const std::string piece(text.substr(0, length));
        const std::size_t taken = reader.feed(piece);
        EBBGATE_ASSERT(taken <= piece.size());
        EBBGATE_ASSERT(taken == piece.size() || reader.now() != request_reader::state::reading);
        text.remove_prefix(taken);
        if (reader.now() == request_reader::state::failed) {
            EBBGATE_ASSERT(reader.status() >= 400);
            return all + std::to_string(reader.status());
        }
        if (reader.now() == request_reader::state::done) {
            const request one = reader.take();
            judge(one);
            all += one.method + ' ' + one.path + '?' + one.query + ' ' + one.body + '\n';
        }
        length = length % step_max + 1;
    }
    return all;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    const ebbgate::byte_view text(reinterpret_cast<const char*>(data + 1), bytes - 1);
    const std::string whole = read(text, text.size(), text.size() + 1);
    EBBGATE_ASSERT(read(text, 1, data[0] % 50U + 1) == whole);
    EBBGATE_ASSERT(read(text, 1, 1) == whole);
    return 0;
}
