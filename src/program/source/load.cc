#include "program/source/load.h"

#include "crypto/base64.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <utility>

namespace ebbgate::source {

namespace {

constexpr std::uint64_t connect_timeout_ms = 15'000;
constexpr std::uint64_t again_ms = 100;

double now_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

} // namespace

// One SMTP session after another on one slot of the load.
class session final : public net::stream_observer {
public:
    session(load& load) : load_(load) {
        again_.owner = this;
        again_.on_expire = [](task::timer& timer) noexcept {
            static_cast<again_timer&>(timer).owner->connect();
        };
    }

    ~session() {
        load_.reactor_.timers().clear(again_);
        if (stream_ != nullptr) {
            stream_->abort();
        }
    }

    void connect() {
        if (load_.over_ || (!has_message_ && !load_.take(sequence_))) {
            if (!load_.over_ && load_.next_ < load_.options_.messages) {
                later(1);
            }
            return;
        }
        has_message_ = true;
        connecting_ = true;
        net::connector::start(
            load_.reactor_,
            load_.options_.target,
            {},
            connect_timeout_ms,
            [](void* self, int fd) noexcept { static_cast<session*>(self)->on_connected(fd); },
            this);
    }

    [[nodiscard]] bool is_busy() const { return connecting_ || stream_ != nullptr; }

    [[nodiscard]] bool is_connecting() const { return connecting_; }

    void nudge() {
        if (!is_busy() && !again_.is_set()) {
            connect();
        }
    }

    std::size_t on_input(byte_view bytes) noexcept override {
        input_.append(bytes);
        std::size_t begin = 0;
        for (;;) {
            const std::size_t end = input_.find('\n', begin);
            if (end == std::string::npos || stream_ == nullptr) {
                break;
            }
            const std::string line = input_.substr(begin, end - begin);
            begin = end + 1;
            if (line.size() >= 4 && line[3] == '-') {
                pipelining_ = pipelining_ || line.find("PIPELINING") == 4;
                continue;
            }
            pipelining_ = pipelining_ || line.find("PIPELINING") == 4;
            int code = 0;
            std::from_chars(line.data(), line.data() + std::min<std::size_t>(3, line.size()), code);
            on_reply(code, line);
        }
        input_.erase(0, begin);
        if (input_.size() > load::reply_bytes_max && stream_ != nullptr) {
            broken();
        }
        return bytes.size();
    }

    void on_closed(net::close_reason) noexcept override {
        stream_ = nullptr;
        if (step_ != step::quit) {
            ++load_.result_.network_errors;
        }
        later(step_ == step::quit ? 0 : again_ms);
    }

private:
    enum class step : std::uint8_t { banner, ehlo, starttls, auth, mail, rcpt, data, body, quit };

    struct again_timer : task::timer {
        session* owner = nullptr;
    };

    void later(std::uint64_t ms) {
        load_.reactor_.timers().set(again_, load_.reactor_.now_ms() + ms);
    }

    void on_connected(int fd) noexcept {
        connecting_ = false;
        if (fd < 0) {
            ++load_.result_.network_errors;
            later(again_ms);
            return;
        }
        ++load_.result_.connections;
        stream_ = new net::stream(load_.reactor_, load_.flusher_, fd, *this);
        input_.clear();
        sent_on_connection_ = 0;
        secure_ = false;
        pipelining_ = false;
        step_ = step::banner;
        if (load_.options_.tls == tls_use::implicit) {
            start_tls();
        }
        stream_->start_input();
    }

    void start_tls() {
        secure_ = true;
        stream_->set_filter(load_.tls_->make_filter("", [this](const std::string&) {
            // The client speaks first after STARTTLS; behind an implicit handshake the server does.
            if (step_ == step::starttls) {
                step_ = step::ehlo;
                say("EHLO source.test\r\n");
            }
        }));
        (void)tls::begin_handshake(*stream_->get_filter(), *stream_);
    }

    void say(byte_view text) {
        load_.result_.bytes += text.size();
        stream_->write(text);
    }

    void broken() {
        stream_->abort();
        stream_ = nullptr;
        later(again_ms);
    }

    void refuse(int code, const std::string& line) {
        load_.refused(code, line);
        broken();
    }

