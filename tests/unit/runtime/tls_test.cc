// Two filters talk over loopback: our client against our server, with a certificate made for the
// test by the openssl program.

#include "loopback.h"
#include "runtime/tls/tls.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace ebbgate::tls {
namespace {

namespace fs = std::filesystem;

class TlsTest : public testing::Test {
protected:
    static void SetUpTestSuite() {
        initialise();
        char name[] = "/tmp/ebbgate-tls-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder() = name;
        const std::string command =
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            "-subj /CN=gate.test -keyout " +
            folder() + "/key.pem -out " + folder() + "/cert.pem 2>/dev/null";
        FILE* made = popen(command.c_str(), "r");
        ASSERT_NE(made, nullptr);
        ASSERT_EQ(pclose(made), 0) << "openssl is needed for this test";
    }

    static void TearDownTestSuite() { fs::remove_all(folder()); }

    static std::string& folder() {
        static std::string path; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): one
                                 // folder for the suite
        return path;
    }

    void SetUp() override {
        auto made = task::reactor::open({});
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        reactor_ = std::move(*made);
        flusher_ = std::make_unique<net::flusher>(*reactor_);
        const net::connected_sockets ends = net::connect_on_loopback();
        client_ = new net::stream(*reactor_, *flusher_, ends.client, client_end_);
        server_ = new net::stream(*reactor_, *flusher_, ends.server, server_end_);
    }

    void TearDown() override {
        if (client_end_.closed == 0) {
            client_->abort();
        }
        if (server_end_.closed == 0) {
            server_->abort();
        }
        turns(10);
    }

    void turns(int count) {
        for (int index = 0; index < count; ++index) {
            reactor_->run_once(1);
        }
    }

    void shake_hands() {
        auto server = context::for_server(folder() + "/cert.pem", folder() + "/key.pem");
        auto client = context::for_client();
        ASSERT_TRUE(server.has_value()) << server.error().detail;
        ASSERT_TRUE(client.has_value()) << client.error().detail;
        server_context_ = *server;
        client_context_ = *client;
        auto identities = std::make_shared<server_identities>(*server);
        server_->set_filter(make_server_filter(
            identities, [this](const std::string& cipher, const std::string& name) {
                server_cipher_ = cipher;
                server_name_ = name;
            }));
        client_->set_filter((*client)->make_filter(
            "Gate.Test", [this](const std::string& cipher) { client_cipher_ = cipher; }));
        server_->start_input();
        client_->start_input();
        ASSERT_TRUE(begin_handshake(*client_->get_filter(), *client_));
        for (int round = 0; round < 100 && (server_cipher_.empty() || client_cipher_.empty());
             ++round) {
            turns(1);
        }
        ASSERT_NE(server_cipher_.find("TLSv1.3"), std::string::npos) << server_cipher_;
        ASSERT_EQ(server_cipher_, client_cipher_);
        ASSERT_EQ(server_name_, "gate.test");
    }

    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<net::flusher> flusher_;
    net::recording_observer client_end_;
    net::recording_observer server_end_;
    net::stream* client_ = nullptr;
    net::stream* server_ = nullptr;
    std::shared_ptr<context> server_context_;
    std::shared_ptr<context> client_context_;
    std::string server_cipher_;
    std::string client_cipher_;
    std::string server_name_;
};

TEST_F(TlsTest, BytesPassBothWays) {
    shake_hands();
    std::string large;
    for (int line = 0; line < 20'000; ++line) {
        large += "line " + std::to_string(line) + "\r\n";
    }
    client_->write(large);
    server_->write("250 Ok\r\n");
    for (int round = 0; round < 500 && server_end_.got.size() < large.size(); ++round) {
        turns(1);
    }
    EXPECT_TRUE(server_end_.got == large);
    EXPECT_EQ(client_end_.got, "250 Ok\r\n");
}

TEST_F(TlsTest, GarbageInsteadOfAHandshakeEndsTheStream) {
    auto server = context::for_server(folder() + "/cert.pem", folder() + "/key.pem");
    ASSERT_TRUE(server.has_value());
    server_context_ = *server;
    server_->set_filter(make_server_filter(std::make_shared<server_identities>(*server),
                                           [](const std::string&, const std::string&) {}));
    server_->start_input();
    client_->start_input();
    client_->write("EHLO not.tls\r\nMAIL FROM:<a@b.test>\r\n");
    turns(20);
    EXPECT_EQ(server_end_.closed, 1);
    EXPECT_EQ(server_end_.reason, net::close_reason::tls_failed);
    EXPECT_EQ(server_end_.got, "");
}

TEST_F(TlsTest, TheCloseAlertIsAnEndNotAFault) {
    shake_hands();
    client_->write("QUIT\r\n");
    client_->close();
    client_end_.closed = 1;
    turns(20);
    EXPECT_EQ(server_end_.got, "QUIT\r\n");
    EXPECT_EQ(server_end_.closed, 1);
    EXPECT_EQ(server_end_.reason, net::close_reason::peer_closed);
}

TEST_F(TlsTest, AMissingOrWrongCertificateSaysWhichFile) {
    const auto missing = context::for_server(folder() + "/none.pem", folder() + "/key.pem");
    ASSERT_FALSE(missing.has_value());
    EXPECT_NE(missing.error().detail.find("none.pem"), std::string::npos);
    std::ofstream(folder() + "/bad.pem") << "not a key\n";
    const auto bad = context::for_server(folder() + "/cert.pem", folder() + "/bad.pem");
    ASSERT_FALSE(bad.has_value());
    EXPECT_NE(bad.error().detail.find("bad.pem"), std::string::npos);
}

} // namespace
} // namespace ebbgate::tls
