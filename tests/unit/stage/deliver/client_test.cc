// The client against a peer that answers by a script: what it sends, and what it tells its owner.

#include "stage/deliver/client.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <optional>

namespace ebbgate::deliver {
namespace {

// Sends the next answer of its script for each line; for "BDAT n" when n octets have come, for a
// text after 354 at its end mark. An empty answer closes.
class peer final : public net::listener_observer, public net::stream_observer {
public:
    peer(task::reactor& reactor, net::flusher& flusher, std::string offers)
        : reactor_(reactor), flusher_(flusher), offers_(std::move(offers)) {
        auto opened = net::listener::open(reactor, {"127.0.0.1", 0}, *this);
        EXPECT_TRUE(opened.has_value());
        listener_ = std::move(*opened);
        listener_->start();
    }

    ~peer() {
        if (stream_ != nullptr) {
            stream_->abort();
        }
        listener_->stop();
        for (int turns = 0; turns < 100 && !listener_->is_idle(); ++turns) {
            reactor_.run_once(1);
        }
    }

    [[nodiscard]] std::uint16_t port() const { return listener_->port(); }

    void on_accepted(int fd) noexcept override {
        stream_ = new net::stream(reactor_, flusher_, fd, *this);
        say(greeting);
        if (stream_ != nullptr) {
            stream_->start_input();
        }
    }

    std::size_t on_input(byte_view bytes) noexcept override {
        input_ += bytes;
        while (stream_ != nullptr && step()) {
        }
        return bytes.size();
    }

    void on_closed(net::close_reason) noexcept override { stream_ = nullptr; }

    std::string greeting = "220 peer.test\r\n";
    std::function<std::string(const std::string& line)> answer;
    std::vector<std::string> lines;
    std::vector<std::string> texts;

private:
    bool step() {
        if (octets_) {
            if (input_.size() < *octets_) {
                return false;
            }
            texts.push_back(input_.substr(0, *octets_));
            input_.erase(0, *octets_);
            octets_.reset();
            say(answer("BDAT"));
            return true;
        }
        const std::size_t end = input_.find(in_text_ ? "\r\n.\r\n" : "\r\n");
        if (end == std::string::npos) {
            return false;
        }
        const std::string line = input_.substr(0, in_text_ ? end + 2 : end);
        input_.erase(0, end + (in_text_ ? 5 : 2));
        if (std::exchange(in_text_, false)) {
            texts.push_back(line);
            say(answer("."));
            return true;
        }
        lines.push_back(line);
        if (line.starts_with("EHLO")) {
            say("250-peer.test\r\n" + offers_ + "250 HELP\r\n");
        } else if (line.starts_with("BDAT ")) {
            octets_ = std::stoul(line.substr(5));
        } else {
            const std::string reply = answer(line);
            in_text_ = reply.starts_with("354");
            say(reply);
        }
        return true;
    }

    void say(const std::string& text) {
        if (text.empty()) {
            std::exchange(stream_, nullptr)->close();
        } else {
            stream_->write(text);
        }
    }

    task::reactor& reactor_;
    net::flusher& flusher_;
    std::string offers_;
    std::unique_ptr<net::listener> listener_;
    net::stream* stream_ = nullptr;
    std::string input_;
    std::optional<std::size_t> octets_;
    bool in_text_ = false;
};

std::string ok(const std::string& line) {
    return line.starts_with("DATA")   ? "354 go on\r\n"
           : line.starts_with("QUIT") ? "221 bye\r\n"
                                      : "250 2.0.0 ok\r\n";
}

class ClientTest : public ::testing::Test, public client_owner {
protected:
    struct fetch_timer : task::timer {
        ClientTest* owner = nullptr;
    };

    void SetUp() override {
        auto opened = task::reactor::open({});
        ASSERT_TRUE(opened.has_value());
        reactor_ = std::move(*opened);
        flusher_ = std::make_unique<net::flusher>(*reactor_);
        settings_.ehlo_name = "us.test";
        fetch_.owner = this;
        envelope_.sender = "a@acme.test";
        envelope_.recipients.push_back({"b@far.test", "", 0});
    }

    void on_ready(client& client) override { ready_name_ = client.peer_name(); }

