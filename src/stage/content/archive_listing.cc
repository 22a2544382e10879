#include "stage/content/archive_listing.h"

#include "ebbgate/base/assert.h"

#include <algorithm>
#include <array>
#include <limits>
#include <zlib.h>

namespace ebbgate::content {

namespace {

constexpr std::size_t step_bytes = 16 * kib;
constexpr std::size_t stored_name_max = 1024;

constexpr std::string_view fault_names[] = {"nothing wrong",
                                            "broken, or with bytes that belong to nothing",
                                            "its parts say different things",
                                            "encrypted with the names of its members",
                                            "too large to be listed"};

} // namespace

std::string_view name_of(listing_fault fault) noexcept {
    return fault_names[static_cast<std::size_t>(fault)];
}

// Unpacks step by step; the first step tells a tar from a single file, of which that is enough.
class archive_listing::gzip_reader {
public:
    gzip_reader(member_handler& handler, const listing_limits& limits)
        : handler_(handler), limits_(limits), tar_(handler, limits) {
        constexpr int gzip_window = 15 + 16;
        EBBGATE_ASSERT(inflateInit2(&stream_, gzip_window) == Z_OK);
        header_.name = name_.data();
        header_.name_max = stored_name_max;
        EBBGATE_ASSERT(inflateGetHeader(&stream_, &header_) == Z_OK);
        first_.reserve(sniff_bytes);
    }

    ~gzip_reader() { inflateEnd(&stream_); }

    gzip_reader(const gzip_reader&) = delete;
    gzip_reader& operator=(const gzip_reader&) = delete;

    void feed(byte_view bytes) {
        while (!bytes.empty() && !done()) {
            const auto given = static_cast<uInt>(
                std::min<std::size_t>(bytes.size(), std::numeric_limits<uInt>::max()));
            // zlib takes no const without ZLIB_CONST; it does not write.
            stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
            stream_.avail_in = given;
            unpack();
            bytes.remove_prefix(given - stream_.avail_in);
        }
    }

    void finish() {
        if (done()) {
            return;
        }
        if (!ended_) {
            return fail(listing_fault::broken);
        }
        judge_first();
        if (is_tar_) {
            tar_.finish();
        }
    }

    [[nodiscard]] listing_fault fault() const noexcept {
        return fault_ == listing_fault::none && is_tar_ ? tar_.fault() : fault_;
    }

    [[nodiscard]] bool done() const noexcept {
        return fault() != listing_fault::none || (judged_ && !is_tar_);
    }

    [[nodiscard]] bool is_single_file() const noexcept { return judged_ && !is_tar_; }

    [[nodiscard]] file_kind inner_kind() const noexcept { return kind_; }

private:
    void fail(listing_fault fault) noexcept { fault_ = fault; }

    void unpack() {
        std::array<char, step_bytes> out;
        // At the end of the input zlib may still have output: it says so by filling `out`.
        do {
            if (ended_) {
                // Another member of the stream: its bytes are put behind those before.
                if (stream_.avail_in == 0) {
                    return;
                }
                inflateReset(&stream_);
                ended_ = false;
            }
            stream_.next_out = reinterpret_cast<Bytef*>(out.data());
            stream_.avail_out = static_cast<uInt>(out.size());
            const uInt before = stream_.avail_in;
            const int code = inflate(&stream_, Z_NO_FLUSH);
            packed_ += before - stream_.avail_in;
            ended_ = code == Z_STREAM_END;
            // What came before an error comes first, as it would in smaller pieces.
            take({out.data(), out.size() - stream_.avail_out});
            if (code == Z_BUF_ERROR || done()) {
                return;
            }
            if (code != Z_OK && code != Z_STREAM_END) {
                return fail(listing_fault::broken);
            }
        } while (!done() && (stream_.avail_in > 0 || stream_.avail_out == 0));
    }

