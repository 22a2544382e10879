#include "ebbgate/smtp/line_reader.h"

#include "codec/smtp/text.h"

#include <algorithm>
#include <cstring>

namespace ebbgate::smtp {
namespace {

constexpr std::size_t verb_bytes = 5; // "auth "

// With CRLF. A command line may be as long as a SASL line when it is AUTH, which its first bytes
// say; so the limit is known before there is anything to cut.
std::size_t limit_for(byte_view line, line_kind kind) noexcept {
    const bool long_line = kind == line_kind::sasl || starts_ignoring_case(line, "auth ");
    return long_line ? sasl_line_bytes_max : command_line_bytes_max;
}

} // namespace

line_step line_reader::finish(byte_view line, std::size_t consumed, line_kind kind) noexcept {
    const std::size_t line_bytes = seen_bytes_;
    seen_bytes_ = 0;
    served_from_partial_ = !partial_.empty();
    if (line_bytes > limit_for(line, kind)) {
        return {consumed, line_outcome::too_long, line};
    }
    if (line.size() < 2 || line[line.size() - 2] != '\r') {
        return {consumed, line_outcome::bare_lf, line};
    }
    line.remove_suffix(2);
    if (std::memchr(line.data(), '\r', line.size()) != nullptr) {
        return {consumed, line_outcome::bare_cr, line};
    }
    return {consumed, line_outcome::line, line};
}

// Keeps no more than the longest line that could still be good; the rest is only counted.
void line_reader::keep(byte_view bytes, line_kind kind) {
    // The start first: it says which limit holds.
    const std::size_t start_bytes =
        std::min(bytes.size(), verb_bytes - std::min(partial_.size(), verb_bytes));
    partial_.append(bytes.substr(0, start_bytes));
    bytes.remove_prefix(start_bytes);
    const std::size_t limit = limit_for(partial_, kind);
    if (partial_.size() < limit) {
        partial_.append(bytes.substr(0, limit - partial_.size()));
    }
}

line_step line_reader::next(byte_view chunk, line_kind kind) {
    if (served_from_partial_) {
        forget();
    }
    if (chunk.empty()) {
        return {};
    }
    const std::size_t room = line_discard_bytes_max - seen_bytes_;
    const byte_view within = chunk.substr(0, room);
    const void* found = std::memchr(within.data(), '\n', within.size());
    const std::size_t taken =
        found == nullptr
            ? within.size()
            : static_cast<std::size_t>(static_cast<const char*>(found) - within.data()) + 1;
    seen_bytes_ += static_cast<std::uint32_t>(taken);
    if (found != nullptr && partial_.empty() && seen_bytes_ == taken) {
        return finish(within.substr(0, taken), taken, kind); // Whole in the chunk: no copy.
    }
    if (found == nullptr && seen_bytes_ == line_discard_bytes_max) {
        seen_bytes_ = 0;
        forget();
        return {taken, line_outcome::endless, {}};
    }
    keep(within.substr(0, taken), kind);
    if (found == nullptr) {
        return {taken, line_outcome::need_more, {}};
    }
    return finish(partial_, taken, kind);
}

void line_reader::forget() noexcept {
    if (partial_.capacity() > 0) {
        explicit_bzero(partial_.data(), partial_.size());
    }
    std::string().swap(partial_);
    served_from_partial_ = false;
}

} // namespace ebbgate::smtp
