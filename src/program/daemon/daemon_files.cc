// Attachments that became links: the thread that serves them, and what is said of it.

#include "program/daemon/daemon.h"
#include "relay/identities.h"
#include "service/filelink/commands.h"
#include "service/suppression/commands.h"
#include "stage/outcome/event.h"

#include <array>
#include <chrono>
#include <utility>

namespace ebbgate::program {

result<void> daemon::open_files() {
    if (!files_thread::is_wanted(server_)) {
        return {};
    }
    auto identities = relay::load_identities(server_, *policy_);
    if (!identities) {
        return fail(failure_kind::bad_input, config::to_text(identities.error()));
    }
    auto started = files_thread::start(
        {.listeners = server_.listeners,
         .guard = *bans_,
         .store = links_->store(),
         .tls = std::move(*identities),
         .on_download = [this](const filelink::download& made) { log_download(made); }},
        ports_);
    if (!started) {
        return std::unexpected(std::move(started.error()));
    }
    files_ = std::move(*started);
    return {};
}

void daemon::add_link_commands() {
    filelink::add_commands(*commands_, links_->store(), audit_);
}

void daemon::add_suppression_commands() {
    suppression::add_commands(*commands_, *suppression_, audit_, [this](std::string_view tenant) {
        return policy_->find_tenant(tenant) != nullptr;
    });
}

// On the thread that serves.
void daemon::log_download(const filelink::download& made) {
    const std::array<std::pair<std::string_view, std::string_view>, 4> meta = {{
        {"action", "download"},
        {"tenant", made.tenant},
        {"token", made.token},
        {"part", made.is_part ? "yes" : "no"},
    }};
    outcome::event event;
    event.type = outcome::event_type::filelink;
    event.size = made.bytes;
    event.peer_address = outcome::peer{{}, made.client};
    event.event_unix_us = std::chrono::duration_cast<std::chrono::microseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
    event.created_unix_us = event.event_unix_us;
    event.meta = meta;
    std::string line;
    outcome::event_writer().append(line, event);
    events_->append(std::move(line));
}

std::optional<admin::file_facts> daemon::gather_files() const {
    if (files_ == nullptr) {
        return std::nullopt;
    }
    const filelink::counters& counted = files_->counters();
    admin::file_facts facts;
    facts.requests = counted.requests;
    facts.downloads = counted.downloads;
    facts.sent_bytes = counted.sent_bytes;
    facts.not_found = counted.not_found;
    facts.limited = counted.limited;
    facts.challenges = counted.challenges;
    for (std::size_t index = 0; index < facts.by_class.size(); ++index) {
        facts.by_class[index] = counted.by_class[index];
    }
    return facts;
}

} // namespace ebbgate::program
