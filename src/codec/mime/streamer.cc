#include "ebbgate/mime/streamer.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/mime/boundary_search.h"

#include "base/text.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ebbgate::mime {
namespace {

constexpr std::size_t padding_max = 998; // Blanks behind a boundary: as long as a line may be.
constexpr std::size_t boundary_line_max = 2 + boundary_bytes_max + 2 + padding_max + 2;

bool is_blank_text(byte_view text) noexcept {
    return std::all_of(text.begin(), text.end(), is_blank);
}

// How much of the end may be the start of a boundary, or of the line end before one.
std::size_t undecided_tail(byte_view text) noexcept {
    for (const byte_view tail : {"\r\n-", "\n-", "\r\n", "\n", "\r"}) {
        if (text.ends_with(tail)) {
            return tail.size();
        }
    }
    return 0;
}

} // namespace

streamer::streamer(visitor& events, stream_limits limits) : events_(events), limits_(limits) {
    EBBGATE_ASSERT(limits.header_bytes_max <= gib); // The places in a field have 32 bits.
}

void streamer::clear() {
    open_.clear();
    open_multiparts_ = 0;
    parts_ = 0;
    given_ = 0;
    opaque_ = false;
    in_header_ = false;
    at_line_start_ = false;
    held_.clear();
}

void streamer::push(byte_view chunk) {
    if (open_.empty()) {
        begin_part(no_part);
    }
    while (!chunk.empty()) {
        chunk.remove_prefix(in_header_ ? take_header(chunk) : take_body(chunk));
    }
}

void streamer::finish() {
    push({});
    while (in_header_ || !held_.empty()) {
        if (!in_header_) {
            finish_held(); // The last line may be a boundary, and begin a part.
        } else if (header_.size() > line_at_) {
            take_header_line(byte_view(header_).substr(line_at_));
        } else {
            note(open_.back(), ambiguity::unended_header, given_ + header_.size());
            end_header(header_.size());
        }
    }
    close_parts_above(0);
}

void streamer::begin_part(std::uint32_t parent) {
    frame begun;
    begun.it.index = parts_++;
    begun.it.parent = parent;
    begun.it.depth = static_cast<std::uint32_t>(open_.size());
    begun.it.header_at = given_;
    open_.push_back(std::move(begun));
    header_.clear();
    fields_.clear();
    line_at_ = 0;
    in_header_ = true;
    events_.part_begin(open_.back().it);
}

std::size_t streamer::take_body(byte_view chunk) {
    if (opaque_ || open_multiparts_ == 0) {
        give_text(chunk);
        return chunk.size();
    }
    if (at_line_start_ || !held_.empty()) {
        return take_line_start(chunk);
    }
    std::size_t given = 0;
    for (std::size_t from = 0;;) {
        const std::size_t found = find_dash_line(chunk.substr(from));
        if (found == byte_view::npos) {
            const std::size_t tail = undecided_tail(chunk.substr(from));
            give_text(chunk.substr(given, chunk.size() - tail - given));
            held_.assign(chunk.substr(chunk.size() - tail));
            return chunk.size();
        }
        const std::size_t line_feed = from + found;
        const judged line = judge_ahead(chunk.substr(line_feed + 1));
        from = line_feed + 1;
        if (line.is == verdict::text && near_ == 0 && after_end_ == 0) {
            continue;
        }
        const std::size_t line_end =
            line_feed > given && chunk[line_feed - 1] == '\r' ? line_feed - 1 : line_feed;
        give_text(chunk.substr(given, line_end - given)); // A report stands behind it.
        given = line_end;
        report(line, given_ + from - line_end);
        if (line.is == verdict::text) {
            continue;
        }
        if (line.is == verdict::undecided) {
            held_.assign(chunk.substr(line_end));
            return chunk.size();
        }
        std::size_t end = chunk.find('\n', from) + 1; // It is there, else we were undecided.
        if (line.closing) {
            end -= chunk[end - 2] == '\r' ? 2U : 1U;
        }
        take_boundary(line, chunk.substr(line_end, end - line_end));
        return end;
    }
}

// The line may have begun in the last chunk, or ended a header. Puts together in held_ what is
// needed to judge it.
std::size_t streamer::take_line_start(byte_view chunk) {
    std::size_t taken = 0;
    if (!skip_held_line_end(chunk, taken)) {
        return taken;
    }
    const byte_view held_line = byte_view(held_).substr(held_line_end_bytes_);
    const std::size_t held_bytes = held_.size();
    const std::size_t room = boundary_line_max - std::min(boundary_line_max, held_line.size());
    const byte_view ahead = chunk.substr(0, room);
    const std::size_t line_feed = ahead.find('\n');
    const bool ended = line_feed != byte_view::npos;
    held_.append(ahead.substr(0, line_feed));
    const judged line = judge(byte_view(held_).substr(held_line_end_bytes_), ended);
    report(line, given_ + held_line_end_bytes_);
    if (line.is == verdict::undecided) {
        return taken + ahead.size();
    }
    if (line.is == verdict::text) {
        held_.resize(held_bytes);
        give_held_text();
        return taken;
    }
    if (!line.closing) {
        held_ += '\n';
        take_boundary(line, std::exchange(held_, {}));
        return taken + line_feed + 1;
    }
    // The line end behind it belongs to what follows.
    const bool has_return = held_.ends_with('\r');
    if (has_return) {
        held_.pop_back();
    }
    const std::string bytes = std::exchange(held_, has_return ? "\r" : "");
    take_boundary(line, bytes);
    return taken + line_feed;
}

