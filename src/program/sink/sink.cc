#include "program/sink/sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <utility>

namespace ebbgate::sink {

namespace {

constexpr std::string_view end_mark = "\r\n.\r\n";

std::string unstuffed(const std::string& wire) {
    std::string plain;
    plain.reserve(wire.size());
    bool line_start = true;
    for (const char c : wire) {
        if (line_start && c == '.') {
            line_start = false;
            continue;
        }
        line_start = c == '\n';
        plain += c;
    }
    return plain;
}

} // namespace

class session final : public net::stream_observer {
public:
    session(sink& sink, int fd) : sink_(sink) {
        stream_ = new net::stream(sink.reactor_, sink.flusher_, fd, *this);
        pause_.owner = this;
        pause_.on_expire = [](task::timer& timer) noexcept {
            auto& self = *static_cast<pause_timer&>(timer).owner;
            const std::string reply = std::exchange(self.held_, {});
            self.stream_->write(reply);
            self.stream_->resume_input();
        };
        answer("connect", {}, "220 sink.test ESMTP\r\n");
        if (stream_ != nullptr) {
            stream_->start_input();
        }
    }

    ~session() {
        sink_.reactor_.timers().clear(pause_);
        if (stream_ != nullptr) {
            stream_->abort();
        }
    }

    std::size_t on_input(byte_view bytes) noexcept override {
        const std::size_t all = bytes.size();
        while (!bytes.empty() && stream_ != nullptr && !pause_.is_set()) {
            if (in_data_) {
                take_data(bytes);
                continue;
            }
            const std::size_t end = bytes.find('\n');
            line_.append(bytes.substr(0, end == byte_view::npos ? bytes.size() : end + 1));
            bytes.remove_prefix(end == byte_view::npos ? bytes.size() : end + 1);
            if (end != byte_view::npos) {
                const std::string line = std::exchange(line_, {});
                on_command(line);
            } else if (line_.size() > sink::command_bytes_max) {
                leave(true);
            }
        }
        return all - bytes.size();
    }

    void on_closed(net::close_reason) noexcept override {
        stream_ = nullptr;
        gone();
    }

private:
    struct pause_timer : task::timer {
        session* owner = nullptr;
    };

    void gone() {
        sink_.reactor_.post([&sink = sink_, self = this] { sink.sessions_.erase(self); });
    }

    void leave(bool abruptly) {
        abruptly ? stream_->abort() : stream_->close();
        stream_ = nullptr;
        gone();
    }

    // False when the session is over or the answer was a refusal.
    bool answer(const char* command, std::string_view subject, std::string_view reply) {
        const rule* struck = sink_.strike(command, subject);
        if (struck == nullptr) {
            stream_->write(reply);
            return true;
        }
        switch (struck->what) {
        case misdeed::defer:
            stream_->write("451 4.3.0 Try again later\r\n");
            return false;
        case misdeed::refuse:
            stream_->write("550 5.1.1 Not here\r\n");
            return false;
        case misdeed::drop:
            leave(true);
            return false;
        case misdeed::delay:
            held_ = reply;
            sink_.reactor_.timers().set(pause_, sink_.reactor_.now_ms() + sink_.options_.delay_ms);
            return true;
        }
        return false;
    }

    void on_command(const std::string& line) {
        std::string verb = line.substr(0, 4);
        std::transform(verb.begin(), verb.end(), verb.begin(), [](unsigned char c) {
            return static_cast<char>(std::toupper(c));
        });
        if (verb == "EHLO" || verb == "HELO") {
            answer("ehlo",
                   {},
                   sink_.options_.offer_pipelining
                       ? "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
                         "250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"
                         "250 SIZE 2147483648\r\n"
                       : "250-sink.test\r\n250 8BITMIME\r\n");
        } else if (verb == "MAIL") {
            accepted_ = 0;
            answer("mail", line, "250 2.1.0 Ok\r\n");
        } else if (verb == "RCPT") {
            accepted_ += answer("rcpt", line, "250 2.1.5 Ok\r\n") ? 1U : 0U;
        } else if (verb == "DATA") {
            if (accepted_ == 0) {
                stream_->write("554 5.5.1 No valid recipients\r\n");
            } else if (answer("data", {}, "354 Go ahead\r\n")) {
                in_data_ = true;
                head_.clear();
                tail_ = "\r\n";
                bytes_ = 0;
            }
        } else if (verb == "QUIT") {
            stream_->write("221 2.0.0 Bye\r\n");
            leave(false);
        } else if (verb == "RSET" || verb == "NOOP") {
            stream_->write("250 2.0.0 Ok\r\n");
        } else {
            stream_->write("502 5.5.2 Command not recognized\r\n");
        }
    }

