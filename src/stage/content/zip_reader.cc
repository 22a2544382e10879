#include "stage/content/zip_reader.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace ebbgate::content {

namespace {

constexpr std::uint32_t local_signature = 0x0403'4b50;
constexpr std::uint32_t central_signature = 0x0201'4b50;
constexpr std::uint32_t descriptor_signature = 0x0807'4b50;
constexpr std::uint32_t archive_extra_signature = 0x0806'4b50;
constexpr std::uint32_t signed_signature = 0x0505'4b50;
constexpr std::uint32_t end64_signature = 0x0606'4b50;
constexpr std::uint32_t locator_signature = 0x0706'4b50;
constexpr std::uint32_t end_signature = 0x0605'4b50;
constexpr std::uint32_t spanned_signature = 0x3030'4b50; // "PK00", of what became one volume.

// Behind the signature.
constexpr std::size_t local_bytes = 26;
constexpr std::size_t central_bytes = 42;
constexpr std::size_t end_bytes = 18;
constexpr std::size_t locator_bytes = 16;
constexpr std::size_t end64_bytes = 52;

constexpr std::uint32_t in_extra32 = 0xffff'ffff;
constexpr std::uint16_t in_extra16 = 0xffff;
constexpr std::uint16_t zip64_extra = 0x0001;
constexpr std::uint16_t unicode_path_extra = 0x7075;
constexpr std::uint16_t aes_method = 99;

// What packers make of no bytes at all.
constexpr std::uint64_t packed_nothing_max = 64;

// The longest data descriptor: signature, sum, two sizes of 64 bits.
constexpr std::size_t descriptor_bytes_max = 24;
constexpr std::size_t signature_bytes = 4;

std::uint64_t little(byte_view bytes, std::size_t at, std::size_t count) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = count; i > 0; --i) {
        value = value << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
    }
    return value;
}

bool follows_data(std::uint64_t signature) noexcept {
    return signature == local_signature || signature == central_signature ||
           signature == archive_extra_signature;
}

} // namespace

zip_reader::zip_reader(member_handler& handler, const listing_limits& limits)
    : counter_(handler, limits), limits_(limits) {}

std::uint16_t zip_reader::u16(std::size_t at) const noexcept {
    return static_cast<std::uint16_t>(little(record_, at, 2));
}

std::uint32_t zip_reader::u32(std::size_t at) const noexcept {
    return static_cast<std::uint32_t>(little(record_, at, 4));
}

std::uint64_t zip_reader::u64(std::size_t at) const noexcept {
    return little(record_, at, 8);
}

void zip_reader::fail(listing_fault fault) noexcept {
    if (fault_ == listing_fault::none) {
        fault_ = fault;
    }
}

void zip_reader::expect(state next, std::size_t bytes) {
    state_ = next;
    record_.clear();
    wanted_ = bytes;
}

void zip_reader::next_record() {
    expect(state::signature, signature_bytes);
}

void zip_reader::feed(byte_view bytes) {
    while (fault_ == listing_fault::none) {
        if (state_ == state::skip) {
            const std::uint64_t taken = std::min<std::uint64_t>(skip_, bytes.size());
            skip_ -= taken;
            at_ += taken;
            bytes.remove_prefix(static_cast<std::size_t>(taken));
            if (skip_ > 0) {
                return;
            }
            if (entry_.size_behind) {
                expect(state::descriptor, descriptor_bytes_max + signature_bytes);
            } else {
                next_record();
            }
            continue;
        }
        if (state_ == state::over) {
            if (!bytes.empty()) {
                fail(listing_fault::broken); // Behind the end.
            }
            return;
        }
        if (bytes.empty() && record_.size() < wanted_) {
            return;
        }
        if (state_ == state::search) {
            bytes.remove_prefix(search_data(bytes));
            continue;
        }
        const std::size_t taken = std::min(wanted_ - record_.size(), bytes.size());
        record_.append(bytes.substr(0, taken));
        at_ += taken;
        bytes.remove_prefix(taken);
        if (record_.size() == wanted_) {
            take_record();
        }
    }
}

void zip_reader::finish() {
    if (fault_ == listing_fault::none && state_ == state::descriptor) {
        take_descriptor(); // Never the end of an archive; says what is wrong.
    }
    if (state_ != state::over) {
        fail(listing_fault::broken);
    }
}

