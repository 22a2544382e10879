// A client that asks something of the certificate, against our own server and openssl's.

#include "../loopback.h"
#include "pki.h"
#include "runtime/tls/certificate.h"
#include "runtime/tls/tls.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

namespace ebbgate::tls {
namespace {

// `openssl s_server` on a port of its own choice.
class openssl_server {
public:
    explicit openssl_server(const std::vector<std::string>& arguments) {
        int out[2];
        EXPECT_EQ(pipe(out), 0);
        std::vector<std::string> words = {"openssl",
                                          "s_server",
                                          "-www",
                                          "-accept",
                                          "127.0.0.1:0"}; // -www: it does not read its input.
        words.insert(words.end(), arguments.begin(), arguments.end());
        std::vector<char*> pointers;
        for (std::string& word : words) {
            pointers.push_back(word.data());
        }
        pointers.push_back(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            dup2(out[1], STDOUT_FILENO);
            dup2(out[1], STDERR_FILENO);
            close(out[0]);
            execvp("openssl", pointers.data());
            _exit(127);
        }
        close(out[1]);
        output_ = fdopen(out[0], "r");
        char line[256];
        while (port_ == 0 && std::fgets(line, sizeof line, output_) != nullptr) {
            unsigned found = 0;
            if (std::sscanf(line, "ACCEPT 127.0.0.1:%u", &found) == 1) {
                port_ = static_cast<std::uint16_t>(found);
            }
        }
    }

    ~openssl_server() {
        kill(pid_, SIGTERM);
        waitpid(pid_, nullptr, 0);
        std::fclose(output_);
    }

    openssl_server(const openssl_server&) = delete;
    openssl_server& operator=(const openssl_server&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }

private:
    pid_t pid_ = 0;
    FILE* output_ = nullptr;
    std::uint16_t port_ = 0;
};

struct ending {
    std::optional<session_facts> facts;
    std::optional<verdict> failed;
    int closed = 0;
    net::close_reason reason{};

    [[nodiscard]] std::string told() const {
        return failed  ? std::string(to_text(failed->failure)) + ": " + failed->detail
               : facts ? "established by " + facts->cipher
                       : "nothing was told";
    }
};

class ClientCheckTest : public testing::Test {
protected:
    static void SetUpTestSuite() {
        initialise();
        made() = std::make_unique<pki>();
        made()->bundle("good.chain", "good", "inter");
        made()->bundle("ta.chain", "good", "inter", "root");
    }

    static void TearDownTestSuite() { made().reset(); }

    static std::unique_ptr<pki>& made() {
        static std::unique_ptr<pki>
            one; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): one for the suite
        return one;
    }

    void SetUp() override {
        auto opened = task::reactor::open({});
        ASSERT_TRUE(opened.has_value()) << opened.error().detail;
        reactor_ = std::move(*opened);
        flusher_ = std::make_unique<net::flusher>(*reactor_);
        auto client = context::for_client();
        ASSERT_TRUE(client.has_value());
        client_context_ = *client;
        auto root = trust_store::load(made()->path("root.pem"));
        ASSERT_TRUE(root.has_value()) << root.error().detail;
        authorities_ = *root;
    }

    // The client's side of a handshake on a connected socket.
    ending shake(int fd, const requirement& required) {
        ending end;
        net::recording_observer observer;
        auto* stream = new net::stream(*reactor_, *flusher_, fd, observer);
        stream->set_filter(
            client_context_->make_filter("mx.test",
                                         required,
                                         authorities_,
                                         {[&](const session_facts& facts) { end.facts = facts; },
                                          [&](const verdict& why) { end.failed = why; }}));
        stream->start_input();
        EXPECT_TRUE(begin_handshake(*stream->get_filter(), *stream));
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!end.facts && observer.closed == 0 && std::chrono::steady_clock::now() < until) {
            reactor_->run_once(1);
        }
        if (observer.closed == 0) {
            stream->close();
        }
        for (int round = 0; round < 20; ++round) {
            reactor_->run_once(1);
        }
        end.closed = observer.closed;
        end.reason = observer.reason;
        return end;
    }

