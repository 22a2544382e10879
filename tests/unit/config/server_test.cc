// Good files give values with every default; bad files give every fault with its place.

#include "config/server.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace ebbgate::config {
namespace {

constexpr std::string_view smallest = R"({
  "hostname": "Gate.Example.net", "data_dir": "data", "log_dir": "/var/log/ebbgate",
  "policy": "../policy.json",
  "listeners": [{"name": "submission", "kind": "smtp", "listen": "127.0.0.1:0"}]
})";

TEST(ServerConfig, TheSmallestFileHasEveryDefault) {
    const auto parsed = parse(smallest, "/etc/ebbgate/ebbgate.json");
    ASSERT_TRUE(parsed.has_value()) << to_text(parsed.error());
    EXPECT_EQ(parsed->hostname, "gate.example.net");
    EXPECT_EQ(parsed->shards, 0U);
    EXPECT_EQ(parsed->data_dir, "/etc/ebbgate/data");
    EXPECT_EQ(parsed->log_dir, "/var/log/ebbgate");
    EXPECT_EQ(parsed->policy, "/etc/policy.json");
    ASSERT_EQ(parsed->listeners.size(), 1U);
    EXPECT_EQ(to_text(parsed->listeners[0].listen), "127.0.0.1:0");
    EXPECT_EQ(parsed->spool.segment_bytes, 64 * mib);
    EXPECT_EQ(parsed->limits.client_timeout, std::chrono::seconds(300));
    EXPECT_TRUE(parsed->admin_socket.empty());
    EXPECT_TRUE(parsed->dns.servers.empty());
    EXPECT_TRUE(parsed->dns.trust_anchor.empty());
    EXPECT_TRUE(parsed->dns.validate);
    EXPECT_FALSE(parsed->dns.allow_private);
    EXPECT_FALSE(parsed->admin_listen);
}

