#include "program/sink/sink.h"

#include "program/sink/session.h"

#include <fmt/format.h>

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <utility>

namespace ebbgate::sink {

namespace {

config::endpoint endpoint_of(const net::peer_name& shown) {
    const auto parsed = config::parse_ip_address(shown.address);
    return parsed ? config::endpoint{*parsed, shown.port} : config::endpoint{};
}

} // namespace

sink::sink(task::reactor& reactor, sink_options options)
    : reactor_(reactor), flusher_(reactor), options_(std::move(options)) {}

sink::~sink() {
    constexpr std::uint64_t settle_ms_max = 1000;
    for (const std::unique_ptr<net::listener>& one : listeners_) {
        one->stop();
    }
    sessions_.clear();
    reactor_.settle(settle_ms_max);
}

result<std::vector<std::uint16_t>> sink::start() {
    if (!options_.maildir.empty()) {
        std::error_code error;
        for (const char* folder : {"tmp", "new", "cur"}) {
            std::filesystem::create_directories(options_.maildir + "/" + folder, error);
        }
        if (error) {
            return fail(failure_kind::io, options_.maildir + ": " + error.message());
        }
    }
    std::vector<std::uint16_t> ports;
    for (const net::bind_address& address : options_.listen) {
        auto opened = net::listener::open(reactor_, address, *this);
        if (!opened) {
            return std::unexpected(std::move(opened.error()));
        }
        listeners_.push_back(std::move(*opened));
        listeners_.back()->start();
        ports.push_back(listeners_.back()->port());
    }
    return ports;
}

void sink::on_accepted(int fd) noexcept {
    const config::endpoint from = endpoint_of(net::peer_of(fd));
    const config::endpoint to = endpoint_of(net::local_of(fd));
    if (!to.address.is_loopback() && options_.only_loopback) {
        close(fd); // It listens everywhere, for loopback's many addresses.
        return;
    }
    ++totals_.connections;
    ++totals_.sources[from.address];
    ++totals_.destinations[to];
    totals_.open_most = std::max(totals_.open_most, ++open_count_);
    const std::uint64_t of_source = ++open_[from.address];
    std::uint64_t& most = totals_.open_most_by_source[from.address];
    most = std::max(most, of_source);
    const bool is_room =
        options_.connections_at_once == 0 || of_source <= options_.connections_at_once;
    totals_.turned_away += is_room ? 0U : 1U;
    auto made = std::make_unique<session>(*this, fd, from.address, is_room);
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

void sink::note_name(std::string_view name) {
    if (totals_.names.size() < names_max) {
        ++totals_.names[std::string(name.substr(0, 255))];
    }
}

void sink::note_end(const config::ip_address& source) {
    --open_count_;
    --open_[source];
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