void zip_reader::take_record() {
    switch (state_) {
    case state::signature:
        return take_signature();
    case state::local_fixed:
        return take_local_fixed();
    case state::local_rest:
        return take_local_rest();
    case state::descriptor:
        return take_descriptor();
    case state::central_fixed:
        return take_central_fixed();
    case state::central_rest:
        return take_central_rest();
    case state::end64_fixed:
        return take_end64();
    case state::end64_rest:
    case state::locator:
    case state::signed_rest:
        return next_record();
    case state::signed_fixed:
        return expect(state::signed_rest, u16(0));
    case state::end_fixed:
        return take_end();
    case state::comment:
        return take_comment();
    case state::skip:
    case state::search:
    case state::over:
        return; // Have no record.
    }
}

void zip_reader::take_signature() {
    const std::uint64_t start = at_ - signature_bytes;
    const std::uint32_t signature = u32(0);
    const bool in_locals = !central_at_ && !end64_at_;
    if (signature == local_signature && in_locals) {
        entry_ = {};
        entry_.at = start;
        expect(state::local_fixed, local_bytes);
    } else if (signature == central_signature && !end64_at_) {
        central_at_ = central_at_.value_or(start);
        expect(state::central_fixed, central_bytes);
    } else if (signature == archive_extra_signature) {
        fail(listing_fault::hidden_names);
    } else if (signature == signed_signature && central_at_ && !end64_at_) {
        expect(state::signed_fixed, 2);
    } else if (signature == end64_signature && !end64_at_) {
        end64_at_ = start;
        expect(state::end64_fixed, end64_bytes);
    } else if (signature == locator_signature && end64_at_ && !located_) {
        located_ = true;
        expect(state::locator, locator_bytes);
    } else if (signature == end_signature) {
        expect(state::end_fixed, end_bytes);
    } else if ((signature == spanned_signature || signature == descriptor_signature) &&
               start == 0) {
        next_record();
    } else {
        fail(listing_fault::broken);
    }
}

void zip_reader::read_flags(std::size_t flags_at, std::size_t method_at) {
    constexpr unsigned encrypted = 1U << 0;
    constexpr unsigned size_behind = 1U << 3;
    constexpr unsigned strong = 1U << 6;
    constexpr unsigned masked = 1U << 13;
    const unsigned flags = u16(flags_at);
    entry_.encrypted = (flags & (encrypted | strong)) != 0 || u16(method_at) == aes_method;
    entry_.size_behind = (flags & size_behind) != 0;
    if ((flags & masked) != 0) {
        fail(listing_fault::hidden_names);
    }
}

void zip_reader::take_local_fixed() {
    read_flags(2, 4);
    entry_.packed_bytes = u32(14);
    entry_.bytes = u32(18);
    entry_.name_bytes = u16(22);
    entry_.extra_bytes = u16(24);
    if (!counter_.count() || entry_.name_bytes > limits_.name_bytes_max) {
        fail(listing_fault::too_large);
    } else if (entry_.name_bytes == 0) {
        fail(listing_fault::broken);
    } else {
        expect(state::local_rest, entry_.name_bytes + entry_.extra_bytes);
    }
}

// Sizes and places that did not fit into 32 bits. False: broken.
bool zip_reader::read_extras(bool local) {
    byte_view extras = byte_view(record_).substr(entry_.name_bytes, entry_.extra_bytes);
    while (extras.size() >= 4) {
        const auto id = static_cast<std::uint16_t>(little(extras, 0, 2));
        const auto bytes = static_cast<std::size_t>(little(extras, 2, 2));
        if (bytes > extras.size() - 4) {
            return false;
        }
        byte_view field = extras.substr(4, bytes);
        extras.remove_prefix(4 + bytes);
        if (id != zip64_extra) {
            continue;
        }
        const auto take = [&field](std::uint64_t& value) {
            if (value != in_extra32) {
                return true;
            }
            if (field.size() < 8) {
                return false;
            }
            value = little(field, 0, 8);
            field.remove_prefix(8);
            return true;
        };
        if (!take(entry_.bytes) || !take(entry_.packed_bytes) || (!local && !take(entry_.at))) {
            return false;
        }
    }
    // Up to three bytes of padding are seen in practice.
    return true;
}

