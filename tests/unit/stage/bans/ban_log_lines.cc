// Writes a ban log with every kind of line, for readers that are not ours; with arguments, each a
// number of seconds, how the log says that duration.

#include "stage/bans/ban_log.h"

#include <fmt/core.h>

#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
    using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program
    for (int i = 1; i < argc; ++i) {
        const std::chrono::seconds seconds(std::strtoll(argv[i], nullptr, 10));
        fmt::print("{}\n", bans::duration_text(seconds));
    }
    if (argc > 1) {
        return 0;
    }
    bans::ban_log log(4711);
    std::string lines;
    std::int64_t now_us = 1'795'500'000'250'000;
    for (const auto* text : {"93.184.216.34", "2001:db8::25", "198.51.100.7", "::1"}) {
        const auto address = *config::parse_ip_address(text);
        const bans::ban ban{bans::counted_network(address),
                            address,
                            now_us,
                            now_us + 1'200'000'000,
                            2,
                            bans::strike_cause::login};
        log.append_found(lines, now_us, address, now_us);
        log.append_ignore(lines, now_us, address);
        log.append_ban(lines, now_us, ban);
        log.append_increase(lines, now_us, ban);
        log.append_already_banned(lines, now_us + 10'000'000, ban);
        log.append_already_banned(lines, now_us + 100'000'000, ban);
        const bans::ban* const restored[] = {&ban};
        log.append_restore(lines, now_us, restored);
        log.append_unban(lines, now_us, ban);
        now_us += 1'000'000'000;
    }
    fmt::print("{}", lines);
    return 0;
}
