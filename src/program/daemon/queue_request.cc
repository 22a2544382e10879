#include "program/daemon/queue_request.h"

#include "ebbgate/message/message_id.h"

#include "config/address.h"

#include <algorithm>

namespace ebbgate::program {

std::optional<relay::queue_filter> filter_of(const admin::request& asked) {
    relay::queue_filter filter;
    filter.domain = config::lower_ascii(asked.text("domain"));
    filter.tenant = asked.text("tenant");
    if (const std::string_view id = asked.text("id"); !id.empty()) {
        filter.message_id = message::from_text(id);
        if (!filter.message_id) {
            return std::nullopt;
        }
    }
    return filter;
}

std::string subject_of(const admin::request& asked) {
    const std::string_view id = asked.text("id");
    const std::string_view domain = asked.text("domain");
    return std::string(!id.empty() ? id : domain.empty() ? std::string_view("*") : domain);
}

bool is_reason(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

} // namespace ebbgate::program
