// What do a million bans cost: to load at start, to strike beside, and to connect past?
//
// The kernel's part needs root; without it those are skipped.

#include "service/bans/ban_keeper.h"

#include <benchmark/benchmark.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::int64_t start_us = 1'795'500'000'000'000;
constexpr std::int64_t hour_us = 3'600'000'000;

// Half of them IPv4, spread as bots are.
std::vector<bans::ban> make_bans(std::size_t count) {
    std::mt19937_64 random(1);
    std::vector<bans::ban> made;
    for (std::size_t i = 0; i < count; ++i) {
        config::ip_address address;
        if (i % 2 == 0) {
            const auto bits = static_cast<std::uint32_t>(random());
            const std::uint8_t bytes[4] = {static_cast<std::uint8_t>(1 + bits % 100),
                                           static_cast<std::uint8_t>(bits >> 8),
                                           static_cast<std::uint8_t>(bits >> 16),
                                           static_cast<std::uint8_t>(bits >> 24)};
            address = config::ip_address_from_v4(bytes);
        } else {
            const std::uint64_t bits = random();
            std::memcpy(address.bytes.data(), &bits, sizeof bits);
            address.bytes[0] = 0x20;
            address.bytes[15] = 1;
        }
        made.push_back({bans::counted_network(address),
                        address,
                        start_us,
                        start_us + hour_us,
                        1,
                        bans::strike_cause::login});
    }
    return made;
}

bans::settings long_bans() {
    bans::settings settings;
    settings.ban_time = std::chrono::hours(1);
    return settings;
}

struct silent final : bans::ban_observer {
    void on_banned(const bans::ban&, bool) override {}

    void on_changed(const bans::ban&) override {}

    void on_unbanned(const bans::ban&, bans::ban_end) override {}

    void on_forgotten(const config::ip_network&) override {}

    void on_white_list(const std::vector<config::ip_network>&,
                       const std::vector<config::ip_network>&) override {}
};

void restore_all(bans::ban_table& table, const std::vector<bans::ban>& rows) {
    table.begin_restore(rows.size(), {});
    for (const bans::ban& row : rows) {
        table.restore(row, start_us);
    }
    table.end_restore(start_us);
}

std::vector<net::source_network> sources_of(const std::vector<bans::ban>& rows) {
    std::vector<net::source_network> sources;
    for (const bans::ban& row : rows) {
        sources.push_back({row.network.address.bytes, row.network.prefix_bits});
    }
    return sources;
}

void load_table(benchmark::State& state) {
    const auto rows = make_bans(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) {
        state.PauseTiming();
        silent observer;
        auto table = std::make_unique<bans::ban_table>(observer);
        table->configure(long_bans(), start_us);
        state.ResumeTiming();
        restore_all(*table, rows);
        state.PauseTiming();
        table.reset();
        state.ResumeTiming();
    }
}

BENCHMARK(load_table)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

void load_map(benchmark::State& state) {
    const auto sources = sources_of(make_bans(static_cast<std::size_t>(state.range(0))));
    for (auto _ : state) {
        auto refusal = net::refusal::open();
        if (!refusal || !(*refusal)->refuse(sources)) {
            state.SkipWithError(refusal ? "full" : refusal.error().detail.c_str());
            return;
        }
        state.PauseTiming();
        refusal->reset();
        state.ResumeTiming();
    }
}

BENCHMARK(load_map)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

// A database with that many bans, in a folder of its own.
class stored_bans {
public:
    explicit stored_bans(std::size_t count) {
        char folder[] = "/tmp/ebbgate-bench-XXXXXX";
        if (mkdtemp(folder) == nullptr) {
            return;
        }
        folder_ = folder;
        auto store = bans::ban_store::open(path());
        const auto rows = make_bans(count);
        is_good_ = store && store->replace_all(
                                [&rows](const bans::ban_store::give_row& give) {
                                    for (const bans::ban& row : rows) {
                                        give(row);
                                    }
                                },
                                {});
    }

    ~stored_bans() {
        for (const auto* end : {"", "-wal", "-shm"}) {
            (void)unlink((path() + end).c_str());
        }
        (void)rmdir(folder_.c_str());
    }

    stored_bans(const stored_bans&) = delete;
    stored_bans& operator=(const stored_bans&) = delete;

    [[nodiscard]] std::string path() const { return folder_ + "/bans.db"; }

    [[nodiscard]] bool is_good() const { return is_good_; }

private:
    std::string folder_;
    bool is_good_ = false;
};

