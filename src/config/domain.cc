#include "config/domain.h"

#include "config/address.h"

#include <algorithm>
#include <idn2.h>
#include <memory>

namespace ebbgate::config {

namespace {

bool has_a_label(std::string_view lower) {
    return lower.starts_with("xn--") || lower.find(".xn--") != std::string_view::npos;
}

struct idn2_deleter {
    void operator()(std::uint8_t* text) const noexcept { idn2_free(text); }
};

} // namespace

bool is_ascii(std::string_view text) noexcept {
    return std::all_of(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::optional<std::string> to_a_labels(std::string_view domain) {
    if (domain.empty() || domain.size() > domain_text_bytes_max || domain.ends_with('.')) {
        return std::nullopt;
    }
    std::string lower = lower_ascii(domain);
    const bool ascii = is_ascii(lower);
    if (ascii && !is_host_name(lower)) {
        return std::nullopt;
    }
    if (ascii && !has_a_label(lower)) {
        return lower;
    }
    // A written A-label is checked too: "xn--" with anything behind it would never match.
    if (lower.find('\0') != std::string::npos) {
        return std::nullopt;
    }
    std::uint8_t* made = nullptr;
    if (idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(lower.c_str()),
                       &made,
                       IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK) {
        return std::nullopt;
    }
    const std::unique_ptr<std::uint8_t, idn2_deleter> kept(made);
    lower = lower_ascii(reinterpret_cast<const char*>(made));
    // Mapping may yield a dot (an ideographic full stop) or other characters: judged afterwards.
    if (!is_host_name(lower)) {
        return std::nullopt;
    }
    return lower;
}

} // namespace ebbgate::config
