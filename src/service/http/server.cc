#include "service/http/server.h"

#include "service/http/connection.h"

#include <sys/socket.h>

#include <string>
#include <unistd.h>
#include <utility>

namespace ebbgate::http {

responder::responder(task::reactor& reactor,
                     std::shared_ptr<connection_table> connections,
                     std::uint64_t connection,
                     std::uint64_t exchange)
    : reactor_(&reactor), connections_(std::move(connections)), connection_(connection),
      exchange_(exchange) {}

void responder::send(response answer) const {
    reactor_->post(
        [table = connections_, id = connection_, exchange = exchange_, answer = std::move(answer)] {
            const auto found = table->all.find(id);
            if (found != table->all.end()) {
                found->second->answer(exchange, answer);
            }
        });
}

server::server(task::reactor& reactor,
               net::flusher& flusher,
               const server_settings& settings,
               handler& on_request)
    : reactor_(reactor), flusher_(flusher), settings_(settings), handler_(on_request),
      table_(std::make_shared<connection_table>()) {}

server::~server() {
    table_->all.clear(); // A responder may keep the table itself.
}

result<std::unique_ptr<server>> server::open(task::reactor& reactor,
                                             net::flusher& flusher,
                                             const net::bind_address& address,
                                             const server_settings& settings,
                                             handler& on_request) {
    std::unique_ptr<server> made(new server(reactor, flusher, settings, on_request));
    auto opened = net::listener::open(reactor, address, *made);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    made->listener_ = std::move(*opened);
    return made;
}

void server::start() {
    listener_->start();
}

void server::stop() {
    listener_->stop();
    for (const auto& [id, one] : table_->all) {
        one->abort(); // It leaves the table later.
    }
}

void server::cut(const std::function<bool(const std::string&)>& which) {
    for (const auto& [id, one] : table_->all) {
        if (which(one->client())) {
            one->abort();
        }
    }
}

void server::on_accepted(int fd) noexcept {
    const std::size_t open = table_->all.size();
    const std::size_t refused_max = identities_ == nullptr ? refusals_max : 0;
    std::string client = net::peer_of(fd).address;
    if (open >= settings_.connections_max + refused_max || !handler_.on_connected(client)) {
        const linger reset{1, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        return;
    }
    const std::uint64_t id = ++next_id_;
    connection& made =
        *table_->all.emplace(id, std::make_unique<connection>(*this, id, fd, std::move(client)))
             .first->second;
    made.start();
    if (open >= settings_.connections_max) {
        made.refuse(503);
    }
}

} // namespace ebbgate::http