void zip_reader::tell_names(byte_view name, byte_view extras) {
    const bool is_folder =
        name.ends_with('/') && entry_.bytes == 0 && entry_.packed_bytes <= packed_nothing_max;
    if (!is_folder && !counter_.tell(name, entry_.encrypted)) {
        return fail(listing_fault::too_large);
    }
    // Another name, which programs that know the field prefer.
    while (extras.size() >= 4) {
        const auto id = static_cast<std::uint16_t>(little(extras, 0, 2));
        const auto bytes = static_cast<std::size_t>(little(extras, 2, 2));
        if (bytes > extras.size() - 4) {
            return;
        }
        constexpr std::size_t version_and_sum = 5;
        if (id == unicode_path_extra && bytes > version_and_sum) {
            const byte_view other = extras.substr(4 + version_and_sum, bytes - version_and_sum);
            if (!(is_folder && other.ends_with('/')) && !counter_.tell(other, entry_.encrypted)) {
                return fail(listing_fault::too_large);
            }
        }
        extras.remove_prefix(4 + bytes);
    }
}

// A sum: central directories may have another order.
void zip_reader::mix(std::uint64_t& into, byte_view name, std::uint64_t at) const noexcept {
    const std::size_t hash = std::hash<std::string_view>{}(name);
    const char* bytes = reinterpret_cast<const char*>(&at);
    into += hash ^ std::hash<std::string_view>{}({bytes, sizeof(at)});
}

void zip_reader::take_local_rest() {
    const byte_view name = byte_view(record_).substr(0, entry_.name_bytes);
    if (!read_extras(true)) {
        return fail(listing_fault::broken);
    }
    ++locals_;
    mix(local_mix_, name, entry_.at);
    const bool unknown = entry_.size_behind && entry_.packed_bytes == 0;
    entry_.may_be_empty = unknown && name.ends_with('/');
    if (unknown && !entry_.may_be_empty) {
        entry_.packed_bytes = packed_nothing_max + 1; // No folder, whatever its size will be.
    }
    tell_names(name, byte_view(record_).substr(entry_.name_bytes));
    data_at_ = at_;
    skip_ = entry_.packed_bytes;
    expect(unknown ? state::search : state::skip, 0);
}

// `behind` are the bytes in front of a record that begins at `at`: is there the end of our data?
bool zip_reader::ends_data(byte_view behind, std::uint64_t at) const noexcept {
    const auto fits = [&](std::size_t bytes, std::size_t size_bytes, bool has_signature) {
        if (behind.size() < bytes || at - data_at_ < bytes) {
            return false;
        }
        const byte_view found = behind.substr(behind.size() - bytes);
        return (!has_signature || little(found, 0, 4) == descriptor_signature) &&
               little(found, bytes - 2 * size_bytes, size_bytes) == at - data_at_ - bytes;
    };
    return (entry_.may_be_empty && at == data_at_) || fits(16, 4, true) || fits(24, 8, true) ||
           fits(12, 4, false) || fits(20, 8, false);
}

// Looks for the next record whose descriptor in front of it says the size that was passed. Keeps
// the last bytes in record_, for both may be cut anywhere. Returns what was taken.
std::size_t zip_reader::search_data(byte_view bytes) {
    constexpr std::size_t kept_bytes = descriptor_bytes_max + signature_bytes - 1;
    // First across the cut: what is kept, and as much of what is new.
    const std::size_t kept = record_.size();
    std::string seam = record_ + std::string(bytes.substr(0, kept_bytes));
    const auto look = [&](byte_view in, std::uint64_t in_at, std::size_t from) -> std::size_t {
        for (std::size_t at = in.find('P', from); at != byte_view::npos;
             at = in.find('P', at + 1)) {
            if (in.size() - at < signature_bytes) {
                break;
            }
            const std::size_t before = std::min(at, descriptor_bytes_max);
            if (follows_data(little(in, at, 4)) &&
                ends_data(in.substr(at - before, before), in_at + at)) {
                return at;
            }
        }
        return byte_view::npos;
    };
    const auto found_at = [&](std::uint64_t where) {
        // The record begins at `where`; its first bytes may be among the kept ones.
        const std::uint64_t taken_end = at_; // Where `bytes` begin.
        next_record();
        if (where < taken_end) {
            record_ = seam.substr(kept - static_cast<std::size_t>(taken_end - where),
                                  static_cast<std::size_t>(taken_end - where));
            return std::size_t{0};
        }
        at_ = where;
        return static_cast<std::size_t>(where - taken_end);
    };
    const std::uint64_t seam_at = at_ - kept;
    if (const std::size_t found = look(seam, seam_at, 0); found != byte_view::npos) {
        return found_at(seam_at + found);
    }
    if (bytes.size() > kept_bytes) {
        // What begins before was in the seam, whole.
        if (const std::size_t found = look(bytes, at_, descriptor_bytes_max);
            found != byte_view::npos) {
            return found_at(at_ + found);
        }
        record_ = bytes.substr(bytes.size() - kept_bytes);
    } else {
        record_ = seam.substr(seam.size() - std::min(seam.size(), kept_bytes));
    }
    at_ += bytes.size();
    wanted_ = record_.size() + 1; // Never reached: only feed() asks.
    return bytes.size();
}

