#include "stage/limits/counter_file.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <unistd.h>

namespace ebbgate::limits {

namespace {

static_assert(std::endian::native == std::endian::little, "the file holds machine words");

constexpr std::uint64_t ms_per_second = 1000;

std::unexpected<failure> system_failure(const char* what, const std::string& path, int error) {
    const bool full = error == ENOSPC || error == EDQUOT;
    return fail(full ? failure_kind::no_space : failure_kind::io,
                fmt::format("limits: {} {}: {}", what, path, std::strerror(error)));
}

std::unexpected<failure> corrupt(const std::string& path, std::string_view what) {
    return fail(
        failure_kind::corrupt,
        fmt::format("limits: {}: {}; move it away to begin with empty counters", path, what));
}

constexpr std::size_t file_bytes(std::uint64_t slots) noexcept {
    return counter_header_bytes + static_cast<std::size_t>(slots) * sizeof(counter_slot);
}

result<mapping>
map(const file_descriptor& file, std::size_t bytes, int protection, const std::string& path) {
    void* const begin =
        ::mmap(nullptr, bytes, protection, MAP_SHARED | MAP_POPULATE, file.number(), 0);
    if (begin == MAP_FAILED) {
        return system_failure("map", path, errno);
    }
    return mapping(begin, bytes);
}

result<file_descriptor> take_lock(const std::string& path) {
    file_descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.number() < 0) {
        return system_failure("open", path, errno);
    }
    if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? fail(failure_kind::unavailable,
                          fmt::format("limits: {} is held by another process", path))
                   : system_failure("lock", path, errno);
    }
    return file;
}

struct old_file {
    counter_header header;
    mapping mapped;

    [[nodiscard]] const counter_slot* slots() const noexcept {
        return reinterpret_cast<const counter_slot*>(mapped.begin() + counter_header_bytes);
    }
};

// Empty: there is none.
result<std::optional<old_file>> read_old(const std::string& path) {
    const file_descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.number() < 0) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return system_failure("open", path, errno);
    }
    struct stat about{};
    if (::fstat(file.number(), &about) != 0) {
        return system_failure("look at", path, errno);
    }
    old_file old{};
    if (!S_ISREG(about.st_mode)) {
        return corrupt(path, "not a file");
    }
    if (::pread(file.number(), &old.header, sizeof old.header, 0) != sizeof old.header) {
        return corrupt(path, "too short for a file of counters");
    }
    if (old.header.magic != counter_magic) {
        return corrupt(path, "not a file of counters");
    }
    if (old.header.version != counter_version) {
        return corrupt(path,
                       fmt::format("written by version {}, this program reads version {}",
                                   old.header.version,
                                   counter_version));
    }
    if (old.header.checksum != checksum_of(old.header) ||
        old.header.slot_bytes != sizeof(counter_slot)) {
        return corrupt(path, "its header is damaged");
    }
    const std::uint64_t slots = old.header.slots;
    if (slots < slots_min || slots > slots_max || !std::has_single_bit(slots) ||
        static_cast<std::uint64_t>(about.st_size) != file_bytes(slots)) {
        return corrupt(
            path, fmt::format("{} bytes long, but its header says {} slots", about.st_size, slots));
    }
    auto mapped = map(file, file_bytes(slots), PROT_READ, path);
    if (!mapped) {
        return std::unexpected(std::move(mapped.error()));
    }
    old.mapped = std::move(*mapped);
    return std::optional<old_file>(std::move(old));
}

result<mapping>
make_new(const std::string& path, std::uint64_t slots, const std::optional<old_file>& old) {
    const file_descriptor file(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.number() < 0) {
        return system_failure("create", path, errno);
    }
    // Reserved, for a write to a hole of a mapping on a full disk is a SIGBUS.
    if (const int error =
            ::posix_fallocate(file.number(), 0, static_cast<off_t>(file_bytes(slots)));
        error != 0) {
        return system_failure("reserve", path, error);
    }
    auto mapped = map(file, file_bytes(slots), PROT_READ | PROT_WRITE, path);
    if (!mapped) {
        return mapped;
    }
    counter_header header{counter_magic, counter_version, sizeof(counter_slot), slots, {}, 0};
    if (old) {
        std::memcpy(header.secret, old->header.secret, secret_bytes);
    } else if (::getrandom(header.secret, secret_bytes, 0) !=
               static_cast<ssize_t>(secret_bytes)) { // Up to 256 bytes it is all or nothing.
        return system_failure("random bytes for", path, errno);
    }
    header.checksum = checksum_of(header);
    std::memcpy(mapped->begin(), &header, sizeof header);
    return mapped;
}

