// Headers of any bytes: what leaves has the same fields without Bcc, those that were missing, and
// an empty line at its end; and repairing it again changes nothing.

#include "ebbgate/base/assert.h"

#include "stage/content/header_repair.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace {

namespace content = ebbgate::content;
namespace mail = ebbgate::mail;
using ebbgate::byte_view;

constexpr content::repair_values values{"ID", "h.example", 1'795'535'813};

bool is_bcc(byte_view name) {
    return mail::is_name(name, "bcc") || mail::is_name(name, "resent-bcc");
}

std::vector<std::string> fields_of(const mail::header_scanner& scanner) {
    std::vector<std::string> out;
    for (const mail::header_field& field : scanner.fields()) {
        out.emplace_back(scanner.raw(field));
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    std::string wire(reinterpret_cast<const char*>(data), bytes);
    wire += "\r\n"; // Wire form ends with one.
    mail::header_scanner before;
    before.feed(wire);
    before.finish();
    const auto made = content::repair(before, values);
    if (!made) {
        EBBGATE_ASSERT(content::to_reply(made.error()).code == 550);
        return 0;
    }
    const std::string leaves = content::assembled(*made, wire);
    mail::header_scanner after;
    after.feed(leaves);
    EBBGATE_ASSERT(after.complete()); // By an empty line, which is the end of it.
    EBBGATE_ASSERT(after.header_wire_bytes() == leaves.size());
    EBBGATE_ASSERT(!after.has(mail::header_fault::malformed_line));

    std::size_t dates = 0;
    std::size_t ids = 0;
    for (const mail::header_field& field : after.fields()) {
        EBBGATE_ASSERT(!is_bcc(after.name(field)));
        dates += mail::is_name(after.name(field), "date") ? 1U : 0U;
        ids += mail::is_name(after.name(field), "message-id") ? 1U : 0U;
    }
    EBBGATE_ASSERT(dates == 1 && ids == 1);
    // Each that leaves came, in this order, or is one of the two; what is gone was counted.
    const auto came = fields_of(before);
    std::size_t at = 0;
    std::size_t added = 0;
    for (const std::string& field : fields_of(after)) {
        const auto found =
            std::find(came.begin() + static_cast<std::ptrdiff_t>(at), came.end(), field);
        if (found == came.end()) {
            EBBGATE_ASSERT(made->text.find(field) != std::string::npos);
            ++added;
        } else {
            at = static_cast<std::size_t>(found - came.begin()) + 1;
        }
    }
    EBBGATE_ASSERT(came.size() + added == made->removed_fields + after.fields().size());

    const auto again = content::repair(after, values);
    EBBGATE_ASSERT(again.has_value() && again->unchanged());
    EBBGATE_ASSERT(content::assembled(*again, leaves) == leaves);
    return 0;
}
