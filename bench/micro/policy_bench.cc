// How long do 100,000 accounts and 1,000,000 authorised senders take to load, how much memory does
// a sender cost, and what does one may_send() cost?

#include "stage/policy/snapshot.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <malloc.h>
#include <string>
#include <unistd.h>

namespace ebbgate {
namespace {

constexpr int tenants = 1'000;
constexpr int accounts_each = 100;
constexpr int senders_each = 1'000;

std::string text_of_policy() {
    std::string text = R"({"routes":[{"match":"*","relay":"hold"}],"tenants":[)";
    for (int tenant = 0; tenant < tenants; ++tenant) {
        text += fmt::format(
            "{}\n{{\"name\":\"tenant-{}\",\"hostname\":\"smtp.customer{}.example\",\"domains\":["
            "\"customer{}.example\"],\"limits\":{{\"messages_per_sender\":\"500/day\"}},"
            "\"accounts\":[",
            tenant == 0 ? "" : ",",
            tenant,
            tenant,
            tenant);
        for (int account = 0; account < accounts_each; ++account) {
            text += fmt::format("{}\n{{\"login\":\"user{}@customer{}.example\",\"password\":"
                                "\"$6$saltsaltsaltsalt${}{:08}\"}}",
                                account == 0 ? "" : ",",
                                account,
                                tenant,
                                std::string(78, 'x'),
                                account);
        }
        text += "],\"authorized_senders\":[";
        for (int sender = 0; sender < senders_each; ++sender) {
            text += fmt::format(
                "{}\n\"first.last{}@customer{}.example\"", sender == 0 ? "" : ",", sender, tenant);
        }
        text += "]}";
    }
    return text + "]}\n";
}

// A file, as `load` finds it; gone when the process ends.
class temporary_file {
public:
    explicit temporary_file(const std::string& text) {
        const int fd = mkstemp(path_.data());
        if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
            std::abort();
        }
        close(fd);
    }

    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;

    ~temporary_file() { unlink(path_.c_str()); }

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_ = "/tmp/policy_bench.XXXXXX";
};

const std::string& policy_file() {
    static const temporary_file file(text_of_policy());
    return file.path();
}

const policy::snapshot& big_policy() {
    static const policy::snapshot_pointer policy = *policy::load(policy_file());
    return *policy;
}

void load_large_policy(benchmark::State& state) {
    const std::string& path = policy_file();
    for (auto _ : state) {
        auto loaded = policy::load(path);
        if (!loaded) {
            state.SkipWithError("the policy does not load");
            return;
        }
        benchmark::DoNotOptimize(loaded);
    }
}

void memory_of_large_policy(benchmark::State& state) {
    for (auto _ : state) {
        malloc_trim(0);
        const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
        const auto loaded = policy::load(policy_file());
        malloc_trim(0);
        const std::size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
        state.counters["bytes"] = static_cast<double>(after - before);
        state.counters["bytes/sender"] = static_cast<double>((*loaded)->senders().memory_bytes()) /
                                         static_cast<double>((*loaded)->senders().size());
    }
}

// Senders all over the table: most of what it costs is the memory.
void may_send_listed(benchmark::State& state) {
    const policy::snapshot& policy = big_policy();
    std::vector<std::string> addresses;
    for (int tenant = 0; tenant < tenants; ++tenant) {
        addresses.push_back(fmt::format("first.last{}@Customer{}.example", tenant, tenant));
    }
    std::size_t next = 0;
    for (auto _ : state) {
        const policy::tenant& tenant = policy.tenants()[next];
        const auto verdict = policy.may_send(tenant, addresses[next]);
        if (!verdict.allowed) {
            state.SkipWithError("not allowed");
            return;
        }
        next = (next + 7919) % tenants;
    }
}

void may_send_refused(benchmark::State& state) {
    const policy::snapshot& policy = big_policy();
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            policy.may_send(policy.tenants()[5], "first.last1@customer6.example"));
    }
}

BENCHMARK(load_large_policy)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(memory_of_large_policy)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(may_send_listed);
BENCHMARK(may_send_refused);

} // namespace
} // namespace ebbgate

BENCHMARK_MAIN();
