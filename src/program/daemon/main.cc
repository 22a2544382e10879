// ebbgated: the gateway.

#include "program/daemon/daemon.h"
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
    auto policy = policy::load(server->policy);
    if (!policy) {
        fmt::print(stderr, "{}\n", config::to_text(policy.error()));
        return 1;
    }
    tls::initialise();
    if (!server->tls.certificate.empty()) {
        const auto usable = tls::context::for_server(server->tls.certificate, server->tls.key);
        if (!usable) {
            fmt::print(stderr, "{}: /tls: {}\n", config_file, usable.error().detail);
            return 1;
        }
    }
    if (check_only) {
        return 0;
    }
    program::daemon daemon(std::move(*server), std::move(*policy));
    if (const auto started = daemon.start(); !started) {
        fmt::print(stderr, "ebbgated: {}\n", started.error().detail);
        // Shards that run already cannot be waited for: nothing was acknowledged by them yet.
        std::fflush(stderr);
        std::_Exit(1);
    }
    daemon.run();
    return 0;
}