    void keep(byte_view taken) {
        bytes_ += taken.size();
        const bool whole = !sink_.options_.maildir.empty();
        const std::size_t room =
            whole ? taken.size()
                  : sink::head_bytes_max - std::min(head_.size(), sink::head_bytes_max);
        head_.append(taken.substr(0, room));
    }

    void take_data(byte_view& bytes) {
        // The mark may straddle: look at the carried tail with the first bytes, then at the rest.
        std::string joint = tail_ + std::string(bytes.substr(0, end_mark.size() - 1));
        std::size_t taken = byte_view::npos;
        const std::size_t straddling = joint.find(end_mark);
        if (straddling != std::string::npos) {
            taken = straddling + end_mark.size() - tail_.size();
        } else if (const std::size_t inside = bytes.find(end_mark); inside != byte_view::npos) {
            taken = inside + end_mark.size();
        }
        if (taken == byte_view::npos) {
            keep(bytes);
            tail_.append(bytes.substr(bytes.size() > 4 ? bytes.size() - 4 : 0));
            tail_.erase(0, tail_.size() > 4 ? tail_.size() - 4 : 0);
            bytes = {};
            return;
        }
        keep(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        in_data_ = false;
        if (answer("dot", {}, "250 2.0.0 Ok: accepted\r\n")) {
            sink_.totals_.recipients += accepted_;
            sink_.count(head_, bytes_);
            if (!sink_.options_.maildir.empty()) {
                head_.resize(head_.size() - 3); // The end mark's own line.
                sink_.store(unstuffed(head_));
            }
        }
        accepted_ = 0;
    }

    sink& sink_;
    net::stream* stream_ = nullptr;
    pause_timer pause_;
    std::string held_;
    std::string line_;
    std::string head_;
    std::string tail_;
    std::uint64_t bytes_ = 0;
    std::uint32_t accepted_ = 0;
    bool in_data_ = false;
};

sink::sink(task::reactor& reactor, sink_options options)
    : reactor_(reactor), flusher_(reactor), options_(std::move(options)) {}

sink::~sink() {
    constexpr std::uint64_t settle_ms_max = 1000;
    if (listener_ != nullptr) {
        listener_->stop();
    }
    sessions_.clear();
    reactor_.settle(settle_ms_max);
}

result<std::uint16_t> sink::start() {
    if (!options_.maildir.empty()) {
        std::error_code error;
        for (const char* folder : {"tmp", "new", "cur"}) {
            std::filesystem::create_directories(options_.maildir + "/" + folder, error);
        }
        if (error) {
            return fail(failure_kind::io, options_.maildir + ": " + error.message());
        }
    }
    auto opened = net::listener::open(reactor_, options_.listen, *this);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    listener_ = std::move(*opened);
    listener_->start();
    return listener_->port();
}

void sink::on_accepted(int fd) noexcept {
    ++totals_.connections;
    auto made = std::make_unique<session>(*this, fd);
    session* key = made.get();
    sessions_.emplace(key, std::move(made));
}

rule* sink::strike(const char* command, std::string_view subject) {
    for (rule& rule : options_.rules) {
        if (rule.command == command &&
            (rule.pattern.empty() || subject.find(rule.pattern) != std::string_view::npos) &&
            ++rule.seen % rule.one_in == 0) {
            ++totals_.misdeeds;
            return &rule;
        }
    }
    return nullptr;
}

void sink::count(const std::string& head, std::uint64_t bytes) {
    ++totals_.messages;
    totals_.bytes += bytes;
    const std::size_t end = head.find("\r\n\r\n");
    std::string fields = head.substr(0, end);
    std::transform(fields.begin(), fields.end(), fields.begin(), [](unsigned char c) {
        return static_cast<char>(std::tolower(c));
    });
    std::size_t at = fields.find("\r\nmessage-id:");
    if (at == std::string::npos && fields.starts_with("message-id:")) {
        at = 0;
    }
    const std::size_t open = at == std::string::npos ? at : head.find('<', at);
    const std::size_t close = open == std::string::npos ? open : head.find('>', open);
    if (close == std::string::npos) {
        ++totals_.unnumbered;
        return;
    }
    if (!totals_.ids.insert(head.substr(open, close - open + 1)).second) {
        ++totals_.duplicates;
    }
}

void sink::store(const std::string& message) {
    const std::string name = fmt::format("{}.{}.sink", getpid(), ++stored_);
    const std::string made = options_.maildir + "/tmp/" + name;
    std::ofstream(made, std::ios::binary) << message;
    std::error_code error;
    std::filesystem::rename(made, options_.maildir + "/new/" + name, error);
}

std::uint64_t sink::missing() const noexcept {
    const std::uint64_t seen = totals_.ids.size();
    return options_.expected > seen ? options_.expected - seen : 0;
}

} // namespace ebbgate::sink
