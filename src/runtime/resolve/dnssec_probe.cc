#include "runtime/resolve/dnssec_probe.h"

#include <algorithm>
#include <poll.h>
#include <unbound.h>

namespace ebbgate::dns {

namespace {

struct probe {
    bool done = false;
    dnssec_support support = dnssec_support::unknown;
};

void on_answer(void* asked, int fault, ub_result* found) {
    probe& one = *static_cast<probe*>(asked);
    one.done = true;
    if (fault == 0 && found != nullptr && found->bogus != 0) {
        one.support = dnssec_support::dropped;
    } else if (fault == 0 && found != nullptr && found->secure != 0) {
        one.support = dnssec_support::passed;
    }
    ub_resolve_free(found);
}

} // namespace

dnssec_support probe_dnssec(const context_settings& settings,
                            const std::string& name,
                            std::chrono::milliseconds wait_max) {
    constexpr int class_internet = 1;
    constexpr int type_soa = 6; // Every zone has one.
    using clock = std::chrono::steady_clock;
    const auto context = open_context(settings);
    if (!context) {
        return dnssec_support::unknown;
    }
    ub_ctx* const raw = context->get();
    probe one;
    if (ub_resolve_async(raw, name.c_str(), type_soa, class_internet, &one, &on_answer, nullptr) !=
        0) {
        return dnssec_support::unknown;
    }
    const clock::time_point until = clock::now() + wait_max;
    while (!one.done && clock::now() < until) {
        const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
        pollfd answers{ub_fd(raw), POLLIN, 0};
        (void)poll(&answers, 1, static_cast<int>(std::max<std::int64_t>(rest.count(), 0)));
        (void)ub_process(raw);
    }
    return one.support;
}

} // namespace ebbgate::dns