    next_job_result next_job(client&, job& next) override {
        if (jobs_.empty()) {
            if (coming_.empty()) {
                return next_job_result::none;
            }
            fetch_.on_expire = [](task::timer& timer) noexcept {
                ClientTest& self = *static_cast<fetch_timer&>(timer).owner;
                self.jobs_ = std::exchange(self.coming_, {});
                self.is_woken_ = self.client_->wake();
            };
            reactor_->timers().set(fetch_, reactor_->now_ms() + 100);
            return next_job_result::coming;
        }
        pieces_ = std::move(jobs_.front());
        jobs_.pop_front();
        next.envelope = &envelope_;
        for (std::uint32_t index = 0; index < envelope_.recipients.size(); ++index) {
            next.recipients.push_back(index);
        }
        for (const std::string& piece : pieces_) {
            next.message_bytes += piece.size();
        }
        return next_job_result::here;
    }

    void send_body(client& client) override {
        for (const std::string& piece : pieces_) {
            if (as_chunks_) {
                chunks body;
                body.append(piece);
                client.write_body(body);
            } else {
                client.write_body(byte_view(piece));
            }
        }
        client.body_written();
    }

    void on_room(client&) override {}

    void on_outcome(client&, std::vector<recipient_outcome> outcomes) override {
        outcomes_.insert(outcomes_.end(), outcomes.begin(), outcomes.end());
        if (jobs_.empty()) {
            reactor_->post([this] {
                if (client_ != nullptr) {
                    client_->shut_down();
                }
            });
        }
    }

    void on_closed(client& client, bool before_ready, const std::string& why) override {
        client_ = nullptr;
        before_ready_ = before_ready;
        why_ = why;
        push_back_ = client.pushed_back();
    }

    void run(std::uint16_t port) {
        client_ = new client(*reactor_,
                             *flusher_,
                             settings_,
                             nullptr,
                             {{"127.0.0.1", port}, "", "far.test", tls_use::off},
                             *this);
        client_->start();
        for (int turns = 0; client_ != nullptr && turns < 2000; ++turns) {
            reactor_->run_once(20);
        }
        ASSERT_EQ(client_, nullptr) << "it never ended";
        for (int turns = 0; turns < 5; ++turns) {
            reactor_->run_once(1); // It frees itself.
        }
    }

    std::unique_ptr<peer> make_peer(const std::string& offers) {
        auto made = std::make_unique<peer>(*reactor_, *flusher_, offers);
        made->answer = ok;
        return made;
    }

