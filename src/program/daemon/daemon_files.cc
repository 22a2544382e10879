// Attachments that became links: the thread that serves them, and what is said of it.

#include "program/daemon/daemon.h"
#include "relay/identities.h"
#include "service/filelink/commands.h"
#include "service/overlay/commands.h"
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
    filelink::audit kept;
    kept.note = [this](const admin::request& asked, const filelink::change_note& done) {
        overlay::change by = overlay::by(asked);
        overlay::audit_row row;
        row.who = std::move(by.who);
        row.what = by.command;
        row.tenant = done.tenant;
        row.subject = done.subject;
        row.before = done.before;
        row.after = done.after;
        row.result = done.result;
        if (const auto noted = overlay_->note(row); !noted) {
            note("audit: " + noted.error().detail);
        }
    };
    kept.may_change = [this](const admin::request& asked) {
        const auto may = overlay_->may_change(overlay::by(asked).who);
        return may && *may;
    };
    filelink::add_commands(*commands_, links_->store(), std::move(kept));
}

void daemon::add_suppression_commands() {
    suppression::hooks given;
    given.is_tenant = [this](std::string_view tenant) {
        return policy_->find_tenant(tenant) != nullptr;
    };
    given.note = [this](const admin::request& asked, const suppression::change_note& done) {
        overlay::change by = overlay::by(asked);
        overlay::audit_row row;
        row.who = std::move(by.who);
        row.what = by.command;
        row.tenant = done.tenant;
        row.subject = done.subject;
        row.after = done.after;
        row.result = done.result;
        if (const auto noted = overlay_->note(row); !noted) {
            note("audit: " + noted.error().detail);
        }
    };
    given.may_change = [this](const admin::request& asked) {
        const auto may = overlay_->may_change(overlay::by(asked).who);
        return may && *may;
    };
    suppression::add_commands(*commands_, *suppression_, std::move(given));
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