TEST(ServerConfig, EveryKeyIsRead) {
    const auto parsed = parse(R"({
  "hostname": "g.example", "shards": 4, "data_dir": "d", "log_dir": "l", "policy": "p.json",
  "tls": {"certificate": "c.pem", "key": "c.key"}, "authorities": "ca.pem",
  "mta_sts": {"ca": "web.pem", "connect_to": "127.0.0.1:8443"},
  "listeners": [{"name": "a", "kind": "smtp", "listen": "0.0.0.0:587"},
                {"name": "b", "kind": "smtps", "listen": "[::1]:465"},
                {"name": "c", "kind": "http", "listen": "0.0.0.0:80", "acme_webroot": "acme",
                 "tenant": "t", "max_connections": 7, "max_connections_per_ip": 3,
                 "max_requests_per_minute": 5, "max_not_found_per_minute": 2},
                {"name": "d", "kind": "https", "listen": "[::]:443"}],
  "admin": {"socket": "admin.sock", "listen": "[::1]:8025"},
  "dns": {"resolver": ["192.0.2.53", "[2001:db8::53]:5353"], "trust_anchor": "root.ds",
          "timeout": "10s", "private_addresses": "allow", "address_family": "prefer_ipv4"},
  "limits": {"max_connections": 5, "max_connections_per_ip": 2, "max_messages_per_connection": 3,
             "max_errors_per_connection": 4, "max_commands_per_connection": 6,
             "client_timeout": "5m", "memory": "64MiB"},
  "spool": {"segment_size": "8MiB", "free_min": "1GB", "log_sync": "dsync", "inline_max": "64KiB"},
  "io_uring": {"defer_taskrun": "off"}
})",
                              "/e/ebbgate.json");
    ASSERT_TRUE(parsed.has_value()) << to_text(parsed.error());
    EXPECT_EQ(parsed->shards, 4U);
    EXPECT_EQ(parsed->tls.certificate, "/e/c.pem");
    EXPECT_EQ(parsed->tls.key, "/e/c.key");
    EXPECT_EQ(parsed->authorities, "/e/ca.pem");
    EXPECT_EQ(parsed->mta_sts.ca, "/e/web.pem");
    EXPECT_EQ(to_text(*parsed->mta_sts.connect_to), "127.0.0.1:8443");
    EXPECT_EQ(parsed->listeners[1].kind, listener_kind::smtps);
    EXPECT_EQ(to_text(parsed->listeners[1].listen), "[::1]:465");
    const listener& files = parsed->listeners[2];
    EXPECT_EQ(files.kind, listener_kind::http);
    EXPECT_EQ(files.acme_webroot, "/e/acme");
    EXPECT_EQ(files.tenant, "t");
    EXPECT_EQ(files.files.max_connections, 7U);
    EXPECT_EQ(files.files.max_connections_per_ip, 3U);
    EXPECT_EQ(files.files.max_requests_per_minute, 5U);
    EXPECT_EQ(files.files.max_not_found_per_minute, 2U);
    EXPECT_EQ(parsed->listeners[3].kind, listener_kind::https);
    EXPECT_TRUE(parsed->listeners[3].acme_webroot.empty());
    EXPECT_EQ(parsed->listeners[3].files.max_requests_per_minute, 300U);
    EXPECT_EQ(name_of(parsed->listeners[3].kind), "https");
    EXPECT_EQ(parsed->admin_socket, "/e/admin.sock");
    ASSERT_TRUE(parsed->admin_listen);
    EXPECT_EQ(to_text(*parsed->admin_listen), "[::1]:8025");
    ASSERT_EQ(parsed->dns.servers.size(), 2U);
    EXPECT_EQ(to_text(parsed->dns.servers[0]), "192.0.2.53:53");
    EXPECT_EQ(to_text(parsed->dns.servers[1]), "[2001:db8::53]:5353");
    EXPECT_EQ(parsed->dns.trust_anchor, "/e/root.ds");
    EXPECT_EQ(parsed->dns.timeout, std::chrono::seconds(10));
    EXPECT_TRUE(parsed->dns.allow_private);
    EXPECT_EQ(parsed->dns.family, address_family::prefer_ipv4);
    EXPECT_EQ(parsed->limits.max_connections_per_ip, 2U);
    EXPECT_EQ(parsed->limits.memory_bytes, 64 * mib);
    EXPECT_EQ(parsed->spool.segment_bytes, 8 * mib);
    EXPECT_EQ(parsed->spool.free_bytes_min, 1'000'000'000U);
    EXPECT_EQ(parsed->spool.log_sync, log_sync::dsync);
    EXPECT_EQ(parsed->spool.inline_bytes_max, 64 * kib);
    EXPECT_EQ(parsed->io_uring.defer_taskrun, feature_override::off);
}

struct change_case {
    const char* name;
    std::string_view from; // In `smallest`.
    std::string_view to;
    std::string_view fault; // All of the only line, after the file name.
};

