// A client against a server that speaks just enough SMTP to come to STARTTLS: what is required of
// its certificate, and what the client says of it.

#include "../../runtime/loopback.h"
#include "../../runtime/tls/pki.h"
#include "stage/deliver/client.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace ebbgate::deliver {
namespace {

// Tells that the client's hello has come, and so that the answer to it is on its way.
class told_filter final : public net::filter {
public:
    told_filter(std::unique_ptr<net::filter> inner, bool& is_told)
        : inner_(std::move(inner)), is_told_(is_told) {}

    status receive(net::stream& stream, byte_view wire) noexcept override {
        is_told_ = true;
        return inner_->receive(stream, wire);
    }

    status send(net::stream& stream, byte_view plain) noexcept override {
        return inner_->send(stream, plain);
    }

    void finish(net::stream& stream) noexcept override { inner_->finish(stream); }

private:
    std::unique_ptr<net::filter> inner_;
    bool& is_told_;
};

// One connection of the server; it frees nothing, the test ends it.
struct session final : net::stream_observer {
    net::stream* stream = nullptr;
    std::shared_ptr<tls::server_identities> identities;
    std::string ehlo = "250-hop.test\r\n250 STARTTLS\r\n";
    std::string said;
    bool greeted_by_tls = false;

    std::size_t on_input(byte_view bytes) noexcept override {
        said.append(bytes);
        if (bytes.starts_with("EHLO")) {
            stream->write(ehlo);
        } else if (bytes.starts_with("STARTTLS")) {
            stream->write("220 go\r\n");
            stream->set_filter(std::make_unique<told_filter>(
                tls::make_server_filter(identities, [](const std::string&, const std::string&) {}),
                greeted_by_tls));
            ehlo = "250 hop.test\r\n";
        } else if (bytes.starts_with("QUIT")) {
            stream->write("221 bye\r\n");
        }
        return bytes.size();
    }

    void on_closed(net::close_reason) noexcept override { stream = nullptr; }
};

struct owner final : client_owner {
    bool ready = false;
    bool closed = false;
    std::string why;
    deliver::tls_state state{};
    tls::session_facts facts;

    void on_ready(client& client) override {
        ready = true;
        client.shut_down();
    }

    next_job_result next_job(client&, job&) override { return next_job_result::none; }

    void send_body(client&) override {}

    void on_room(client&) override {}

    void on_outcome(client&, std::vector<recipient_outcome>) override {}

    void on_closed(client& client, bool, const std::string& text) override {
        closed = true;
        why = text;
        state = client.tls_state();
        facts = client.tls_facts();
    }
};

class ClientTlsTest : public testing::Test {
protected:
    static void SetUpTestSuite() {
        tls::initialise();
        made() = std::make_unique<tls::pki>();
        made()->bundle("good.chain", "good", "inter");
    }

    static void TearDownTestSuite() { made().reset(); }

    static std::unique_ptr<tls::pki>& made() {
        static std::unique_ptr<tls::pki>
            one; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): one for the suite
        return one;
    }

    // `ends_after_handshake`: the first connection's server says nothing more after its part.
    owner deliver_to(const std::string& ehlo,
                     tls_use use,
                     const tls::requirement& required,
                     bool ends_after_handshake = false) {
        auto reactor = std::move(*task::reactor::open({}));
        net::flusher flusher(*reactor);
        // Its own, so that both its answer and its end are there when the client looks.
        auto far_reactor = std::move(*task::reactor::open({}));
        net::flusher far_flusher(*far_reactor);
        const net::listening_socket listening = net::listen_on_loopback(SOCK_NONBLOCK);
        auto identities = std::make_shared<tls::server_identities>(
            *tls::context::for_server(made()->path("good.chain"), made()->path("good.key")));

        destination to;
        to.address = {"127.0.0.1", listening.port};
        to.host = "mx.test";
        to.tls = use;
        to.requirement = required;
        to.authorities = *tls::trust_store::load(made()->path("root.pem"));
        client_settings settings;
        settings.ehlo_name = "gate.test";
        owner end;
        (new client(*reactor, flusher, settings, *tls::context::for_client(), to, end))->start();
        std::vector<std::unique_ptr<session>> sessions;
        int first_fd = -1;
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!end.closed && std::chrono::steady_clock::now() < until) {
            reactor->run_once(1);
            const int fd = accept4(listening.fd, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd >= 0) {
                first_fd = sessions.empty() ? fd : first_fd;
                auto& one = sessions.emplace_back(std::make_unique<session>());
                one->ehlo = ehlo;
                one->identities = identities;
                one->stream = new net::stream(*far_reactor, far_flusher, fd, *one);
                one->stream->write("220 hop.test\r\n");
                one->stream->start_input();
            }
            for (int turns = 0; turns < 5; ++turns) {
                far_reactor->run_once(1);
            }
            if (ends_after_handshake && !sessions.empty() && sessions.front()->greeted_by_tls) {
                ends_after_handshake = false;
                shutdown(first_fd, SHUT_WR);
            }
        }
        for (auto& one : sessions) {
            if (one->stream != nullptr) {
                one->stream->abort();
            }
        }
        far_reactor->settle(1000);
        reactor->settle(1000);
        close(listening.fd);
        connections_ = sessions.size();
        return end;
    }

    static tls::requirement named(const std::string& host, bool enforced = true) {
        return {tls::check::names, enforced, {host}, {}};
    }

    static constexpr const char* with_tls = "250-hop.test\r\n250 STARTTLS\r\n";
    static constexpr const char* without_tls = "250 hop.test\r\n";
    std::size_t connections_ = 0;
};

