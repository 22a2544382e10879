#include "stage/content/cid_finder.h"

#include "base/text.h"

#include <algorithm>

namespace ebbgate::content {

namespace {

constexpr byte_view scheme = "cid:";

bool ends_id(char c) noexcept {
    return c == '"' || c == '\'' || c == '>' || c == '<' || c == ')' || is_space(c);
}

std::string percent_decoded(byte_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto high = at + 2 < text.size() ? hex_digit(text[at + 1]) : std::nullopt;
        const auto low = at + 2 < text.size() ? hex_digit(text[at + 2]) : std::nullopt;
        if (text[at] == '%' && high && low) {
            out += static_cast<char>(*high << 4 | *low);
            at += 2;
        } else {
            out += text[at];
        }
    }
    return out;
}

// How much of the end may begin "cid:".
std::size_t undecided_tail(byte_view text) noexcept {
    for (std::size_t bytes = std::min(scheme.size() - 1, text.size()); bytes > 0; --bytes) {
        if (same_ignoring_case(text.substr(text.size() - bytes), scheme.substr(0, bytes))) {
            return bytes;
        }
    }
    return 0;
}

std::size_t find_scheme(byte_view text) noexcept {
    for (std::size_t colon = text.find(':'); colon != byte_view::npos;
         colon = text.find(':', colon + 1)) {
        if (colon + 1 >= scheme.size() &&
            same_ignoring_case(text.substr(colon + 1 - scheme.size(), scheme.size()), scheme)) {
            return colon + 1 - scheme.size();
        }
    }
    return byte_view::npos;
}

} // namespace

void cid_finder::push(byte_view html) {
    std::string joined;
    if (!held_.empty()) {
        joined = std::move(held_);
        held_.clear();
        joined += html;
        html = joined;
    }
    for (;;) {
        const std::size_t found = find_scheme(html);
        if (found == byte_view::npos) {
            held_ = html.substr(html.size() - undecided_tail(html));
            return;
        }
        html.remove_prefix(found);
        const byte_view id = html.substr(scheme.size(), id_bytes_max + 1);
        const auto end =
            static_cast<std::size_t>(std::find_if(id.begin(), id.end(), ends_id) - id.begin());
        if (end == id.size() && end <= id_bytes_max) {
            held_ = html; // It may go on.
            return;
        }
        if (end <= id_bytes_max) {
            add(id.substr(0, end));
        } else {
            any_ = true;
        }
        html.remove_prefix(scheme.size());
    }
}

void cid_finder::finish() {
    if (held_.size() > scheme.size()) {
        add(byte_view(held_).substr(scheme.size()));
    }
    held_.clear();
}

void cid_finder::add(byte_view id) {
    // A character reference of HTML stands for something that we do not look up.
    if (ids_.size() >= ids_max || id.find('&') != byte_view::npos) {
        any_ = true;
        return;
    }
    ids_.insert(percent_decoded(id));
    if (const std::size_t comma = id.find(','); comma != byte_view::npos) {
        ids_.insert(percent_decoded(id.substr(0, comma))); // In a srcset it separates.
    }
}

bool cid_finder::refers_to(byte_view content_id) const {
    content_id = trimmed(content_id);
    if (content_id.starts_with('<') && content_id.ends_with('>')) {
        content_id = content_id.substr(1, content_id.size() - 2);
    }
    return any_ || ids_.contains(content_id);
}

} // namespace ebbgate::content