void load_store(benchmark::State& state) {
    const stored_bans stored(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) {
        auto store = bans::ban_store::open(stored.path());
        std::size_t read = 0;
        const auto count = [&read](const bans::ban& /*row*/) { ++read; };
        if (!stored.is_good() || !store ||
            !store->read_rows(bans::ban_store::row_order::any, count) || read == 0) {
            state.SkipWithError("the store does not load");
            return;
        }
    }
}

BENCHMARK(load_store)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

// All that a start does: SQLite, table, set, map, and a line in the log for each.
void start_keeper(benchmark::State& state) {
    const stored_bans stored(static_cast<std::size_t>(state.range(0)));
    std::size_t log_bytes = 0;
    for (auto _ : state) {
        bans::ban_keeper::parts parts;
        parts.store = std::move(*bans::ban_store::open(stored.path()));
        parts.log = [&log_bytes](const std::string& lines) { log_bytes += lines.size(); };
        if (auto refusal = net::refusal::open()) {
            parts.refusal = std::move(*refusal);
        }
        auto keeper = std::make_unique<bans::ban_keeper>(std::move(parts));
        if (!keeper->start(long_bans(), start_us)) {
            state.SkipWithError("the store does not load");
        }
        state.PauseTiming();
        keeper.reset();
        state.ResumeTiming();
    }
}

BENCHMARK(start_keeper)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

// Each strike from an address that was never seen.
void strike(benchmark::State& state) {
    silent observer;
    bans::ban_table table(observer);
    table.configure(long_bans(), start_us);
    restore_all(table, make_bans(static_cast<std::size_t>(state.range(0))));
    config::ip_address from = *config::parse_ip_address("2001:db8::1");
    std::uint32_t next = 0;
    for (auto _ : state) {
        ++next;
        std::memcpy(from.bytes.data() + 4, &next, sizeof next);
        benchmark::DoNotOptimize(table.strike(from, bans::strike_cause::login, start_us));
    }
}

BENCHMARK(strike)->ArgName("bans")->Arg(0)->Arg(1'000'000);

// What a shard asks after each accept.
void is_banned(benchmark::State& state) {
    bans::ban_set set;
    for (const bans::ban& row : make_bans(static_cast<std::size_t>(state.range(0)))) {
        set.add(row.network);
    }
    const auto from = *config::parse_ip_address("203.0.113.7");
    for (auto _ : state) {
        benchmark::DoNotOptimize(set.is_banned(from));
    }
}

BENCHMARK(is_banned)->ArgName("bans")->Arg(0)->Arg(1'000'000);

constexpr int no_program = -1;

// Clients have even addresses of 127.0.0.0/8 and bans odd ones, so that each look-up goes as deep
// as the map is.
std::uint32_t random_loopback(std::mt19937& random) {
    return 0x7f00'0002U + (static_cast<std::uint32_t>(random()) & 0x00ff'fff0U);
}

std::vector<net::source_network> make_loopback_bans(std::size_t count) {
    std::mt19937 random(1);
    std::vector<net::source_network> made(count);
    for (net::source_network& each : made) {
        const std::uint32_t address = htonl(random_loopback(random) + 1);
        each.address[10] = each.address[11] = 0xff;
        std::memcpy(each.address.data() + 12, &address, sizeof address);
    }
    return made;
}

// Connects, accepts and closes by reset.
void accept_past(benchmark::State& state) {
    const auto ban_count = state.range(0);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof at;
    if (bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
        listen(listener, 128) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr*>(&at), &bytes) != 0) {
        state.SkipWithError("no listener");
        close(listener);
        return;
    }
    std::unique_ptr<net::refusal> refusal;
    if (ban_count != no_program) {
        auto opened = net::refusal::open();
        if (!opened || !(*opened)->attach(listener) ||
            !(*opened)->refuse(make_loopback_bans(static_cast<std::size_t>(ban_count)))) {
            state.SkipWithError(opened ? "attach or fill" : opened.error().detail.c_str());
            close(listener);
            return;
        }
        refusal = std::move(*opened);
    }
    const linger reset{1, 0};
    std::mt19937 random(2);
    for (auto _ : state) {
        sockaddr_in from{};
        from.sin_family = AF_INET;
        from.sin_addr.s_addr = htonl(random_loopback(random));
        const int client = socket(AF_INET, SOCK_STREAM, 0);
        (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (bind(client, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0 ||
            connect(client, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
            state.SkipWithError("not let in");
            close(client);
            break;
        }
        const int accepted = accept(listener, nullptr, nullptr);
        close(client);
        close(accepted);
    }
    state.SetItemsProcessed(state.iterations());
    close(listener);
}

BENCHMARK(accept_past)->ArgName("bans")->Arg(no_program)->Arg(0)->Arg(1'000'000)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