    void after_ehlo() {
        if (load_.options_.tls == tls_use::starttls && !secure_) {
            step_ = step::starttls;
            say("STARTTLS\r\n");
        } else if (!load_.auth_line_.empty()) {
            step_ = step::auth;
            say(load_.auth_line_);
        } else {
            begin_message();
        }
    }

    [[nodiscard]] std::string recipient_line(std::uint32_t index) const {
        const auto& options = load_.options_;
        return fmt::format("RCPT TO:<u{}.{}@d{}.{}>\r\n",
                           sequence_,
                           index,
                           (sequence_ + index) % options.domains,
                           options.recipient_domain);
    }

    void begin_message() {
        begun_ = now_seconds();
        recipient_ = 0;
        const std::string mail = fmt::format("MAIL FROM:<{}>\r\n", load_.options_.sender);
        if (!pipelining_ || !load_.options_.pipelining) {
            pending_ = 0;
            step_ = step::mail;
            say(mail);
            return;
        }
        std::string all = mail;
        for (std::uint32_t index = 0; index < load_.options_.recipients; ++index) {
            all += recipient_line(index);
        }
        all += "DATA\r\n";
        pending_ = load_.options_.recipients + 2;
        step_ = step::data;
        say(all);
    }

    void send_body() {
        step_ = step::body;
        std::string message = load_.head_of(sequence_);
        message.append(load_.body_of(sequence_));
        message += ".\r\n";
        say(message);
    }

    void next_message() {
        if (sent_on_connection_ < load_.options_.per_connection && load_.take(sequence_)) {
            has_message_ = true;
            begin_message();
            return;
        }
        step_ = step::quit;
        say("QUIT\r\n");
    }

    void acknowledged() {
        load_.result_.latency_ms.push_back(static_cast<float>((now_seconds() - begun_) * 1e3));
        ++load_.result_.acknowledged;
        if (std::FILE* ids = load_.options_.acknowledged_ids; ids != nullptr) {
            fmt::print(ids, "<eb-{}-{}@source.test>\n", load_.options_.run, sequence_);
            std::fflush(ids);
        }
        ++sent_on_connection_;
        has_message_ = false;
        next_message();
    }

    void on_reply(int code, const std::string& line) {
        const int expected = step_ == step::banner || step_ == step::starttls ? 220
                             : step_ == step::auth                            ? 235
                             : step_ == step::quit                            ? 221
                             : step_ == step::data && pending_ <= 1           ? 354
                                                                              : 250;
        if (code != expected) {
            refuse(code, line);
            return;
        }
        switch (step_) {
        case step::banner:
            step_ = step::ehlo;
            say("EHLO source.test\r\n");
            break;
        case step::ehlo:
            after_ehlo();
            break;
        case step::starttls:
            start_tls();
            break;
        case step::auth:
            begin_message();
            break;
        case step::mail:
        case step::rcpt:
            if (recipient_ < load_.options_.recipients) {
                step_ = step::rcpt;
                say(recipient_line(recipient_++));
            } else {
                step_ = step::data;
                say("DATA\r\n");
            }
            break;
        case step::data:
            if (pending_ <= 1) {
                send_body();
            } else {
                --pending_;
            }
            break;
        case step::body:
            acknowledged();
            break;
        case step::quit:
            stream_->close();
            stream_ = nullptr;
            later(0);
            break;
        }
    }

