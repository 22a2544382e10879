#include "ebbgate/smtp/line_reader.h"

namespace ebbgate::smtp {

namespace {

std::expected<byte_view, line_fault> checked(byte_view line) noexcept {
    if (line.size() > line_reader::line_bytes_max) {
        return std::unexpected(line_fault::too_long);
    }
    if (!line.ends_with('\r')) {
        return std::unexpected(line_fault::bare_lf);
    }
    line.remove_suffix(1);
    if (line.find('\r') != byte_view::npos) {
        return std::unexpected(line_fault::bare_cr);
    }
    if (line.find('\0') != byte_view::npos) {
        return std::unexpected(line_fault::nul);
    }
    return line;
}

} // namespace

line_reader::outcome line_reader::next(byte_view chunk) {
    if (spent_) {
        std::string().swap(kept_); // An idle session keeps no buffer.
        spent_ = false;
    }
    outcome result;
    const std::size_t end = chunk.find('\n');
    const byte_view piece = chunk.substr(0, end);
    result.consumed_bytes = end == byte_view::npos ? chunk.size() : end + 1;
    if (end == byte_view::npos) {
        if (too_long_ || kept_.size() + piece.size() > line_bytes_max) {
            too_long_ = true;
            std::string().swap(kept_);
        } else {
            kept_.append(piece);
        }
        return result;
    }
    if (too_long_) {
        too_long_ = false;
        result.line = std::unexpected(line_fault::too_long);
    } else if (kept_.empty()) {
        result.line = checked(piece);
    } else if (kept_.size() + piece.size() > line_bytes_max) {
        spent_ = true;
        result.line = std::unexpected(line_fault::too_long);
    } else {
        kept_.append(piece);
        spent_ = true;
        result.line = checked(kept_);
    }
    return result;
}

} // namespace ebbgate::smtp