// True: held_ is empty, or is a whole line end and perhaps some of a line. `chunk` is moved on by
// what was `taken` of it, and then it is not empty.
bool streamer::skip_held_line_end(byte_view& chunk, std::size_t& taken) {
    const auto take_one = [&] {
        held_ += chunk.front();
        chunk.remove_prefix(1);
        ++taken;
    };
    if (at_line_start_) {
        held_line_end_bytes_ = 0;
        return !chunk.empty();
    }
    if (held_ == "\r") {
        if (chunk.front() != '\n') {
            give_text(std::exchange(held_, {}));
            return false; // The line goes on.
        }
        take_one();
    }
    held_line_end_bytes_ = held_.front() == '\r' ? 2 : 1;
    return !chunk.empty();
}

// It is no boundary; a return at its end may still belong to the next one.
void streamer::give_held_text() {
    const bool keeps_return = held_.size() > held_line_end_bytes_ && held_.ends_with('\r');
    std::string text = std::exchange(held_, keeps_return ? "\r" : "");
    if (keeps_return) {
        text.pop_back();
    }
    at_line_start_ = false;
    give_text(text);
}

void streamer::finish_held() {
    const std::size_t line_end = at_line_start_ ? 0 : held_.starts_with("\r\n") ? 2 : 1;
    const judged line =
        held_.size() > line_end ? judge(byte_view(held_).substr(line_end), true) : judged{};
    report(line, given_ + line_end);
    const std::string bytes = std::exchange(held_, {});
    if (line.is == verdict::boundary) {
        take_boundary(line, bytes);
    } else {
        give_text(bytes);
    }
}

// `line` is without its LF, and not complete unless `ended`.
streamer::judged streamer::judge(byte_view line, bool ended) noexcept {
    near_ = 0;
    after_end_ = 0;
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    bool possible = false;
    for (std::size_t i = open_.size(); i-- > 0;) {
        const byte_view delimiter = open_[i].delimiter;
        if (delimiter.empty()) {
            continue;
        }
        if (!line.starts_with(delimiter)) {
            possible = possible || delimiter.starts_with(line);
            continue;
        }
        byte_view rest = line.substr(delimiter.size());
        const bool closing = rest.starts_with("--");
        if (closing) {
            rest.remove_prefix(2);
        }
        const bool is_half = !ended && !closing && rest == "-";
        if (rest.size() > padding_max || !(is_half || is_blank_text(rest))) {
            near_ = i + 1;
        } else if (!ended) {
            possible = true;
        } else if (open_[i].closed) {
            after_end_ = i + 1;
        } else {
            near_ = 0;
            after_end_ = 0;
            return {verdict::boundary, i, closing};
        }
    }
    if (!ended && possible) {
        near_ = 0;
        return {verdict::undecided, 0, false};
    }
    return {};
}

// `text` begins with a line of which there may be more than fits.
streamer::judged streamer::judge_ahead(byte_view text) noexcept {
    text = text.substr(0, boundary_line_max);
    const bool possible = std::any_of(open_.begin(), open_.end(), [&](const frame& open) {
        const std::size_t bytes = std::min(open.delimiter.size(), text.size());
        return !open.delimiter.empty() &&
               std::memcmp(open.delimiter.data(), text.data(), bytes) == 0;
    });
    if (!possible) {
        near_ = 0;
        after_end_ = 0;
        return {};
    }
    const std::size_t line_feed = text.find('\n');
    return judge(text.substr(0, line_feed), line_feed != byte_view::npos);
}

void streamer::report(const judged& line, std::uint64_t at) {
    if (line.is == verdict::text && near_ != 0) {
        note(open_[near_ - 1], ambiguity::near_boundary, at);
    }
    if (line.is == verdict::text && after_end_ != 0) {
        note(open_[after_end_ - 1], ambiguity::boundary_after_end, at);
    }
    near_ = 0;
    after_end_ = 0;
}

// `bytes`: the line, the line end before it, and the one behind it unless it closes.
void streamer::take_boundary(const judged& line, byte_view bytes) {
    at_line_start_ = false;
    close_parts_above(line.frame_at + 1);
    frame& open = open_[line.frame_at];
    const bool bare =
        bytes.starts_with('\n') || (bytes.ends_with('\n') && !bytes.ends_with("\r\n"));
    if (bare) {
        note(open, ambiguity::bare_newline, given_);
    }
    give(open.it, region::boundary, bytes);
    if (line.closing) {
        open.closed = true;
        return;
    }
    open.has_parts = true;
    if (parts_ >= limits_.parts_max) {
        note(open, ambiguity::too_many_parts, given_);
        opaque_ = true;
        return;
    }
    begin_part(open.it.index);
}

void streamer::close_parts_above(std::size_t frames) {
    while (open_.size() > frames) {
        frame& open = open_.back();
        if (!open.delimiter.empty()) {
            if (!open.has_parts) {
                note(open, ambiguity::no_parts, given_);
            }
            if (!open.closed) {
                note(open, ambiguity::no_closing_boundary, given_);
            }
            --open_multiparts_;
        }
        events_.body_end(open.it, given_);
        events_.part_end(open.it);
        open_.pop_back();
    }
}

void streamer::give_text(byte_view bytes) {
    const frame& open = open_.back();
    region where = region::body;
    if (!opaque_ && !open.delimiter.empty()) {
        where = open.closed ? region::epilogue : region::preamble;
    }
    give(open.it, where, bytes);
}

void streamer::give(const part& it, region where, byte_view bytes) {
    if (!bytes.empty()) {
        given_ += bytes.size();
        events_.bytes(it, where, given_ - bytes.size(), bytes);
    }
}

void streamer::note(frame& open, ambiguity kind, std::uint64_t at) {
    if (!open.reported.has(kind)) {
        open.reported.add(kind);
        events_.unclear(open.it, kind, at);
    }
}

} // namespace ebbgate::mime
