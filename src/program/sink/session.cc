#include "program/sink/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
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

session::session(sink& sink, int fd, const config::ip_address& source, bool is_room)
    : sink_(sink), source_(source) {
    stream_ = new net::stream(sink.reactor_, sink.flusher_, fd, *this);
    pause_.owner = this;
    pause_.on_expire = [](task::timer& timer) noexcept {
        auto& self = *static_cast<pause_timer&>(timer).owner;
        const std::string reply = std::exchange(self.held_, {});
        self.stream_->write(reply);
        self.stream_->resume_input();
    };
    if (!is_room) {
        stream_->write("421 4.7.0 Too many connections\r\n");
        leave(false);
        return;
    }
    answer("connect", {}, "220 sink.test ESMTP\r\n");
    if (stream_ != nullptr) {
        stream_->start_input();
    }
}

session::~session() {
    sink_.reactor_.timers().clear(pause_);
    if (stream_ != nullptr) {
        stream_->abort();
    }
}

std::size_t session::on_input(byte_view bytes) noexcept {
    const std::size_t all = bytes.size();
    while (!bytes.empty() && stream_ != nullptr && !pause_.is_set()) {
        if (in_data_) {
            take_data(bytes);
            continue;
        }
        if (in_chunk_) {
            take_chunk(bytes);
            continue;
        }
        const std::size_t end = bytes.find('\n');
        line_.append(bytes.substr(0, end == byte_view::npos ? bytes.size() : end + 1));
        bytes.remove_prefix(end == byte_view::npos ? bytes.size() : end + 1);
        if (end != byte_view::npos) {
            const std::string line = std::exchange(line_, {});
            const bool was_secure = secure_;
            on_command(line);
            if (secure_ != was_secure && stream_ != nullptr && !bytes.empty()) {
                leave(true); // Clear text behind STARTTLS.
            }
        } else if (line_.size() > sink::command_bytes_max) {
            leave(true);
        }
    }
    return all - bytes.size();
}

void session::on_closed(net::close_reason) noexcept {
    stream_ = nullptr;
    gone();
}

void session::gone() {
    sink_.note_end(source_);
    sink_.reactor_.post([&sink = sink_, self = this] { sink.sessions_.erase(self); });
}

void session::leave(bool abruptly) {
    abruptly ? stream_->abort() : stream_->close();
    stream_ = nullptr;
    gone();
}

bool session::answer(const char* command, std::string_view subject, std::string_view reply) {
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
        // The clock of a turn is rounded down: never less than was asked for.
        sink_.reactor_.timers().set(pause_, sink_.reactor_.now_ms() + sink_.options_.delay_ms + 1);
        return true;
    }
    return false;
}

void session::on_command(const std::string& line) {
    std::string verb = line.substr(0, 4);
    std::transform(verb.begin(), verb.end(), verb.begin(), [](unsigned char c) {
        return static_cast<char>(std::toupper(c));
    });
    if (verb == "EHLO" || verb == "HELO") {
        on_ehlo(line);
    } else if (verb == "STAR" && sink_.options_.tls != nullptr && !secure_) {
        start_tls();
    } else if (verb == "MAIL") {
        on_mail(line);
    } else if (verb == "RCPT") {
        accepted_ += answer("rcpt", line, "250 2.1.5 Ok\r\n") ? 1U : 0U;
    } else if (verb == "DATA") {
        if (accepted_ == 0) {
            stream_->write("554 5.5.1 No valid recipients\r\n");
        } else if (answer("data", {}, "354 Go ahead\r\n")) {
            in_data_ = true;
            by_bdat_ = false;
            head_.clear();
            tail_ = "\r\n";
            bytes_ = 0;
        }
    } else if (verb == "BDAT") {
        on_bdat(line);
    } else if (verb == "QUIT") {
        stream_->write("221 2.0.0 Bye\r\n");
        leave(false);
    } else if (verb == "RSET" || verb == "NOOP") {
        accepted_ = verb == "RSET" ? 0 : accepted_;
        by_bdat_ = by_bdat_ && verb != "RSET";
        stream_->write("250 2.0.0 Ok\r\n");
    } else {
        stream_->write("502 5.5.2 Command not recognized\r\n");
    }
}

