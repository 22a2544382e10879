// What DNS says to one question, and who is asked.
//
// Output  Every question gets one answer, on the reactor of who asked.
// Fails   `trouble`: nothing is known, ask again later. Only the other three are facts, and only
//         facts may bounce mail.

#pragma once

#include "runtime/task/reactor.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::dns {

enum class record_type : std::uint16_t {
    a = 1,
    cname = 5,
    ptr = 12,
    mx = 15,
    txt = 16,
    aaaa = 28,
    tlsa = 52,
};

[[nodiscard]] std::string_view name_of(record_type type) noexcept;

enum class answer_status : std::uint8_t {
    found,
    no_data, // The name exists, without such a record.
    no_name, // NXDOMAIN.
    trouble,
};

struct answer {
    answer_status status = answer_status::trouble;
    bool secure = false; // By DNSSEC; of no_data and no_name: their absence is proven.
    bool bogus = false;  // Of trouble: what came fails DNSSEC.
    std::uint32_t ttl_seconds = 0;
    std::string canonical_name;     // Where the CNAMEs end; else the name that was asked.
    std::vector<std::string> rdata; // In wire form, for codec/dns.
    std::string text;               // Of trouble: what happened. Printable, short.
};

class asker {
public:
    using done = std::function<void(const answer&)>;

    // From any thread; `then` runs on the thread of `home`, later, once.
    virtual void ask(task::reactor& home, std::string name, record_type type, done then) = 0;

protected:
    ~asker() = default;
};

} // namespace ebbgate::dns
