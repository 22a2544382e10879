#include "runtime/net/refusal.h"

#include "ebbgate/base/bytes.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ebbgate::net {

namespace {

// What the maps hold for a network is what the program returns; in a trie with `decides` when the
// network is part of a client, so that what is said of the client does not matter.
constexpr std::uint8_t refused = SK_DROP;
constexpr std::uint8_t passed = SK_PASS;
constexpr std::uint8_t decides = 2;
static_assert((refused | passed) < decides);

// What bpf(2) calls a key: the length of the prefix, then the address in network order.
template <std::size_t address_bytes>
struct trie_key {
    std::uint32_t prefix_bits = 0;
    std::array<std::uint8_t, address_bytes> address{};
};

using v4_key = trie_key<4>;
using v6_key = trie_key<16>;
static_assert(sizeof(v4_key) == 8 && sizeof(v6_key) == 20);

// A client: its IPv4 address, or the first half of its IPv6 address; the rest is 0 but for the
// last word, which says what it is.
using client_key = std::array<std::uint8_t, 16>;

constexpr std::uint8_t client_bits_v6 = 64;
constexpr int mark_v4 = 4;
constexpr int mark_v6 = 6;
constexpr int word_bytes = 4;

constexpr std::uint8_t v4_offset_bits = 96;
constexpr std::size_t v4_offset_bytes = 12;
constexpr std::uint32_t batch_max = 4096;

long call_bpf(bpf_cmd command, bpf_attr& attributes) {
    return syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

std::uint64_t address_of(const void* bytes) {
    return reinterpret_cast<std::uint64_t>(bytes);
}

std::unexpected<failure> fault_of(const std::string& what, int error) {
    const failure_kind kind = error == ENOSPC || error == ENOMEM || error == E2BIG
                                  ? failure_kind::no_space
                              : error == EPERM ? failure_kind::unavailable
                                               : failure_kind::io;
    return fail(kind,
                what + ": " + std::strerror(error) +
                    (error == EPERM ? " (needs the capability CAP_BPF)" : ""));
}

result<int>
make_map(bpf_map_type type, std::uint32_t key_bytes, std::uint32_t entries_max, const char* name) {
    bpf_attr attributes{};
    attributes.map_type = type;
    attributes.key_size = key_bytes;
    attributes.value_size = sizeof refused;
    attributes.max_entries = entries_max;
    attributes.map_flags = BPF_F_NO_PREALLOC; // A trie knows no other way.
    std::strncpy(attributes.map_name, name, sizeof attributes.map_name - 1);
    const long fd = call_bpf(BPF_MAP_CREATE, attributes);
    if (fd < 0) {
        return fault_of("making a BPF map", errno);
    }
    return static_cast<int>(fd);
}

// The instructions that the program needs, named as the kernel's own macros for them.

bpf_insn instruction(unsigned code, unsigned to, unsigned from, int offset, int immediate) {
    bpf_insn made{};
    made.code = static_cast<std::uint8_t>(code);
    made.dst_reg = static_cast<std::uint8_t>(to & 0xfU);
    made.src_reg = static_cast<std::uint8_t>(from & 0xfU);
    made.off = static_cast<std::int16_t>(offset);
    made.imm = immediate;
    return made;
}

bpf_insn move(unsigned to, unsigned from) {
    return instruction(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

bpf_insn move_number(unsigned to, int number) {
    return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, number);
}

bpf_insn add_number(unsigned to, int number) {
    return instruction(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, number);
}

bpf_insn load(unsigned bytes_code, unsigned to, unsigned from, int offset) {
    return instruction(BPF_LDX | BPF_MEM | bytes_code, to, from, offset, 0);
}

bpf_insn store_number(int offset_in_stack, int number) {
    return instruction(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, offset_in_stack, number);
}

bpf_insn jump_if(unsigned condition, unsigned reg, int number, std::size_t skipped) {
    return instruction(BPF_JMP | condition | BPF_K, reg, 0, static_cast<int>(skipped), number);
}

bpf_insn call(bpf_func_id helper) {
    return instruction(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

bpf_insn leave() {
    return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

bpf_insn and_number(unsigned to, int number) {
    return instruction(BPF_ALU64 | BPF_AND | BPF_K, to, 0, 0, number);
}

// A map's descriptor is a load of 64 bits, which takes two instructions.
void append_map(std::vector<bpf_insn>& program, unsigned to, int map_fd) {
    program.push_back(instruction(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_FD, 0, map_fd));
    program.push_back(instruction(0, 0, 0, 0, 0));
}

// Of the key at `key_in_stack`: on a hit `hit` runs, with r0 pointing to the verdict.
void append_map_look_up(std::vector<bpf_insn>& program,
                        int map_fd,
                        int key_in_stack,
                        const std::vector<bpf_insn>& hit) {
    append_map(program, BPF_REG_1, map_fd);
    program.push_back(move(BPF_REG_2, BPF_REG_10));
    program.push_back(add_number(BPF_REG_2, key_in_stack));
    program.push_back(call(BPF_FUNC_map_lookup_elem));
    program.push_back(jump_if(BPF_JEQ, BPF_REG_0, 0, hit.size()));
    program.insert(program.end(), hit.begin(), hit.end());
}

// r6 holds the context, r7 the verdict of the trie. SK_PASS without a chosen socket makes the
// kernel choose by hash, as it does without a program.
std::vector<bpf_insn>
make_look_up(int trie_fd, int clients_fd, int source_offset, int address_bytes) {
    constexpr int key = -static_cast<int>(sizeof(v6_key)); // At the bottom of the stack.
    constexpr int key_address = key + word_bytes;
    const bool is_v4 = address_bytes == word_bytes;
    std::vector<bpf_insn> program = {
        move_number(BPF_REG_7, passed),
        store_number(key, 8 * address_bytes),      // key.prefix_bits
        move(BPF_REG_1, BPF_REG_6),                // bpf_skb_load_bytes_relative(context,
        move_number(BPF_REG_2, source_offset),     //   offset,
        move(BPF_REG_3, BPF_REG_10),               //
        add_number(BPF_REG_3, key_address),        //   &key.address,
        move_number(BPF_REG_4, address_bytes),     //   bytes,
        move_number(BPF_REG_5, BPF_HDR_START_NET), //   from the start of the IP header)
        call(BPF_FUNC_skb_load_bytes_relative),
        jump_if(BPF_JEQ, BPF_REG_0, 0, 2),
        move_number(BPF_REG_0, passed), // No header: it cannot be.
        leave(),
    };
    append_map_look_up(program,
                       trie_fd,
                       key,
                       {load(BPF_B, BPF_REG_7, BPF_REG_0, 0),
                        jump_if(BPF_JLT, BPF_REG_7, decides, 3),
                        move(BPF_REG_0, BPF_REG_7),
                        and_number(BPF_REG_0, decides - 1),
                        leave()});
    // What is not the client in the key of its hash entry.
    for (int word = is_v4 ? 1 : 2; word < 3; ++word) {
        program.push_back(store_number(key_address + word * word_bytes, 0));
    }
    program.push_back(store_number(key_address + 3 * word_bytes, is_v4 ? mark_v4 : mark_v6));
    append_map_look_up(
        program, clients_fd, key_address, {load(BPF_B, BPF_REG_0, BPF_REG_0, 0), leave()});
    program.push_back(move(BPF_REG_0, BPF_REG_7));
    program.push_back(leave());
    return program;
}

std::vector<bpf_insn> make_program(int clients, int v4_trie, int v6_trie) {
    constexpr int v4_source = 12; // RFC 791 section 3.1.
    constexpr int v6_source = 8;  // RFC 8200 section 3.
    const std::vector<bpf_insn> v4 = make_look_up(v4_trie, clients, v4_source, 4);
    const std::vector<bpf_insn> v6 = make_look_up(v6_trie, clients, v6_source, 16);
    // The protocol of the packet, not of the socket: IPv4 clients of an IPv6 socket send IPv4.
    std::vector<bpf_insn> program = {
        move(BPF_REG_6, BPF_REG_1),
        load(BPF_W, BPF_REG_2, BPF_REG_1, offsetof(sk_reuseport_md, eth_protocol)),
        jump_if(BPF_JEQ, BPF_REG_2, htons(ETH_P_IPV6), v4.size()),
    };
    program.insert(program.end(), v4.begin(), v4.end());
    program.insert(program.end(), v6.begin(), v6.end());
    return program;
}

result<int> load_program(const std::vector<bpf_insn>& program) {
    bpf_attr attributes{};
    attributes.prog_type = BPF_PROG_TYPE_SK_REUSEPORT;
    attributes.insns = address_of(program.data());
    attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
    attributes.license = address_of("GPL");
    std::strncpy(attributes.prog_name, "ebbgate_bans", sizeof attributes.prog_name - 1);
    const long fd = call_bpf(BPF_PROG_LOAD, attributes);
    if (fd >= 0) {
        return static_cast<int>(fd);
    }
    const int error = errno;
    std::string what = "loading a BPF program";
    if (error != EPERM) {
        // Once more, to hear the verifier's reason.
        std::vector<char> log(64 * kib);
        attributes.log_level = 1;
        attributes.log_buf = address_of(log.data());
        attributes.log_size = static_cast<std::uint32_t>(log.size());
        if (const long now_fd = call_bpf(BPF_PROG_LOAD, attributes); now_fd >= 0) {
            return static_cast<int>(now_fd);
        }
        log.back() = '\0';
        const std::string said(log.data());
        what += " [" + said.substr(said.size() - std::min<std::size_t>(said.size(), 300)) + ']';
    }
    return fault_of(what, error);
}

result<void> change_one(int map, const void* key, const std::uint8_t* verdict) {
    bpf_attr attributes{};
    attributes.map_fd = static_cast<std::uint32_t>(map);
    attributes.key = address_of(key);
    attributes.value = address_of(verdict);
    attributes.flags = BPF_ANY;
    const bpf_cmd command = verdict == nullptr ? BPF_MAP_DELETE_ELEM : BPF_MAP_UPDATE_ELEM;
    if (call_bpf(command, attributes) != 0 && !(verdict == nullptr && errno == ENOENT)) {
        return fault_of("changing a BPF map", errno);
    }
    return {};
}

// How many were stored; the caller goes on one by one from there.
template <typename key_type>
std::size_t update_batch(int map, std::span<const key_type> keys, std::uint8_t verdict) {
    const std::vector<std::uint8_t> verdicts(std::min<std::size_t>(keys.size(), batch_max),
                                             verdict);
    std::size_t stored = 0;
    while (stored < keys.size()) {
        bpf_attr attributes{};
        const auto wanted =
            static_cast<std::uint32_t>(std::min<std::size_t>(keys.size() - stored, batch_max));
        attributes.batch.map_fd = static_cast<std::uint32_t>(map);
        attributes.batch.keys = address_of(keys.data() + stored);
        attributes.batch.values = address_of(verdicts.data());
        attributes.batch.count = wanted;
        attributes.batch.elem_flags = BPF_ANY;
        const bool failed = call_bpf(BPF_MAP_UPDATE_BATCH, attributes) != 0;
        // A kernel without the command leaves the count as it was.
        const std::uint32_t count = attributes.batch.count;
        if (failed) {
            return stored + (count < wanted ? count : 0);
        }
        stored += count;
    }
    return stored;
}

// A null verdict forgets. Returns how many it changed before the fault that it tells of.
template <typename key_type>
std::pair<std::size_t, result<void>>
change_all(int map, std::span<const key_type> keys, const std::uint8_t* verdict, bool& batches) {
    std::size_t done = 0;
    if (verdict != nullptr && batches && keys.size() > 1) {
        done = update_batch<key_type>(map, keys, *verdict);
        batches = done > 0;
    }
    for (; done < keys.size(); ++done) {
        if (auto changed = change_one(map, &keys[done], verdict); !changed) {
            return {done, std::move(changed)};
        }
    }
    return {done, {}};
}

// Neighbours share the upper part of the trie.
template <typename key_type>
result<void>
change_trie(int map, std::vector<key_type> keys, const std::uint8_t* verdict, bool& batches) {
    std::sort(keys.begin(), keys.end(), [](const key_type& a, const key_type& b) {
        return std::pair(a.address, a.prefix_bits) < std::pair(b.address, b.prefix_bits);
    });
    return change_all<key_type>(map, keys, verdict, batches).second;
}

struct split_keys {
    std::vector<client_key> clients;
    std::vector<v4_key> v4;
    std::vector<v6_key> v6;
    std::vector<v6_key> v6_of_client; // Longer than a client.
};

split_keys split(std::span<const source_network> networks) {
    constexpr std::array<std::uint8_t, v4_offset_bytes> mapped = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    split_keys keys;
    const auto add_client = [&keys](const auto* address, std::size_t bytes, int mark) {
        client_key key{};
        std::copy_n(address, bytes, key.begin());
        std::memcpy(key.data() + key.size() - sizeof mark, &mark, sizeof mark);
        keys.clients.push_back(key);
    };
    for (const source_network& network : networks) {
        if (network.prefix_bits >= v4_offset_bits &&
            std::equal(mapped.begin(), mapped.end(), network.address.begin())) {
            const std::uint8_t* address = network.address.data() + v4_offset_bytes;
            if (network.prefix_bits == 8 * network.address.size()) {
                add_client(address, 4, mark_v4);
                continue;
            }
            v4_key key{static_cast<std::uint32_t>(network.prefix_bits - v4_offset_bits), {}};
            std::copy_n(address, 4, key.address.begin());
            keys.v4.push_back(key);
        } else if (network.prefix_bits == client_bits_v6) {
            add_client(network.address.data(), client_bits_v6 / 8, mark_v6);
        } else {
            (network.prefix_bits < client_bits_v6 ? keys.v6 : keys.v6_of_client)
                .push_back({network.prefix_bits, network.address});
        }
    }
    return keys;
}

// To the tries, as networks.
void spill(std::span<const client_key> clients, split_keys& into) {
    for (const client_key& client : clients) {
        int mark = 0;
        std::memcpy(&mark, client.data() + client.size() - sizeof mark, sizeof mark);
        if (mark == mark_v4) {
            v4_key key{32, {}};
            std::copy_n(client.begin(), 4, key.address.begin());
            into.v4.push_back(key);
        } else {
            v6_key key{client_bits_v6, {}};
            std::copy_n(client.begin(), client_bits_v6 / 8, key.address.begin());
            into.v6.push_back(key);
        }
    }
}

template <typename key_type>
std::uint64_t count_keys(int map) {
    key_type key{};
    key_type next{};
    std::uint64_t count = 0;
    bpf_attr attributes{};
    attributes.map_fd = static_cast<std::uint32_t>(map);
    attributes.next_key = address_of(&next);
    while (call_bpf(BPF_MAP_GET_NEXT_KEY, attributes) == 0) {
        ++count;
        key = next;
        attributes.key = address_of(&key);
    }
    return count;
}

} // namespace

refusal::descriptor::descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

refusal::descriptor& refusal::descriptor::operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

refusal::descriptor::~descriptor() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

refusal::refusal(descriptor clients, descriptor v4, descriptor v6, descriptor program)
    : clients_(std::move(clients)), v4_(std::move(v4)), v6_(std::move(v6)),
      program_(std::move(program)) {}

refusal::~refusal() = default;

result<std::unique_ptr<refusal>> refusal::open(std::uint32_t entries_max,
                                               std::uint32_t clients_max) {
    const auto clients =
        make_map(BPF_MAP_TYPE_HASH, sizeof(client_key), clients_max, "ebbgate_clients");
    if (!clients) {
        return std::unexpected(clients.error());
    }
    descriptor clients_map(*clients);
    const auto v4 = make_map(BPF_MAP_TYPE_LPM_TRIE, sizeof(v4_key), entries_max, "ebbgate_bans_v4");
    if (!v4) {
        return std::unexpected(v4.error());
    }
    descriptor v4_map(*v4);
    const auto v6 = make_map(BPF_MAP_TYPE_LPM_TRIE, sizeof(v6_key), entries_max, "ebbgate_bans_v6");
    if (!v6) {
        return std::unexpected(v6.error());
    }
    descriptor v6_map(*v6);
    const auto program = load_program(make_program(*clients, *v4, *v6));
    if (!program) {
        return std::unexpected(program.error());
    }
    return std::unique_ptr<refusal>(new refusal(
        std::move(clients_map), std::move(v4_map), std::move(v6_map), descriptor(*program)));
}

result<void> refusal::attach(int fd) const {
    const int program = program_.get();
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof program) != 0) {
        return fault_of("attaching a BPF program to a listener", errno);
    }
    return {};
}

result<void> refusal::set(std::span<const source_network> networks, std::uint8_t verdict) {
    split_keys keys = split(networks);
    const auto [stored, fault] =
        change_all<client_key>(clients_.get(), keys.clients, &verdict, batches_);
    if (!fault && fault.error().kind != failure_kind::no_space) {
        return fault;
    }
    spill(std::span(keys.clients).subspan(stored), keys);
    const auto deciding = static_cast<std::uint8_t>(verdict | decides);
    auto v4 = change_trie(v4_.get(), std::move(keys.v4), &verdict, batches_);
    auto v6 = change_trie(v6_.get(), std::move(keys.v6), &verdict, batches_);
    auto longer = change_trie(v6_.get(), std::move(keys.v6_of_client), &deciding, batches_);
    return !v4 ? v4 : !v6 ? v6 : longer;
}

result<void> refusal::refuse(std::span<const source_network> networks) {
    return set(networks, refused);
}

result<void> refusal::let_through(std::span<const source_network> networks) {
    return set(networks, passed);
}

result<void> refusal::forget(std::span<const source_network> networks) {
    split_keys keys = split(networks);
    auto clients = change_all<client_key>(clients_.get(), keys.clients, nullptr, batches_).second;
    spill(keys.clients, keys); // It may have been there.
    auto v4 = change_trie(v4_.get(), std::move(keys.v4), nullptr, batches_);
    auto v6 = change_trie(v6_.get(), std::move(keys.v6), nullptr, batches_);
    auto longer = change_trie(v6_.get(), std::move(keys.v6_of_client), nullptr, batches_);
    return !clients ? clients : !v4 ? v4 : !v6 ? v6 : longer;
}

std::uint64_t refusal::count_entries() const {
    return count_keys<client_key>(clients_.get()) + count_keys<v4_key>(v4_.get()) +
           count_keys<v6_key>(v6_.get());
}

} // namespace ebbgate::net