void session::on_ehlo(const std::string& line) {
    if (!std::exchange(greeted_, true)) {
        const std::string_view name =
            std::string_view(line).substr(std::min<std::size_t>(5, line.size()));
        sink_.note_name(name.substr(0, name.find_first_of("\r\n")));
    }
    std::string reply = "250-sink.test\r\n";
    for (const std::string& offer : sink_.options_.offers) {
        reply += "250-" + offer + "\r\n";
    }
    if (sink_.options_.tls != nullptr && !secure_) {
        reply += "250-STARTTLS\r\n";
    }
    answer("ehlo", {}, reply + "250 HELP\r\n");
}

void session::on_mail(const std::string& line) {
    accepted_ = 0;
    by_bdat_ = false;
    const std::uint32_t most = sink_.options_.messages_per_connection;
    if (most > 0 && messages_ >= most) {
        stream_->write("421 4.7.0 Enough for one connection\r\n");
        leave(false);
        return;
    }
    answer("mail", line, "250 2.1.0 Ok\r\n");
}

void session::start_tls() {
    stream_->write("220 2.0.0 Go ahead\r\n");
    secure_ = true;
    stream_->set_filter(sink_.options_.tls->make_filter(
        "", [&totals = sink_.totals_](const std::string&) { ++totals.handshakes; }));
}

// Its octets are taken in any case, or they would be read as commands.
void session::on_bdat(const std::string& line) {
    unsigned long long bytes = 0;
    char last[5] = "";
    if (std::sscanf(line.c_str() + 4, "%llu %4s", &bytes, last) < 1) {
        stream_->write("501 5.5.4 Syntax: BDAT SIZE [LAST]\r\n");
        leave(false);
        return;
    }
    if (!std::exchange(by_bdat_, true)) {
        head_.clear();
        bytes_ = 0;
    }
    chunk_rest_ = bytes;
    last_chunk_ = last[0] != '\0';
    in_chunk_ = true;
    if (bytes == 0) {
        byte_view nothing;
        take_chunk(nothing);
    }
}

void session::take_chunk(byte_view& bytes) {
    const byte_view taken = bytes.substr(0, std::min<std::uint64_t>(chunk_rest_, bytes.size()));
    keep(taken);
    bytes.remove_prefix(taken.size());
    chunk_rest_ -= taken.size();
    if (chunk_rest_ > 0) {
        return;
    }
    in_chunk_ = false;
    if (accepted_ == 0) {
        stream_->write("503 5.5.1 No valid recipients\r\n");
    } else if (!last_chunk_) {
        stream_->write("250 2.0.0 Ok: go on\r\n");
    } else {
        ++sink_.totals_.by_bdat;
        end_message();
    }
}

void session::keep(byte_view taken) {
    bytes_ += taken.size();
    const bool whole = !sink_.options_.maildir.empty();
    const std::size_t room =
        whole ? taken.size() : sink::head_bytes_max - std::min(head_.size(), sink::head_bytes_max);
    head_.append(taken.substr(0, room));
}

void session::take_data(byte_view& bytes) {
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
    end_message();
}

void session::end_message() {
    ++messages_;
    if (answer("dot", {}, "250 2.0.0 Ok: accepted\r\n")) {
        sink_.totals_.recipients += accepted_;
        sink_.count(head_, bytes_);
        if (!sink_.options_.maildir.empty() && by_bdat_) {
            sink_.store(head_);
        } else if (!sink_.options_.maildir.empty()) {
            head_.resize(head_.size() - 3); // The end mark's own line.
            sink_.store(unstuffed(head_));
        }
    }
    accepted_ = 0;
    by_bdat_ = false;
}

} // namespace ebbgate::sink