    load& load_;
    net::stream* stream_ = nullptr;
    again_timer again_;
    std::string input_;
    std::uint64_t sequence_ = 0;
    double begun_ = 0;
    std::uint32_t sent_on_connection_ = 0;
    std::uint32_t recipient_ = 0;
    std::uint32_t pending_ = 0;
    step step_ = step::banner;
    bool has_message_ = false;
    bool connecting_ = false;
    bool secure_ = false;
    bool pipelining_ = false;
};

load::load(task::reactor& reactor, load_options options, std::shared_ptr<tls::context> tls)
    : reactor_(reactor), flusher_(reactor), options_(std::move(options)), tls_(std::move(tls)) {
    if (!options_.user.empty()) {
        std::string plain(1, '\0');
        plain += options_.user;
        plain += '\0';
        plain += options_.password;
        auth_line_ = "AUTH PLAIN " + crypto::to_base64(plain) + "\r\n";
    }
    for (std::size_t line = 0; filler_.size() < options_.size_max; ++line) {
        filler_ += fmt::format(
            "Line {:06} of a plain newsletter body, filler text to seventy-six columns..\r\n",
            line);
    }
}

load::~load() {
    constexpr std::uint64_t settle_ms_max = 1000;
    over_ = true;
    const std::uint64_t until_ms = reactor_.now_ms() + settle_ms_max;
    for (auto& one : sessions_) {
        while (one->is_connecting() && reactor_.now_ms() < until_ms) {
            reactor_.run_once(1);
        }
        if (one->is_connecting()) {
            (void)one.release(); // The connector still points to it; the process ends anyway.
        }
    }
    sessions_.clear();
    reactor_.settle(settle_ms_max);
}

bool load::take(std::uint64_t& sequence) {
    if (over_) {
        return false;
    }
    if (!returned_.empty()) {
        sequence = returned_.back();
        returned_.pop_back();
        return true;
    }
    if (next_ >= options_.messages) {
        return false;
    }
    if (options_.rate_per_second > 0) {
        const double elapsed = static_cast<double>(reactor_.now_ms() - started_ms_) / 1e3;
        if (static_cast<double>(next_) > elapsed * options_.rate_per_second) {
            return false;
        }
    }
    sequence = next_++;
    return true;
}

void load::refused(int code, const std::string& line) {
    ++result_.refusals[code];
    result_.last_refusal = line;
}

std::string load::head_of(std::uint64_t sequence) const {
    return fmt::format("Date: Tue, 24 Nov 2026 02:00:00 +0000\r\nFrom: Sender <{}>\r\n"
                       "To: Reader <u{}.0@d{}.{}>\r\nSubject: Offer number {} for you\r\n"
                       "Message-ID: <eb-{}-{}@source.test>\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: text/plain; charset=us-ascii\r\n{}",
                       options_.sender,
                       sequence,
                       sequence % options_.domains,
                       options_.recipient_domain,
                       sequence,
                       options_.run,
                       sequence,
                       options_.bodies.empty() ? "\r\n" : "");
}

byte_view load::body_of(std::uint64_t sequence) const {
    if (!options_.bodies.empty()) {
        return options_.bodies[sequence % options_.bodies.size()];
    }
    // Whole lines, spread evenly between the two sizes by the message's number.
    const std::uint64_t span = options_.size_max - options_.size_min;
    const std::uint64_t bytes = options_.size_min + (span == 0 ? 0 : sequence * 7919 % (span + 1));
    constexpr std::uint64_t line_bytes = 77;
    const std::uint64_t lines = std::max<std::uint64_t>(1, bytes / line_bytes);
    const std::size_t end =
        filler_.find("\r\n", std::min<std::size_t>(filler_.size() - 2, lines * line_bytes - 2));
    return byte_view(filler_).substr(0, end + 2);
}

load_result load::run(bool show_progress) {
    started_ms_ = reactor_.now_ms();
    const double begun = now_seconds();
    for (std::uint32_t index = 0; index < options_.sessions; ++index) {
        sessions_.push_back(std::make_unique<session>(*this));
        sessions_.back()->connect();
    }
    double shown = begun;
    double finished = begun;
    std::uint64_t counted = 0;
    for (;;) {
        reactor_.run_once(options_.rate_per_second > 0 ? 1 : 20);
        const double now = now_seconds();
        if (result_.acknowledged != counted) {
            counted = result_.acknowledged;
            finished = now;
        }
        if (show_progress && now - shown >= 1) {
            shown = now;
            std::fprintf(stderr,
                         "\r%llu of %llu acknowledged, %.0f/s ",
                         static_cast<unsigned long long>(result_.acknowledged),
                         static_cast<unsigned long long>(options_.messages),
                         static_cast<double>(result_.acknowledged) / (now - begun));
        }
        const bool busy = std::any_of(
            sessions_.begin(), sessions_.end(), [](const auto& one) { return one->is_busy(); });
        if (result_.acknowledged >= options_.messages && !busy) {
            break;
        }
        if (now - begun > options_.duration_seconds) {
            over_ = true;
            break;
        }
        if (!returned_.empty()) {
            std::for_each(sessions_.begin(), sessions_.end(), [](auto& one) { one->nudge(); });
        }
    }
    if (show_progress) {
        std::fprintf(stderr, "\n");
    }
    result_.seconds = std::max(1e-6, finished - begun);
    return std::move(result_);
}

} // namespace ebbgate::source