TEST_F(ClientTlsTest, a_certificate_that_is_as_required_is_told) {
    const owner end = deliver_to(with_tls, tls_use::required, named("mx.test"));
    EXPECT_TRUE(end.ready) << end.why;
    EXPECT_EQ(end.state, tls_state::established);
    EXPECT_EQ(end.facts.verdict.proof, tls::proof::authority);
    EXPECT_TRUE(end.facts.cipher.starts_with("TLSv1.3 with cipher"));
}

TEST_F(ClientTlsTest, another_ends_the_connection_and_says_why) {
    const owner end = deliver_to(with_tls, tls_use::required, named("other.test"));
    EXPECT_FALSE(end.ready);
    EXPECT_EQ(end.why,
              "TLS failed: certificate is for another host (the certificate is for mx.test)");
    EXPECT_EQ(end.state, tls_state::failed);
    EXPECT_EQ(end.facts.verdict.failure, tls::failure::certificate_host_mismatch);
    EXPECT_EQ(connections_, 1U) << "never in the clear";
}

TEST_F(ClientTlsTest, what_is_not_enforced_is_delivered_and_told) {
    const owner end = deliver_to(with_tls, tls_use::opportunistic, named("other.test", false));
    EXPECT_TRUE(end.ready) << end.why;
    EXPECT_EQ(end.state, tls_state::established);
    EXPECT_EQ(end.facts.verdict.failure, tls::failure::certificate_host_mismatch);
}

TEST_F(ClientTlsTest, what_is_not_offered_is_told) {
    owner end = deliver_to(without_tls, tls_use::required, {});
    EXPECT_FALSE(end.ready);
    EXPECT_EQ(end.state, tls_state::not_offered);
    end = deliver_to(without_tls, tls_use::opportunistic, {});
    EXPECT_TRUE(end.ready);
    EXPECT_EQ(end.state, tls_state::not_offered);
    end = deliver_to(with_tls, tls_use::off, {});
    EXPECT_TRUE(end.ready);
    EXPECT_EQ(end.state, tls_state::untried);
}

TEST_F(ClientTlsTest, an_end_right_after_the_handshake_is_a_failed_one) {
    owner end = deliver_to(with_tls, tls_use::opportunistic, {}, true);
    EXPECT_TRUE(end.ready) << end.why;
    EXPECT_EQ(connections_, 2U) << "the second one in the clear";
    EXPECT_EQ(end.state, tls_state::failed);
    EXPECT_EQ(end.facts.verdict.failure, tls::failure::handshake);
    EXPECT_EQ(end.facts.cipher, "") << "the mail went without one";
    end = deliver_to(with_tls, tls_use::opportunistic, named("other.test", false), true);
    EXPECT_EQ(end.state, tls_state::failed);
    EXPECT_EQ(end.facts.verdict.failure, tls::failure::certificate_host_mismatch);
    end = deliver_to(with_tls, tls_use::required, {}, true);
    EXPECT_FALSE(end.ready);
    EXPECT_EQ(connections_, 1U);
    EXPECT_EQ(end.state, tls_state::failed);
}

} // namespace
} // namespace ebbgate::deliver
