#include "ebbgate/smtp/data_decoder.h"

#include <cstring>

namespace ebbgate::smtp {

namespace {

// The end of a run that holds neither CR nor LF. Two memchr passes would read a long text twice;
// LF ends nearly every run, so the CR is looked for only up to it.
std::size_t plain_run(byte_view bytes) noexcept {
    const auto* lf = static_cast<const char*>(std::memchr(bytes.data(), '\n', bytes.size()));
    const std::size_t limit =
        lf == nullptr ? bytes.size() : static_cast<std::size_t>(lf - bytes.data());
    const auto* cr = static_cast<const char*>(std::memchr(bytes.data(), '\r', limit));
    return cr == nullptr ? limit : static_cast<std::size_t>(cr - bytes.data());
}

} // namespace

std::expected<data_progress, data_fault> data_decoder::feed(byte_view chunk) noexcept {
    data_progress progress;
    // What the last chunk ended with, undecided between message and end mark.
    const byte_view undecided = state_ == state::dot_seen      ? byte_view(".")
                                : state_ == state::dot_cr_seen ? byte_view(".\r")
                                                               : byte_view();
    std::size_t at = 0;
    std::size_t mark_at = 0; // Where in this chunk the dot that may end the message stands.
    bool mark_here = false;
    while (at < chunk.size()) {
        const char c = chunk[at];
        switch (state_) {
        case state::line_start:
            if (c == '.') {
                state_ = state::dot_seen;
                mark_at = at++;
                mark_here = true;
                break;
            }
            [[fallthrough]];
        case state::in_line:
            at += plain_run(chunk.substr(at));
            state_ = state::in_line;
            if (at < chunk.size()) {
                if (chunk[at] == '\n') {
                    return std::unexpected(data_fault::bare_lf);
                }
                state_ = state::cr_seen;
                ++at;
            }
            break;
        case state::cr_seen:
            if (c != '\n') {
                return std::unexpected(data_fault::bare_cr);
            }
            state_ = state::line_start;
            ++at;
            break;
        case state::dot_seen:
            if (c == '\n') {
                return std::unexpected(data_fault::bare_lf);
            }
            state_ = c == '\r' ? state::dot_cr_seen : state::in_line;
            at += c == '\r' ? 1 : 0;
            break;
        case state::dot_cr_seen:
            if (c != '\n') {
                return std::unexpected(data_fault::bare_cr);
            }
            progress.consumed_bytes = at + 1;
            progress.message = chunk.substr(0, mark_here ? mark_at : 0);
            progress.held_back = mark_here ? undecided : byte_view();
            progress.complete = true;
            state_ = state::line_start;
            return progress;
        }
    }
    const bool open = state_ == state::dot_seen || state_ == state::dot_cr_seen;
    progress.consumed_bytes = chunk.size();
    // A mark still open from an earlier chunk stays undecided; one of this chunk is kept back.
    progress.held_back = open && !mark_here ? byte_view() : undecided;
    progress.message = open ? chunk.substr(0, mark_here ? mark_at : 0) : chunk;
    return progress;
}

std::expected<bdat_stuffer::stuffed, data_fault> bdat_stuffer::next(byte_view chunk) noexcept {
    stuffed step;
    if (state_ == state::cr_seen) {
        if (chunk.front() != '\n') {
            return std::unexpected(data_fault::bare_cr);
        }
        state_ = state::line_start;
        step.bytes = 1;
        return step;
    }
    step.dot_first = state_ == state::line_start && chunk.front() == '.';
    step.bytes = plain_run(chunk);
    state_ = state::in_line;
    if (step.bytes == chunk.size()) {
        return step;
    }
    if (chunk[step.bytes] == '\n') {
        return std::unexpected(data_fault::bare_lf);
    }
    ++step.bytes;
    state_ = state::cr_seen;
    if (step.bytes < chunk.size()) {
        if (chunk[step.bytes] != '\n') {
            return std::unexpected(data_fault::bare_cr);
        }
        ++step.bytes;
        state_ = state::line_start;
    }
    return step;
}

std::expected<byte_view, data_fault> bdat_stuffer::finish() const noexcept {
    switch (state_) {
    case state::line_start:
        return byte_view();
    case state::in_line:
        return byte_view("\r\n");
    case state::cr_seen:
        break;
    }
    return std::unexpected(data_fault::bare_cr);
}

} // namespace ebbgate::smtp