    // One job to a peer that answers `line` so, and all else well.
    push_back against(const std::string& offers, const std::string& line, const std::string& text) {
        auto far = make_peer(offers);
        far->answer = [&](const std::string& command) {
            return command.starts_with(line) ? text : ok(command);
        };
        outcomes_.clear();
        jobs_.push_back({"Subject: x\r\n\r\ny\r\n"});
        run(far->port());
        jobs_.clear();
        return push_back_;
    }

    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<net::flusher> flusher_;
    client_settings settings_;
    message::envelope envelope_;
    std::deque<std::vector<std::string>> jobs_;
    std::vector<std::string> pieces_;
    std::vector<recipient_outcome> outcomes_;
    client* client_ = nullptr;
    std::string ready_name_;
    std::string why_;
    push_back push_back_ = push_back::none;
    std::deque<std::vector<std::string>> coming_; // Jobs that take a while.
    fetch_timer fetch_;
    bool is_woken_ = false;
    bool as_chunks_ = false;
    bool before_ready_ = false;
};

constexpr const char* both = "250-PIPELINING\r\n250-CHUNKING\r\n";

TEST_F(ClientTest, ABodyCutAtEveryByteAroundDotsGoesByBdatAsItWas) {
    const std::string wire = "S: x\r\n\r\n..\r\n...\r\na.\r\n.. .\r\n..";
    const std::string raw = "S: x\r\n\r\n.\r\n..\r\na.\r\n. .\r\n.\r\n";
    auto far = make_peer(both);
    for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
        for (const std::size_t second : {cut, cut + 1, wire.size()}) {
            const std::size_t to = std::min(second, wire.size());
            jobs_.push_back(
                {wire.substr(0, cut), wire.substr(cut, to - cut), wire.substr(to) + "\r\n"});
        }
    }
    const std::size_t count = jobs_.size();
    run(far->port());
    EXPECT_EQ(far->texts, std::vector<std::string>(count, raw));
    EXPECT_EQ(outcomes_.size(), count);
    EXPECT_EQ(outcomes_.back().command, std::string("BDAT"));
    EXPECT_EQ(std::count(far->lines.begin(), far->lines.end(), "DATA"), 0);
    EXPECT_EQ(ready_name_, "peer.test");
}

TEST_F(ClientTest, BlocksInMemoryAreJoined) {
    auto far = make_peer(both);
    as_chunks_ = true;
    std::string raw;
    std::string wire;
    for (int line = 0; line < 2000; ++line) {
        raw += "." + std::string(static_cast<std::size_t>(line % 19), 'x') + "\r\n";
        wire += ".." + std::string(static_cast<std::size_t>(line % 19), 'x') + "\r\n";
    }
    jobs_.push_back({"S: x\r\n\r\n", wire});
    run(far->port());
    ASSERT_EQ(far->texts.size(), 1U);
    EXPECT_EQ(far->texts[0], "S: x\r\n\r\n" + raw);
}

TEST_F(ClientTest, DataIsForLargeMessagesAndForThoseThatAskForIt) {
    const std::string line = std::string(70, 'x') + "\r\n";
    std::string large;
    while (large.size() <= client::bdat_bytes_max) {
        large += line;
    }
    for (const auto& [offers, chunking, text] :
         {std::tuple{std::string(both), true, large},
          std::tuple{std::string(both), false, line},
          std::tuple{std::string("250-CHUNKING\r\n"), true, line}}) {
        auto far = make_peer(offers);
        settings_.chunking = chunking;
        jobs_.push_back({text});
        run(far->port());
        EXPECT_EQ(far->texts, std::vector<std::string>{text});
        EXPECT_EQ(std::count(far->lines.begin(), far->lines.end(), "DATA"), 1);
    }
}

TEST_F(ClientTest, WhatIsNotInWireFormIsNotSent) {
    auto far = make_peer(both);
    jobs_.push_back({"S: x\r\n\r\na\nb\r\n"});
    run(far->port());
    EXPECT_TRUE(far->texts.empty());
    ASSERT_EQ(outcomes_.size(), 1U);
    EXPECT_EQ(outcomes_[0].result, attempt_result::transient);
}

TEST_F(ClientTest, WhatThePeerLacksIsSaidAndNothingIsSent) {
    struct lack {
        bool smtputf8;
        bool strict;
        std::uint64_t bytes;
        smtp::enhanced_status status;
    };

    for (const lack& one : {lack{true, false, 10, {5, 6, 7}},
                            lack{false, true, 10, {5, 6, 3}},
                            lack{false, false, 2000, {5, 3, 4}}}) {
        auto far = make_peer("250-SIZE 1000\r\n");
        envelope_.smtputf8 = one.smtputf8;
        envelope_.body = message::body_type::eight_bit_mime;
        settings_.bounce_eight_bit = one.strict;
        outcomes_.clear();
        jobs_.push_back({std::string(one.bytes, 'x') + "\r\n"});
        run(far->port());
        ASSERT_EQ(outcomes_.size(), 1U);
        EXPECT_EQ(outcomes_[0].result, attempt_result::permanent);
        EXPECT_EQ(outcomes_[0].status, one.status);
        EXPECT_TRUE(outcomes_[0].peer_lacks);
        EXPECT_EQ(far->lines, (std::vector<std::string>{"EHLO us.test", "QUIT"}));
    }
    settings_.bounce_eight_bit = false;
    auto far = make_peer("");
    outcomes_.clear();
    jobs_.push_back({"x\r\n"});
    run(far->port());
    EXPECT_EQ(outcomes_[0].result, attempt_result::delivered);
    EXPECT_EQ(far->lines[1], "MAIL FROM:<a@acme.test>");
}

TEST_F(ClientTest, WhetherTheSendersDsnWishesArePassedOnIsTold) {
    for (const bool dsn : {true, false}) {
        auto far = make_peer(dsn ? "250-DSN\r\n" : "");
        envelope_.recipients[0].notify = message::notify_success;
        outcomes_.clear();
        jobs_.push_back({"x\r\n"});
        run(far->port());
        EXPECT_EQ(outcomes_[0].dsn_passed_on, dsn);
        EXPECT_EQ(far->lines[2].ends_with("NOTIFY=SUCCESS"), dsn);
    }
}

TEST_F(ClientTest, MailmaxEndsTheConnection) {
    auto far = make_peer("250-LIMITS MAILMAX=3 RCPTMAX=5\r\n");
    jobs_.assign(10, {"x\r\n"});
    run(far->port());
    EXPECT_EQ(far->texts.size(), 3U);
    EXPECT_EQ(far->lines.back(), "QUIT");
}

TEST_F(ClientTest, TheStatusIsMadeUpByClassWhereThePeerSaysNone) {
    against("", "RCPT", "550 no\r\n");
    EXPECT_EQ(outcomes_[0].status, (smtp::enhanced_status{5, 0, 0}));
    EXPECT_FALSE(outcomes_[0].reply.status.present());
    against("", "RCPT", "450 no\r\n");
    EXPECT_EQ(outcomes_[0].status, (smtp::enhanced_status{4, 0, 0}));
    against("", "RCPT", "550 5.1.1 no\r\n");
    EXPECT_EQ(outcomes_[0].status, (smtp::enhanced_status{5, 1, 1}));
    against("", ".", "250 ok\r\n");
    EXPECT_EQ(outcomes_[0].status, (smtp::enhanced_status{2, 0, 0}));
}

TEST_F(ClientTest, APushBackIsSeenInTheReplies) {
    EXPECT_EQ(against("", "MAIL", "250 ok\r\n"), push_back::none);
    EXPECT_EQ(against("", "MAIL", "451 4.3.0 no\r\n"), push_back::mail_4xx);
    EXPECT_EQ(outcomes_[0].push, push_back::mail_4xx);
    EXPECT_EQ(against("", "MAIL", "451 4.7.0 slower\r\n"), push_back::rate_4xx);
    EXPECT_EQ(against("", "RCPT", "450 4.2.1 no\r\n"), push_back::none);
    EXPECT_EQ(against("", "RCPT", "450 4.7.1 later\r\n"), push_back::rate_4xx);
    EXPECT_EQ(outcomes_[0].push, push_back::rate_4xx);
    EXPECT_EQ(against("", ".", "452 4.3.2 no\r\n"), push_back::rate_4xx);
    EXPECT_EQ(against(both, "BDAT", "550 5.7.1 no\r\n"), push_back::none);
    for (const char* command : {"MAIL", "RCPT", "DATA", "."}) {
        EXPECT_EQ(against("", command, "421 4.3.2 no\r\n"), push_back::shutdown_421) << command;
    }
}

TEST_F(ClientTest, APushBackIsSeenBeforeTheFirstMessage) {
    for (const auto& [greeting, wanted] : {std::pair{"421 4.7.0 no\r\n", push_back::shutdown_421},
                                           std::pair{"450 4.7.0 no\r\n", push_back::greeting_4xx},
                                           std::pair{"554 no\r\n", push_back::greeting_5xx},
                                           std::pair{"", push_back::lost_early},
                                           std::pair{"what\r\n", push_back::lost_early}}) {
        auto far = make_peer("");
        far->greeting = greeting;
        run(far->port());
        EXPECT_TRUE(before_ready_);
        EXPECT_EQ(push_back_, wanted) << greeting;
    }
    auto far = make_peer("");
    const std::uint16_t port = far->port();
    far.reset();
    run(port);
    EXPECT_EQ(push_back_, push_back::connection_refused);
}

TEST_F(ClientTest, AReplyForARecipientIsNotTakenForTheLast) {
    auto far = make_peer(both);
    far->answer = [](const std::string& line) {
        return line.starts_with("RCPT") ? "250 2.1.5 ok\r\n250 2.1.5 ok\r\n" : ok(line);
    };
    jobs_.push_back({"x\r\n"});
    run(far->port());
    ASSERT_EQ(outcomes_.size(), 1U);
    EXPECT_EQ(outcomes_[0].result, attempt_result::ambiguous);
}

TEST_F(ClientTest, OfManyRecipientsThoseThatWereRefusedAreNotInDoubt) {
    envelope_.recipients.push_back({"nobody@far.test", "", 0});
    envelope_.recipients.push_back({"c@far.test", "", 0});
    for (const char* offers : {"", "250-PIPELINING\r\n", both}) {
        auto far = make_peer(offers);
        far->answer = [](const std::string& line) -> std::string {
            return line == "." || line == "BDAT"               ? ""
                   : line.find("nobody@") != std::string::npos ? "550 no\r\n"
                                                               : ok(line);
        };
        outcomes_.clear();
        jobs_.push_back({"x\r\n"});
        run(far->port());
        ASSERT_EQ(outcomes_.size(), 3U);
        EXPECT_EQ(outcomes_[0].result, attempt_result::ambiguous);
        EXPECT_EQ(outcomes_[1].result, attempt_result::permanent);
        EXPECT_EQ(outcomes_[2].result, attempt_result::ambiguous);
    }
}

} // namespace

TEST_F(ClientTest, IdleTimeIsNotTheTimeInWhichTheOwnerFetchesAMessage) {
    settings_.idle_timeout_ms = 0;
    auto far = make_peer(both);
    coming_.push_back({"Subject: x\r\n\r\ny\r\n"});
    run(far->port());
    EXPECT_TRUE(is_woken_);
    ASSERT_EQ(outcomes_.size(), 1U);
    EXPECT_EQ(outcomes_[0].result, attempt_result::delivered);
}

} // namespace ebbgate::deliver