constexpr change_case refused[] = {
    {"typo",
     "\"log_dir\"",
     "\"logdir\": 1, \"log_dir\"",
     ":2: /logdir: unknown key; did you mean \"log_dir\"?"},
    {"admin.listen for everybody",
     "\"policy\"",
     "\"admin\": {\"listen\": \"0.0.0.0:8025\"}, \"policy\"",
     ":3: /admin/listen: the admin listener speaks HTTP in clear text; expected a loopback address "
     "such as \"127.0.0.1:8025\""},
    {"admin.listen without an address",
     "\"policy\"",
     "\"admin\": {\"listen\": \":8025\"}, \"policy\"",
     ":3: /admin/listen: expected \"IP:PORT\" or \"[IPV6]:PORT\", found \":8025\""},
    {"a resolver by name",
     "\"policy\"",
     "\"dns\": {\"resolver\": \"dns.example\"}, \"policy\"",
     ":3: /dns/resolver: expected \"system\", \"IP\", \"IP:PORT\" or an array of those, found "
     "\"dns.example\""},
    {"a resolver at port 0",
     "\"policy\"",
     "\"dns\": {\"resolver\": [\"::1\", \"127.0.0.1:0\"]}, \"policy\"",
     ":3: /dns/resolver/1: expected \"IP\", \"IP:PORT\" or \"[IPV6]:PORT\", found "
     "\"127.0.0.1:0\""},
    {"no resolver",
     "\"policy\"",
     "\"dns\": {\"resolver\": []}, \"policy\"",
     ":3: /dns/resolver: expected at least one server"},
    {"dns.timeout",
     "\"policy\"",
     "\"dns\": {\"timeout\": \"10m\"}, \"policy\"",
     ":3: /dns/timeout: expected a duration from 1 to 300 seconds, found \"10m\""},
    {"dns.address_family",
     "\"policy\"",
     "\"dns\": {\"address_family\": \"v4\"}, \"policy\"",
     ":3: /dns/address_family: expected \"any\" or \"ipv4\" or \"ipv6\" or \"prefer_ipv4\", found "
     "\"v4\""},
    {"mta_sts.connect_to without a port",
     "\"policy\"",
     "\"mta_sts\": {\"connect_to\": \"127.0.0.1\"}, \"policy\"",
     ":3: /mta_sts/connect_to: expected \"IP:PORT\" or \"[IPV6]:PORT\", found \"127.0.0.1\""},
    {"a feature that is not there to be switched",
     "\"policy\"",
     "\"io_uring\": {\"zero_copy_send\": \"on\"}, \"policy\"",
     ":3: /io_uring/zero_copy_send: not implemented yet"},
    {"data_processing_timeout",
     "\"policy\"",
     "\"limits\": {\"data_processing_timeout\": \"1m\"}, \"policy\"",
     ":3: /limits/data_processing_timeout: not implemented yet"},
    {"pop3", "\"smtp\"", "\"pop3\"", ":4: /listeners/0/kind: \"pop3\" is not implemented yet"},
    {"https without tls",
     "\"smtp\"",
     "\"https\"",
     ":4: /listeners/0/kind: https needs a certificate; expected \"tls\": {\"certificate\": ..., "
     "\"key\": ...} in this file"},
    {"proxies of http",
     "\"kind\": \"smtp\"",
     "\"proxies\": [], \"kind\": \"http\"",
     ":4: /listeners/0/proxies: has no meaning for a listener of kind \"http\""},
    {"acme_webroot of smtp",
     "\"kind\"",
     "\"acme_webroot\": \"a\", \"kind\"",
     ":4: /listeners/0/acme_webroot: has no meaning for a listener of kind \"smtp\""},
    {"max_connections of smtp",
     "\"kind\"",
     "\"max_connections\": 5, \"kind\"",
     ":4: /listeners/0/max_connections: has no meaning for a listener of kind \"smtp\""},
    {"no requests at all",
     "\"kind\": \"smtp\"",
     "\"max_requests_per_minute\": 0, \"kind\": \"http\"",
     ":4: /listeners/0/max_requests_per_minute: expected a whole number from 1 to 1000000, "
     "found 0"},
    {"empty webroot",
     "\"kind\": \"smtp\"",
     "\"acme_webroot\": \"\", \"kind\": \"http\"",
     ":4: /listeners/0/acme_webroot: expected the webroot of an ACME client, found \"\""},
    {"kind typo",
     "\"smtp\"",
     "\"smpt\"",
     ":4: /listeners/0/kind: expected \"smtp\" or \"smtps\" or \"http\" or "
     "\"https\", found \"smpt\""},
    {"smtps without tls",
     "\"smtp\"",
     "\"smtps\"",
     ":4: /listeners/0/kind: smtps needs a certificate; expected \"tls\": {\"certificate\": ..., "
     "\"key\": ...} in this file"},
    {"name as address",
     "127.0.0.1:0",
     "localhost:25",
     ":4: /listeners/0/listen: expected \"IP:PORT\" or \"[IPV6]:PORT\", found \"localhost:25\""},
    {"shards",
     "\"policy\"",
     "\"shards\": 65, \"policy\"",
     ":3: /shards: expected \"auto\" or a whole number from 1 to 64"},
    {"duration",
     "\"policy\"",
     "\"limits\": {\"client_timeout\": \"5 fortnights\"}, \"policy\"",
     ":3: /limits/client_timeout: expected a duration such as \"10m\" (s m h d, days, months), "
     "found \"5 fortnights\""},
    {"hostname",
     "Gate.Example.net",
     "no host",
     ":2: /hostname: expected a host name such as \"gate.example.net\", found \"no host\""},
    {"missing",
     "\"log_dir\": \"/var/log/ebbgate\",",
     "",
     ":1: /: \"log_dir\" is missing; expected the folder of the logs"},
    {"duplicate", "\"policy\"", "\"data_dir\": \"x\", \"policy\"", ":3: /data_dir: duplicate key"},
    {"syntax",
     "\"kind\":",
     "\"kind\"",
     ":4: /listeners/0: expected a key in quotes, a colon, a comma or the end of the object"},
    {"relay_hosts of a listener",
     "\"kind\"",
     "\"relay_hosts\": [], \"kind\"",
     ":4: /listeners/0/relay_hosts: unknown key; expected one of: name, kind, listen, tenant, "
     "proxies, acme_webroot, max_connections, max_connections_per_ip, max_requests_per_minute, "
     "max_not_found_per_minute"},
};

