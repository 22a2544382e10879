#include "codec/dkim/header_index.h"

#include "base/text.h"

#include <algorithm>

namespace ebbgate::dkim {

byte_view name_of(byte_view field) noexcept {
    byte_view name = field.substr(0, field.find(':'));
    while (!name.empty() && is_blank(name.back())) {
        name.remove_suffix(1);
    }
    return name;
}

header_index::header_index(std::span<const byte_view> fields)
    : fields_(fields), next_(fields.size(), 0) {
    entries_.reserve(fields.size());
    for (std::uint32_t at = 0; at < fields.size(); ++at) {
        entries_.push_back({lowered(name_of(fields[at])), at});
    }
    std::ranges::sort(entries_, [](const entry& left, const entry& right) {
        const int order = left.name.compare(right.name);
        return order != 0 ? order < 0 : left.at > right.at;
    });
}

std::optional<byte_view> header_index::take(byte_view name) {
    const std::string wanted = lowered(name);
    const auto group = std::ranges::lower_bound(entries_, wanted, {}, &entry::name);
    if (group == entries_.end()) {
        return std::nullopt;
    }
    const auto first = static_cast<std::size_t>(group - entries_.begin());
    for (std::size_t at = first + next_[first]; at < entries_.size(); ++at) {
        if (entries_[at].name != wanted) {
            return std::nullopt;
        }
        ++next_[first];
        if (entries_[at].at != without_) {
            return fields_[entries_[at].at];
        }
    }
    return std::nullopt;
}

void header_index::reset(std::size_t without) {
    std::ranges::fill(next_, 0U);
    without_ = without;
}

} // namespace ebbgate::dkim
