// ebbgated: the gateway.

#include "program/daemon/daemon.h"
#include "relay/identities.h"
#include "runtime/tls/tls.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
    using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program
    CLI::App app{"ebbgated: a secure email gateway for outbound mail"};
    std::string config_file = "/etc/ebbgate/ebbgate.json";
    bool check_only = false;
    app.add_option("--config", config_file, "configuration file");
    app.add_flag("--check", check_only, "check configuration and policy, then exit");
    app.set_version_flag("--version", EBBGATE_VERSION);
    CLI11_PARSE(app, argc, argv);

    auto server = config::load(config_file);
    if (!server) {
        fmt::print(stderr, "{}\n", config::to_text(server.error()));
        return 1;
    }
    tls::initialise();
    // Also before a start, which loads it again under the spool's lock and with what commands
    // changed: a fault is told before a large spool is read.
    config::faults faults;
    if (const auto policy = policy::load(server->policy)) {
        faults = relay::check_together(*server, **policy);
    } else {
        faults = policy.error();
    }
    if (!faults.empty()) {
        fmt::print(stderr, "{}\n", config::to_text(faults));
        return 1;
    }
    if (check_only) {
        return 0;
    }
    program::daemon daemon(std::move(*server));
    if (const auto started = daemon.start(); !started) {
        fmt::print(stderr, "ebbgated: {}\n", started.error().detail);
        // Shards that run already cannot be waited for: nothing was acknowledged by them yet.
        std::fflush(stderr);
        std::_Exit(1);
    }
    daemon.run();
    return 0;
}