TEST(ServerConfig, EachFaultIsSaidWithItsPlace) {
    for (const change_case& c : refused) {
        SCOPED_TRACE(c.name);
        std::string text(smallest);
        const std::size_t at = text.find(c.from);
        ASSERT_NE(at, std::string::npos);
        text.replace(at, c.from.size(), c.to);
        const auto parsed = parse(text, "e.json");
        ASSERT_FALSE(parsed.has_value());
        EXPECT_EQ(to_text(parsed.error()), "e.json" + std::string(c.fault) + "\n");
    }
}

TEST(ServerConfig, AllFaultsAreFoundAtOnceInTheOrderOfTheText) {
    const auto parsed = parse(R"({"hostname": 5,
 "shard": 1,
 "listeners": [{"name": "a", "kind": "x", "listen": "1.2.3.4"},
   {"name": "a", "kind": "smtp", "listen": "1.2.3.4:5"},
   {"name": "b", "kind": "smtp", "listen": "1.2.3.4:5"}]})",
                              "f");
    ASSERT_FALSE(parsed.has_value());
    ASSERT_EQ(parsed.error().size(), 9U) << to_text(parsed.error());
    for (std::size_t i = 1; i < parsed.error().size(); ++i) {
        EXPECT_LE(parsed.error()[i - 1].line, parsed.error()[i].line);
    }
}

TEST(ServerConfig, TheAdminListenerIsOnLoopbackAndHasItsOwnPort) {
    const auto with = [](std::string_view listen) {
        std::string text(smallest);
        const std::string_view from = "\"policy\"";
        text.replace(text.find(from),
                     from.size(),
                     "\"admin\": {\"listen\": \"" + std::string(listen) + "\"}, \"policy\"");
        return parse(text, "f").has_value();
    };
    for (const char* good :
         {"127.0.0.1:0", "127.255.0.9:1", "[::1]:8025", "[::ffff:127.0.0.1]:1"}) {
        EXPECT_TRUE(with(good)) << good;
    }
    for (const char* bad : {"128.0.0.1:1",
                            "126.255.255.255:1",
                            "[::]:1",
                            "[::2]:1",
                            "[1::1]:1",
                            "[::ffff:192.0.2.1]:1",
                            "127.0.0.1",
                            "localhost:8025"}) {
        EXPECT_FALSE(with(bad)) << bad;
    }
    std::string text(smallest);
    text.replace(text.find("127.0.0.1:0"), 11, "127.0.0.1:8025");
    text.replace(
        text.find("\"policy\""), 8, "\"admin\": {\"listen\": \"127.0.0.1:8025\"}, \"policy\"");
    EXPECT_FALSE(parse(text, "f").has_value());
}

TEST(ServerConfig, AFileThatCannotBeReadIsAFault) {
    const auto absent = load("/nonexistent/ebbgate.json");
    ASSERT_FALSE(absent.has_value());
    EXPECT_EQ(to_text(absent.error()),
              "/nonexistent/ebbgate.json: cannot be read: No such file or directory\n");
    EXPECT_FALSE(load("/").has_value());
}

TEST(ServerConfig, ControlCharactersOfTheFileDoNotReachTheReport) {
    std::string text(smallest);
    text.replace(text.find("127.0.0.1:0"), 11, "\\u001b[2J\\n");
    const auto parsed = parse(text, "f");
    ASSERT_FALSE(parsed.has_value());
    for (const char c : to_text(parsed.error())) {
        EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
    }
    EXPECT_EQ(parsed.error().size(), 1U);
}

} // namespace
} // namespace ebbgate::config
