// Laws: what is taken can be written as "local@domain, ..." and is then taken as the same; each
// address stands in the text; and neither line ends nor a second pair of brackets get through.

#include "ebbgate/base/assert.h"
#include "ebbgate/mail/address_list.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const ebbgate::byte_view text(reinterpret_cast<const char*>(data), bytes);
    const auto mailboxes = ebbgate::mail::parse_mailbox_list(text);
    if (!mailboxes) {
        return 0;
    }
    EBBGATE_ASSERT(!mailboxes->empty());
    EBBGATE_ASSERT(text.find_first_of("\r\n") == ebbgate::byte_view::npos);
    const auto brackets = std::count(text.begin(), text.end(), '<');
    EBBGATE_ASSERT(brackets <= std::ssize(*mailboxes));
    EBBGATE_ASSERT(std::count(text.begin(), text.end(), '>') == brackets);
    std::string plain;
    for (const auto& mailbox : *mailboxes) {
        EBBGATE_ASSERT(!mailbox.local.empty() && !mailbox.domain.empty());
        EBBGATE_ASSERT(text.find('@' + mailbox.domain) != ebbgate::byte_view::npos);
        EBBGATE_ASSERT(ebbgate::mail::canonical_local(mailbox.local) == mailbox.local);
        plain += (plain.empty() ? "" : ",") + mailbox.local + '@' + mailbox.domain;
    }
    EBBGATE_ASSERT(ebbgate::mail::parse_mailbox_list(plain) == mailboxes);
    return 0;
}
