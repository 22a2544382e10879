#include "stage/content/tar_reader.h"

#include "stage/content/file_kind.h"

#include <algorithm>
#include <charconv>

namespace ebbgate::content {

namespace {

constexpr std::size_t size_at = 124;
constexpr std::size_t size_bytes = 12;
constexpr std::size_t type_at = 156;
constexpr std::size_t cut_name_bytes = 99; // Of 100, where a NUL may have a place.
constexpr std::uint64_t size_max = std::uint64_t{1} << 50;

byte_view field(byte_view header, std::size_t at, std::size_t bytes) noexcept {
    const byte_view whole = header.substr(at, bytes);
    return whole.substr(0, whole.find('\0'));
}

// Octal with blanks around it, or base 256 when the first bit is set.
std::optional<std::uint64_t> number(byte_view text) noexcept {
    std::uint64_t value = 0;
    const auto first = static_cast<unsigned char>(text[0]);
    if ((first & 0x80U) != 0) {
        value = first & 0x7fU;
        for (const char c : text.substr(1)) {
            if (value > size_max) {
                return std::nullopt;
            }
            value = value << 8 | static_cast<unsigned char>(c);
        }
        return value > size_max ? std::nullopt : std::optional(value);
    }
    bool ended = false;
    for (const char c : text) {
        if (c == ' ' || c == '\0') {
            ended = ended || value > 0 || c == '\0';
        } else if (c < '0' || c > '7' || ended) {
            return std::nullopt;
        } else {
            value = value * 8 + static_cast<std::uint64_t>(c - '0');
        }
    }
    return value;
}

bool is_zero(byte_view block) noexcept {
    return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

bool has_extension(byte_view name) noexcept {
    const std::size_t slash = name.rfind('/');
    return name.find('.', slash == byte_view::npos ? 0 : slash) != byte_view::npos;
}

constexpr std::uint64_t padded(std::uint64_t bytes) noexcept {
    return (bytes + tar_block_bytes - 1) / tar_block_bytes * tar_block_bytes;
}

} // namespace

tar_reader::tar_reader(member_handler& handler, const listing_limits& limits)
    : counter_(handler, limits), limits_(limits), wanted_(tar_block_bytes) {}

void tar_reader::fail(listing_fault fault) noexcept {
    if (fault_ == listing_fault::none) {
        fault_ = fault;
    }
}

void tar_reader::feed(byte_view bytes) {
    while (!bytes.empty() && fault_ == listing_fault::none) {
        if (state_ == state::over) {
            // Zeros fill the last record; programs that are told to read on see anything else.
            if (!is_zero(bytes)) {
                fail(listing_fault::disagreement);
            }
            return;
        }
        if (state_ == state::skip) {
            const std::uint64_t taken = std::min<std::uint64_t>(skip_, bytes.size());
            skip_ -= taken;
            bytes.remove_prefix(static_cast<std::size_t>(taken));
            state_ = skip_ == 0 ? state::header : state::skip;
            continue;
        }
        const std::size_t taken = std::min(wanted_ - block_.size(), bytes.size());
        block_.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        if (block_.size() == wanted_) {
            if (state_ == state::header) {
                take_header();
            } else {
                take_meta();
            }
        }
    }
}

void tar_reader::finish() {
    // Without the two blocks of zeros, or without the last padding, it still ends between members.
    const bool between = state_ == state::over || (state_ == state::header && block_.empty());
    if (!any_ || !between || !other_name_.empty() || other_size_) {
        fail(listing_fault::broken);
    }
}

void tar_reader::take_header() {
    const std::string header = std::move(block_);
    block_.clear();
    if (is_zero(header)) {
        state_ = zero_block_ ? state::over : state::header;
        zero_block_ = true;
        any_ = true;
        return;
    }
    const auto size = number(byte_view(header).substr(size_at, size_bytes));
    if (zero_block_) {
        return fail(listing_fault::disagreement); // Some programs end at one block of zeros.
    }
    if (!is_tar_header(header) || !size) {
        return fail(listing_fault::broken);
    }
    any_ = true;
    const char type = header[type_at];
    if (!counter_.count()) {
        return fail(listing_fault::too_large);
    }
    if (type == 'L' || type == 'K' || type == 'x' || type == 'g') {
        if (*size > meta_bytes_max) {
            return fail(listing_fault::too_large);
        }
        if (*size == 0) {
            return fail(listing_fault::broken);
        }
        meta_type_ = type;
        state_ = state::meta;
        wanted_ = static_cast<std::size_t>(padded(*size));
        padding_ = wanted_ - *size;
        return;
    }
    if (type == 'S') {
        return fail(listing_fault::disagreement); // More headers follow, for those who know them.
    }
    // Where the data ends is the one thing all must agree on.
    if (other_size_ && *other_size_ != *size) {
        return fail(listing_fault::disagreement);
    }
    other_size_.reset();
    std::string name;
    if (byte_view(header).substr(257, 6) == byte_view("ustar\0", 6)) {
        const byte_view prefix = field(header, 345, 155);
        name = prefix.empty() ? std::string() : std::string(prefix) + "/";
    }
    const byte_view stored = field(header, 0, 100);
    name += stored;
    const bool is_folder = type == '5' || (name.ends_with('/') && *size == 0);
    if (!is_folder) {
        // Programs that do not know the other name use this one, which often is a part of it: as
        // it is, or cut in other letters.
        const bool is_cut =
            !other_name_.empty() && (byte_view(other_name_).starts_with(name) ||
                                     (stored.size() >= cut_name_bytes && !has_extension(stored)));
        if (!is_cut) {
            tell(name);
        }
        if (!other_name_.empty()) {
            tell(other_name_);
        }
    }
    other_name_.clear();
    // Links, devices and folders have no data, whatever their size says: some skip it, some do not.
    const bool has_data = type == '0' || type == '\0' || type == '7';
    if (!has_data && *size > 0) {
        return fail(listing_fault::disagreement);
    }
    skip_ = padded(*size);
    state_ = skip_ == 0 ? state::header : state::skip;
}

void tar_reader::tell(byte_view name) {
    if (!counter_.tell(name, false)) {
        fail(listing_fault::too_large);
    }
}

void tar_reader::take_meta() {
    block_.resize(block_.size() - static_cast<std::size_t>(padding_));
    if (meta_type_ == 'L') {
        other_name_ = field(block_, 0, block_.size());
    } else if (meta_type_ != 'K') {
        take_pax();
    }
    block_.clear();
    wanted_ = tar_block_bytes;
    state_ = state::header;
}

// "LENGTH KEY=VALUE\n", the length being that of all of it.
bool tar_reader::take_pax_record(byte_view& text) {
    std::size_t length = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto digits = static_cast<std::size_t>(stop - text.data());
    if (error != std::errc() || length <= digits + 1 || length > text.size() ||
        text[digits] != ' ' || text[length - 1] != '\n') {
        return false;
    }
    const byte_view record = text.substr(digits + 1, length - digits - 2);
    text.remove_prefix(length);
    const std::size_t equals = record.find('=');
    if (equals == byte_view::npos) {
        return false;
    }
    const byte_view key = record.substr(0, equals);
    const byte_view value = record.substr(equals + 1);
    if (key == "path" || key == "GNU.sparse.name") {
        if (value.empty()) {
            return true;
        }
        if (!other_name_.empty()) {
            tell(other_name_); // A second one: judge both.
        }
        other_name_ = value;
    } else if (key == "size") {
        std::uint64_t size = 0;
        const auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), size);
        if (bad != std::errc() || end != value.data() + value.size() ||
            (other_size_ && *other_size_ != size)) {
            return false;
        }
        other_size_ = size;
    }
    return true;
}

void tar_reader::take_pax() {
    byte_view text = block_;
    while (!text.empty()) {
        if (!take_pax_record(text)) {
            return fail(listing_fault::broken);
        }
    }
    if (meta_type_ == 'g') {
        // For all members that follow: a name or a size for all of them makes no sense.
        if (!other_name_.empty() || other_size_) {
            return fail(listing_fault::disagreement);
        }
    }
}

} // namespace ebbgate::content
