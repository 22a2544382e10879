// The kernel refuses banned clients: a program on each SO_REUSEPORT group looks the source of a
// SYN up, and connect() fails with ECONNREFUSED. We never see them.
//
// Input   Networks to refuse, and networks to let through in spite of a larger refused one.
// Output  Nothing: what is not refused is spread over the group by its hash, as without us.
// Owner   One thread changes the maps. attach() is for any thread. The kernel keeps program and
//         maps while a socket of a group lives; they end with the process.
// Fails   open() says which privilege is missing (CAP_BPF): the caller then resets after accept.
//         A full map is no_space: the networks of that call may be refused in part.
// Bounds  entries_max for each of IPv4 and IPv6 networks, and clients_max for single clients; the
//         kernel takes about 130 bytes an entry, and 16 bytes for each of clients_max at once.
// Specs   bpf(2), linux/bpf.h; kernel Documentation/bpf/map_lpm_trie.rst. Linux 5.8.
//
// Single clients (an IPv4 address, an IPv6 /64) are nearly all of what is banned. They are in a
// hash map: a trie of a million of them costs an accept a walk of twenty nodes, a hash one miss.
// The trie has the networks, and the clients for which the hash has no room.

#pragma once

#include "ebbgate/base/result.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace ebbgate::net {

// IPv4 in its IPv4-mapped IPv6 form, its prefix counted from bit 96 on.
struct source_network {
    std::array<std::uint8_t, 16> address{};
    std::uint8_t prefix_bits = 128;
};

class refusal {
public:
    static constexpr std::uint32_t entries_max_default = 2'500'000;
    static constexpr std::uint32_t clients_max_default = 1U << 20;

    [[nodiscard]] static result<std::unique_ptr<refusal>>
    open(std::uint32_t entries_max = entries_max_default,
         std::uint32_t clients_max = clients_max_default);
    ~refusal();
    refusal(const refusal&) = delete;
    refusal& operator=(const refusal&) = delete;

    // The whole group of this listening socket, and who joins it later.
    [[nodiscard]] result<void> attach(int fd) const;

    // In force when the call returns. The most specific entry of an address decides.
    [[nodiscard]] result<void> refuse(std::span<const source_network> networks);
    [[nodiscard]] result<void> let_through(std::span<const source_network> networks);
    // Entries that are not there are no fault.
    [[nodiscard]] result<void> forget(std::span<const source_network> networks);

    // By asking the kernel for each entry: for tests and for a person who doubts.
    [[nodiscard]] std::uint64_t count_entries() const;

private:
    class descriptor {
    public:
        descriptor() = default;

        explicit descriptor(int fd) : fd_(fd) {}

        descriptor(descriptor&& other) noexcept;
        descriptor& operator=(descriptor&& other) noexcept;
        ~descriptor();

        [[nodiscard]] int get() const { return fd_; }

    private:
        int fd_ = -1;
    };

    refusal(descriptor clients, descriptor v4, descriptor v6, descriptor program);

    [[nodiscard]] result<void> set(std::span<const source_network> networks, std::uint8_t verdict);

    descriptor clients_;
    descriptor v4_;
    descriptor v6_;
    descriptor program_;
    bool batches_ = true; // Until the kernel says that it has none.
};

} // namespace ebbgate::net