// Puts a window of the old file into the new one, which no other thread sees yet.
bool place(counter_slot* slots, std::uint64_t capacity, const counter_slot& window) noexcept {
    const std::uint64_t home = window.key_low & (capacity - 1);
    for (std::uint64_t place = 0; place < path_slots(capacity); ++place) {
        counter_slot& slot = slots[slot_on_path(home, place, capacity)];
        const bool vacant = slot.word == 0;
        if (!vacant && (slot.key_low != window.key_low || slot.key_high != window.key_high)) {
            continue;
        }
        slot_word word = unpack(window.word);
        // Twice the same key: pages of different age, after a power cut. The later one counts.
        if (!vacant &&
            (slot.opened_ms > window.opened_ms ||
             (slot.opened_ms == window.opened_ms && unpack(slot.word).count >= word.count))) {
            return true;
        }
        word.generation = 1;
        slot.key_low = window.key_low;
        slot.key_high = window.key_high;
        slot.opened_ms = window.opened_ms;
        slot.seal = seal_of(slot, word.generation);
        slot.word = pack(word);
        if (slots[home].reach <= place) {
            slots[home].reach = place + 1;
        }
        return true;
    }
    return false;
}

// False: not all of them have a place.
bool carry_over(const old_file& old,
                counter_slot* slots,
                std::uint64_t capacity,
                std::uint64_t now_ms,
                carried& found) noexcept {
    bool all = true;
    for (std::uint64_t i = 0; i < old.header.slots; ++i) {
        counter_slot window = old.slots()[i];
        const slot_word word = unpack(window.word);
        if (word.state == slot_state::vacant) {
            continue;
        }
        if (word.state != slot_state::live) {
            ++found.unfinished;
            continue;
        }
        if (window.seal != seal_of(window, word.generation)) {
            ++found.damaged;
            continue;
        }
        const std::uint64_t kept_ms = kept_seconds(word.period_code) * ms_per_second;
        if (word.count == 0 ||
            (window.opened_ms <= now_ms && now_ms - window.opened_ms >= kept_ms)) {
            ++found.expired;
            continue;
        }
        ++found.live;
        if (window.opened_ms > now_ms) {
            ++found.from_future;
            window.opened_ms = now_ms;
        }
        all &= place(slots, capacity, window);
    }
    return all;
}

result<void>
make_durable(const std::string& unfinished, const std::string& path, const mapping& mapped) {
    if (::msync(mapped.begin(), mapped.bytes(), MS_SYNC) != 0) {
        return system_failure("write", unfinished, errno);
    }
    // msync wrote the pages; the size and the extents are the inode's.
    const file_descriptor file(::open(unfinished.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.number() < 0 || ::fsync(file.number()) != 0) {
        return system_failure("write", unfinished, errno);
    }
    if (::rename(unfinished.c_str(), path.c_str()) != 0) {
        return system_failure("rename", unfinished, errno);
    }
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const file_descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.number() < 0 || ::fsync(directory.number()) != 0) {
        return system_failure("write", folder, errno);
    }
    return {};
}

} // namespace

file_descriptor::~file_descriptor() {
    if (number_ >= 0) {
        ::close(number_);
    }
}

mapping::~mapping() {
    if (begin_ != nullptr) {
        ::munmap(begin_, bytes_);
    }
}

std::uint64_t checksum_of(const counter_header& header) noexcept {
    return XXH3_64bits(&header, offsetof(counter_header, checksum));
}

std::uint64_t seal_of(const counter_slot& slot, std::uint32_t generation) noexcept {
    const std::uint64_t sealed[] = {slot.key_low, slot.key_high, slot.opened_ms, generation};
    return XXH3_64bits(sealed, sizeof sealed);
}

result<counter_file>
counter_file::open(const std::string& path, std::uint64_t slots, std::uint64_t now_ms) {
    if (slots > slots_max) {
        return fail(failure_kind::bad_input,
                    fmt::format("limits: {} slots wanted, at most {}", slots, slots_max));
    }
    const std::uint64_t capacity = std::bit_ceil(std::max(slots, slots_min));
    counter_file opened;
    opened.path_ = path;
    auto lock = take_lock(path + ".lock");
    if (!lock) {
        return std::unexpected(std::move(lock.error()));
    }
    opened.lock_ = std::move(*lock);
    const auto old = read_old(path);
    if (!old) {
        return std::unexpected(old.error());
    }
    const std::string unfinished = path + ".new";
    auto mapped = make_new(unfinished, capacity, *old);
    if (!mapped) {
        return std::unexpected(std::move(mapped.error()));
    }
    opened.mapped_ = std::move(*mapped);
    if (*old && !carry_over(**old, opened.slots(), capacity, now_ms, opened.carried_)) {
        ::unlink(unfinished.c_str());
        return fail(failure_kind::no_space,
                    fmt::format("limits: {} holds {} live windows, too many for {} slots",
                                path,
                                opened.carried_.live,
                                capacity));
    }
    if (auto durable = make_durable(unfinished, path, opened.mapped_); !durable) {
        return std::unexpected(std::move(durable.error()));
    }
    return opened;
}

result<void> counter_file::flush() const {
    if (::msync(mapped_.begin(), mapped_.bytes(), MS_SYNC) != 0) {
        return system_failure("write", path_, errno);
    }
    return {};
}

} // namespace ebbgate::limits