// The record has the longest descriptor there is, and what follows the shortest.
void zip_reader::take_descriptor() {
    constexpr std::size_t lengths[] = {16, 24, 12, 20};
    const bool has_signature = record_.size() >= 4 && u32(0) == descriptor_signature;
    for (const std::size_t length : lengths) {
        const bool with_signature = length == 16 || length == 24;
        if (with_signature != has_signature || record_.size() < length + signature_bytes ||
            !follows_data(u32(length))) {
            continue;
        }
        const std::string rest = record_.substr(length);
        at_ -= rest.size();
        next_record();
        feed(rest);
        return;
    }
    fail(listing_fault::broken);
}

void zip_reader::take_central_fixed() {
    read_flags(4, 6);
    entry_.packed_bytes = u32(16);
    entry_.bytes = u32(20);
    entry_.name_bytes = u16(24);
    entry_.extra_bytes = u16(26);
    entry_.comment_bytes = u16(28);
    entry_.at = u32(38);
    if (entry_.name_bytes > limits_.name_bytes_max) {
        fail(listing_fault::too_large);
    } else if (entry_.name_bytes == 0) {
        fail(listing_fault::broken);
    } else if (centrals_ == locals_) {
        fail(listing_fault::disagreement);
    } else {
        expect(state::central_rest,
               std::size_t{entry_.name_bytes} + entry_.extra_bytes + entry_.comment_bytes);
    }
}

void zip_reader::take_central_rest() {
    const byte_view name = byte_view(record_).substr(0, entry_.name_bytes);
    if (!read_extras(false)) {
        return fail(listing_fault::broken);
    }
    ++centrals_;
    mix(central_mix_, name, entry_.at);
    tell_names(name, byte_view(record_).substr(entry_.name_bytes, entry_.extra_bytes));
    central_end_ = at_;
    next_record();
}

void zip_reader::take_end64() {
    constexpr std::uint64_t behind_size = end64_bytes - 8;
    const std::uint64_t size = u64(0);
    const std::uint64_t count = u64(28);
    if (size < behind_size || size - behind_size > 64 * kib) {
        return fail(listing_fault::broken);
    }
    if (u64(20) != count || count != centrals_ ||
        u64(36) != central_end_ - central_at_.value_or(0) ||
        (central_at_ && u64(44) != *central_at_)) {
        return fail(listing_fault::disagreement);
    }
    expect(state::end64_rest, static_cast<std::size_t>(size - behind_size));
}

void zip_reader::take_end() {
    const std::uint64_t here = at_ - end_bytes - signature_bytes;
    const std::uint64_t first = central_at_.value_or(here);
    const std::uint64_t size = central_at_ ? central_end_ - first : 0;
    const auto is = [this](std::uint64_t said, std::uint64_t found, std::uint64_t elsewhere) {
        return said == found || (said == elsewhere && end64_at_);
    };
    const bool agreed = u16(0) == 0 && u16(2) == 0 && is(u16(4), centrals_, in_extra16) &&
                        is(u16(6), centrals_, in_extra16) && is(u32(8), size, in_extra32) &&
                        is(u32(12), first, in_extra32) && end64_at_.has_value() == located_ &&
                        locals_ == centrals_ && local_mix_ == central_mix_;
    if (!agreed) {
        return fail(listing_fault::disagreement);
    }
    expect(state::comment, u16(16));
    if (wanted_ == 0) {
        state_ = state::over;
    }
}

void zip_reader::take_comment() {
    // Programs that look for the end from the back would find this one.
    if (record_.find("PK\x05\x06") != std::string::npos) {
        return fail(listing_fault::disagreement);
    }
    expect(state::over, 0);
}

} // namespace ebbgate::content