    // Against our own server.
    ending shake(const std::string& chain, const std::string& key, const requirement& required) {
        auto server = context::for_server(made()->path(chain), made()->path(key));
        EXPECT_TRUE(server.has_value()) << server.error().detail;
        const net::connected_sockets ends = net::connect_on_loopback();
        net::recording_observer observer;
        auto* stream = new net::stream(*reactor_, *flusher_, ends.server, observer);
        stream->set_filter(make_server_filter(std::make_shared<server_identities>(*server),
                                              [](const std::string&, const std::string&) {}));
        stream->start_input();
        ending end = shake(ends.client, required);
        if (observer.closed == 0) {
            stream->abort();
        }
        for (int round = 0; round < 10; ++round) {
            reactor_->run_once(1);
        }
        return end;
    }

    static requirement named(const std::string& host, bool enforced = true) {
        return {check::names, enforced, {host}, {}};
    }

    static requirement dane(const std::string& leaf) {
        const auto der = certificates_of_pem(made()->pem(leaf));
        return {check::dane, true, {"mx.test"}, {{3, 1, 0, parse_certificate(der[0])->public_key}}};
    }

    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<net::flusher> flusher_;
    std::shared_ptr<context> client_context_;
    std::shared_ptr<const trust_store> authorities_;
};

TEST_F(ClientCheckTest, a_good_chain_is_verified) {
    for (int time = 0; time < 2; ++time) { // The second must be asked like the first.
        const ending end = shake("good.chain", "good.key", named("mx.test"));
        ASSERT_TRUE(end.facts.has_value()) << end.told();
        EXPECT_TRUE(end.facts->cipher.starts_with("TLSv1.3 with cipher ")) << end.facts->cipher;
        EXPECT_EQ(end.facts->verdict.failure, failure::none);
        EXPECT_EQ(end.facts->verdict.proof, proof::authority);
        EXPECT_EQ(end.facts->verdict.peer, "leaf");
        EXPECT_FALSE(end.failed.has_value());
    }
}

TEST_F(ClientCheckTest, a_fault_ends_the_handshake_and_is_told) {
    const struct {
        const char* chain;
        const char* key;
        const char* host;
        failure expected;
    } rows[] = {
        {"good.chain", "good.key", "other.test", failure::certificate_host_mismatch},
        {"good.pem", "good.key", "mx.test", failure::certificate_not_trusted},
        {"alone.pem", "alone.key", "mx.test", failure::certificate_not_trusted},
        {"other.pem", "other.key", "mx.test", failure::certificate_not_trusted},
    };

    for (const auto& row : rows) {
        const ending end = shake(row.chain, row.key, named(row.host));
        EXPECT_FALSE(end.facts.has_value()) << row.chain;
        ASSERT_TRUE(end.failed.has_value()) << row.chain;
        EXPECT_EQ(end.failed->failure, row.expected) << row.chain;
        EXPECT_EQ(end.closed, 1);
        EXPECT_EQ(end.reason, net::close_reason::tls_failed);
    }
}

// An authority that only a peer showed must not be believed: not for it, not for the next one.
TEST_F(ClientCheckTest, what_a_peer_shows_is_trusted_by_nobody) {
    made()->bundle("own.chain", "good", "inter", "other");
    for (int time = 0; time < 3; ++time) {
        authorities_ = *trust_store::load(made()->path("other.pem"));
        const ending end = shake("own.chain", "good.key", named("mx.test"));
        ASSERT_TRUE(end.failed.has_value()) << end.told();
        EXPECT_EQ(end.failed->failure, failure::certificate_not_trusted);
        // Not enforced: all is accepted, once.
        const ending lenient = shake("own.chain", "good.key", named("mx.test", false));
        ASSERT_TRUE(lenient.facts.has_value()) << lenient.told();
        EXPECT_EQ(lenient.facts->verdict.failure, failure::certificate_not_trusted);
    }
}