    void take(byte_view bytes) {
        unpacked_ += bytes.size();
        if (unpacked_ > limits_.unpacked_bytes_max ||
            unpacked_ > limits_.unpacked_bytes_free + packed_ * limits_.ratio_max) {
            return fail(listing_fault::too_large);
        }
        if (!judged_) {
            const std::size_t room = sniff_bytes - first_.size();
            first_.append(bytes.substr(0, room));
            bytes.remove_prefix(std::min(room, bytes.size()));
            if (first_.size() == sniff_bytes) {
                judge_first();
            }
        }
        if (is_tar_ && !bytes.empty()) {
            tar_.feed(bytes);
        }
    }

    void judge_first() {
        if (judged_) {
            return;
        }
        judged_ = true;
        kind_ = sniff(first_);
        is_tar_ = kind_ == file_kind::tar;
        if (is_tar_) {
            tar_.feed(first_);
        } else if (header_.done == 1) {
            const char* const text = reinterpret_cast<const char*>(name_.data());
            const byte_view whole(text, name_.size());
            const std::size_t end = whole.find('\0');
            if (end == byte_view::npos) {
                fail(listing_fault::too_large);
            } else if (end > 0) {
                handler_.member(whole.substr(0, end), false);
            }
        }
        first_.clear();
        first_.shrink_to_fit();
    }

    member_handler& handler_;
    listing_limits limits_;
    tar_reader tar_;
    z_stream stream_{};
    gz_header header_{};
    std::array<Bytef, stored_name_max> name_{};
    std::string first_;
    std::uint64_t packed_ = 0;
    std::uint64_t unpacked_ = 0;
    file_kind kind_ = file_kind::other;
    listing_fault fault_ = listing_fault::none;
    bool judged_ = false;
    bool is_tar_ = false;
    bool ended_ = false;
};

archive_listing::archive_listing(archive_format format,
                                 member_handler& handler,
                                 listing_limits limits)
    : reader_(std::in_place_type<zip_reader>, handler, limits) {
    if (format == archive_format::tar) {
        reader_.emplace<tar_reader>(handler, limits);
    } else if (format == archive_format::gzip) {
        reader_ = std::make_unique<gzip_reader>(handler, limits);
    }
}

archive_listing::~archive_listing() = default;

void archive_listing::feed(byte_view bytes) {
    if (auto* const zip = std::get_if<zip_reader>(&reader_)) {
        zip->feed(bytes);
    } else if (auto* const tar = std::get_if<tar_reader>(&reader_)) {
        tar->feed(bytes);
    } else {
        std::get<std::unique_ptr<gzip_reader>>(reader_)->feed(bytes);
    }
}

void archive_listing::finish() {
    if (auto* const zip = std::get_if<zip_reader>(&reader_)) {
        zip->finish();
    } else if (auto* const tar = std::get_if<tar_reader>(&reader_)) {
        tar->finish();
    } else {
        std::get<std::unique_ptr<gzip_reader>>(reader_)->finish();
    }
}

listing_fault archive_listing::fault() const noexcept {
    if (const auto* const zip = std::get_if<zip_reader>(&reader_)) {
        return zip->fault();
    }
    if (const auto* const tar = std::get_if<tar_reader>(&reader_)) {
        return tar->fault();
    }
    return (*std::get_if<std::unique_ptr<gzip_reader>>(&reader_))->fault();
}

bool archive_listing::is_single_file() const noexcept {
    const auto* const gzip = std::get_if<std::unique_ptr<gzip_reader>>(&reader_);
    return gzip != nullptr && (*gzip)->is_single_file();
}

file_kind archive_listing::inner_kind() const noexcept {
    const auto* const gzip = std::get_if<std::unique_ptr<gzip_reader>>(&reader_);
    return gzip == nullptr ? file_kind::other : (*gzip)->inner_kind();
}

bool archive_listing::done() const noexcept {
    const auto* const gzip = std::get_if<std::unique_ptr<gzip_reader>>(&reader_);
    return fault() != listing_fault::none || (gzip != nullptr && (*gzip)->done());
}

} // namespace ebbgate::content
