#include "ebbgate/mail/authors.h"

namespace ebbgate::mail {
namespace {

std::unexpected<author_refusal> refuse(author_fault fault,
                                       std::optional<address_fault> address = {}) {
    return std::unexpected(author_refusal{fault, address});
}

byte_view text_of(address_fault fault) noexcept {
    switch (fault) {
    case address_fault::empty:
        return "From is empty";
    case address_fault::no_address:
        return "From has a name without an address";
    case address_fault::syntax:
        return "From is malformed";
    case address_fault::ambiguous:
        return "From can be read as another address";
    case address_fault::group:
        return "From has a group or a stray colon";
    case address_fault::source_route:
        return "From has a source route";
    case address_fault::bad_address:
        return "From has an address that is not valid";
    case address_fault::hidden_address:
        return "From shows another address beside its own";
    case address_fault::not_text:
        return "From has controls or is not UTF-8";
    case address_fault::too_many:
        return "From has too many addresses";
    case address_fault::too_long:
        return "From is too long";
    }
    return "From is malformed";
}

} // namespace

std::expected<std::vector<mailbox>, author_refusal> authors_of(const header_scanner& header) {
    using enum header_fault;
    if (header.has(too_long) || header.has(too_many_fields)) {
        return refuse(author_fault::long_header);
    }
    if (header.has(malformed_line) || header.has(mbox_line) || header.has(nul) ||
        header.has(line_control)) {
        return refuse(author_fault::unclear_header);
    }
    const header_field* from = nullptr;
    for (const header_field& field : header.fields()) {
        if (!is_name(header.name(field), "from")) {
            continue;
        }
        if (from != nullptr) {
            return refuse(author_fault::several_froms);
        }
        from = &field;
    }
    if (from == nullptr) {
        return refuse(author_fault::no_from);
    }
    // Programs that end the header at a line of blanks see no From after it; those that go on do.
    const auto blank_line_at = header.fault_at(blank_line);
    if (from->blank_before_colon() ||
        (blank_line_at && *blank_line_at < std::size_t{from->wire_at} + from->wire_bytes)) {
        return refuse(author_fault::unclear_from);
    }
    auto mailboxes = parse_mailbox_list(unfolded(header.value(*from)));
    if (!mailboxes) {
        return refuse(author_fault::address, mailboxes.error());
    }
    return std::move(*mailboxes);
}

byte_view text_of(const author_refusal& refusal) noexcept {
    switch (refusal.fault) {
    case author_fault::no_from:
        return "no From field";
    case author_fault::several_froms:
        return "more than one From field";
    case author_fault::unclear_header:
        return "a line of the header is malformed";
    case author_fault::long_header:
        return "the header is too long";
    case author_fault::unclear_from:
        return "the From field is malformed";
    case author_fault::address:
        break;
    }
    return refusal.address ? text_of(*refusal.address) : "From is malformed";
}

} // namespace ebbgate::mail