TEST_F(ClientCheckTest, not_enforced_is_told_and_goes_on) {
    const ending end = shake("good.chain", "good.key", named("other.test", false));
    ASSERT_TRUE(end.facts.has_value()) << end.told();
    EXPECT_EQ(end.facts->verdict.failure, failure::certificate_host_mismatch);
    EXPECT_EQ(end.facts->verdict.proof, proof::unchecked);
    EXPECT_FALSE(end.failed.has_value());
}

TEST_F(ClientCheckTest, dane_takes_the_key_that_is_named) {
    ending end = shake("alone.pem", "alone.key", dane("alone"));
    ASSERT_TRUE(end.facts.has_value()) << end.told();
    EXPECT_EQ(end.facts->verdict.proof, proof::dane_ee);
    end = shake("good.chain", "good.key", dane("alone"));
    ASSERT_TRUE(end.failed.has_value()) << end.told();
    EXPECT_EQ(end.failed->failure, failure::dane_mismatch);
}

TEST_F(ClientCheckTest, unusable_records_and_no_check_ask_nothing) {
    for (const requirement& required :
         {requirement{}, requirement{check::dane, true, {"mx.test"}, {{1, 1, 1, "x"}}}}) {
        const ending end = shake("alone.pem", "alone.key", required);
        ASSERT_TRUE(end.facts.has_value()) << end.told();
        EXPECT_EQ(end.facts->verdict.proof, proof::unchecked);
        EXPECT_EQ(end.facts->verdict.failure, failure::none);
    }
}

TEST_F(ClientCheckTest, openssl_is_judged_like_our_own) {
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
        const openssl_server server({"-cert",
                                     made()->path("good.pem"),
                                     "-key",
                                     made()->path("good.key"),
                                     "-cert_chain",
                                     made()->path("inter.pem"),
                                     version});
        ASSERT_NE(server.port(), 0);
        ending end = shake(net::connect_to_loopback(server.port()), named("a.wild.test"));
        ASSERT_TRUE(end.facts.has_value()) << version << end.told();
        EXPECT_EQ(end.facts->verdict.proof, proof::authority);
        end = shake(net::connect_to_loopback(server.port()), named("wild.test"));
        ASSERT_TRUE(end.failed.has_value()) << end.told();
        EXPECT_EQ(end.failed->failure, failure::certificate_host_mismatch);
        end = shake(net::connect_to_loopback(server.port()), dane("good"));
        ASSERT_TRUE(end.facts.has_value()) << end.told();
        EXPECT_EQ(end.facts->verdict.proof, proof::dane_ee);
        end = shake(net::connect_to_loopback(server.port()), dane("inter"));
        ASSERT_TRUE(end.failed.has_value()) << end.told();
        EXPECT_EQ(end.failed->failure, failure::dane_mismatch);
    }
}

// Neither server minds that its own certificate has expired.
TEST_F(ClientCheckTest, an_expired_certificate_is_refused_by_name_and_taken_by_dane) {
    const openssl_server server({"-cert",
                                 made()->path("expired.pem"),
                                 "-key",
                                 made()->path("expired.key"),
                                 "-cert_chain",
                                 made()->path("inter.pem")});
    ending end = shake(net::connect_to_loopback(server.port()), named("mx.test"));
    ASSERT_TRUE(end.failed.has_value()) << end.told();
    EXPECT_EQ(end.failed->failure, failure::certificate_expired);
    end = shake(net::connect_to_loopback(server.port()), dane("expired"));
    ASSERT_TRUE(end.facts.has_value()) << end.told();
    EXPECT_EQ(end.facts->verdict.proof, proof::dane_ee);
}

TEST_F(ClientCheckTest, no_common_version_is_the_handshakes_fault) {
    const openssl_server server({"-cert",
                                 made()->path("good.pem"),
                                 "-key",
                                 made()->path("good.key"),
                                 "-tls1_2",
                                 "-cipher",
                                 "AES128-SHA"});
    const ending end = shake(net::connect_to_loopback(server.port()), named("mx.test"));
    ASSERT_TRUE(end.failed.has_value()) << end.told();
    EXPECT_EQ(end.failed->failure, failure::handshake);
    EXPECT_NE(end.failed->detail, "");
}

} // namespace
} // namespace ebbgate::tls
