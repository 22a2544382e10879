#include "stage/bans/ban_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ebbgate::bans {

namespace {

constexpr auto later = [](const auto& a, const auto& b) { return a.until_us > b.until_us; };

// Stale endings are swept when they outnumber the live ones.
constexpr std::size_t endings_spare = 1024;

constexpr std::uint8_t v4_bits = 96;

std::int64_t us_of(std::chrono::seconds duration) {
    return duration.count() * 1'000'000;
}

} // namespace

ban_table::ban_table(ban_observer& observer) : ban_table(observer, capacity()) {}

ban_table::ban_table(ban_observer& observer, capacity capacity)
    : observer_(observer), capacity_(capacity), strikers_(capacity.strikers),
      history_(capacity.history) {}

void ban_table::configure(bans::settings settings, std::int64_t now_us) {
    const std::uint32_t max_retry_before = settings_.max_retry;
    settings_ = bounded(std::move(settings));
    if (settings_.max_retry != max_retry_before) {
        strikers_.clear(); // Their times are laid out for the old number.
        times_.clear();
        times_.shrink_to_fit();
    }
    expire(now_us);
    apply_white_list();
    shorten(now_us);
}

void ban_table::begin_restore(std::size_t rows, std::vector<config::ip_network> ignore) {
    run_time_ignore_ = std::move(ignore);
    run_time_ignore_.resize(std::min(run_time_ignore_.size(), ignore_max));
    apply_white_list();
    const std::size_t kept = std::min<std::size_t>(rows, capacity_.bans);
    bans_.reserve(kept);
    endings_.reserve(kept);
}

void ban_table::restore(const ban& row, std::int64_t now_us) {
    ban made = row;
    made.until_us = shortened_end(row);
    if (made.until_us <= now_us) {
        ended_.push_back(made);
    } else if (is_white(made)) {
        observer_.on_forgotten(made.network);
    } else {
        (void)insert(made, true);
    }
}

void ban_table::end_restore(std::int64_t now_us) {
    std::make_heap(endings_.begin(), endings_.end(), later);
    // The history is kept in the order of the ends.
    std::sort(ended_.begin(), ended_.end(), [](const ban& a, const ban& b) {
        return std::pair(a.until_us, a.network) < std::pair(b.until_us, b.network);
    });
    for (const ban& ended : ended_) {
        remember(ended);
    }
    ended_ = {};
    forget_old_history(now_us);
}

verdict
ban_table::strike(const config::ip_address& address, strike_cause cause, std::int64_t now_us) {
    expire(now_us);
    if (white_.holds(address)) {
        return {.kind = verdict_kind::ignored};
    }
    if (const ban* running = find(address)) {
        return {.kind = verdict_kind::already_banned, .ban = *running};
    }
    const config::ip_network key = counted_network(address);
    verdict told{.kind = verdict_kind::counted, .strikes = count_strike(key, now_us)};
    if (told.strikes < settings_.max_retry) {
        return told;
    }
    if (const auto at = strikers_.find(key); at != strikers_.none) {
        strikers_.erase(at);
    }
    const std::uint32_t count = next_count(key, now_us);
    const std::int64_t until_us = end_of(now_us, duration_of(settings_, count));
    const ban made{key, address, now_us, until_us, count, cause};
    if (insert(made, false)) {
        told.kind = verdict_kind::banned;
        told.ban = made;
    }
    return told;
}

std::uint32_t ban_table::count_strike(const config::ip_network& key, std::int64_t now_us) {
    if (settings_.max_retry == 1) {
        return 1; // Nothing to keep.
    }
    const std::size_t kept_max = settings_.max_retry - 1;
    std::optional<config::ip_network> displaced;
    const auto at = strikers_.touch(key, displaced);
    displaced_strikers_ += displaced ? 1 : 0;
    times_.resize(std::max(times_.size(), (std::size_t{at} + 1) * kept_max));
    std::int64_t* const times = times_.data() + std::size_t{at} * kept_max;
    window& window = strikers_.value(at);
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < window.strikes; ++i) {
        const std::int64_t time_us = std::min(times[i], now_us);
        if (now_us - time_us <= us_of(settings_.find_time)) {
            times[kept++] = time_us;
        }
    }
    window.strikes = kept;
    if (kept < kept_max) {
        times[kept] = now_us;
        window.strikes = kept + 1;
    }
    return kept + 1;
}

strike_count ban_table::strikes_of(const config::ip_address& address, std::int64_t now_us) const {
    strike_count counted;
    const auto at = strikers_.find(counted_network(address));
    if (at == strikers_.none) {
        return counted;
    }
    const std::size_t kept_max = settings_.max_retry - 1;
    for (std::uint32_t i = 0; i < strikers_.value(at).strikes; ++i) {
        const std::int64_t time_us = times_[std::size_t{at} * kept_max + i];
        if (now_us - time_us > us_of(settings_.find_time)) {
            continue;
        }
        if (counted.strikes++ == 0) {
            counted.frees_us = time_us + us_of(settings_.find_time);
        }
    }
    return counted;
}

void ban_table::forget_old_strikers(std::int64_t now_us) {
    const std::size_t kept_max = settings_.max_retry - 1;
    while (strikers_.size() > 0) {
        const auto at = strikers_.oldest();
        const std::uint32_t strikes = strikers_.value(at).strikes;
        const std::int64_t last_us = times_[std::size_t{at} * kept_max + strikes - 1];
        if (last_us >= now_us - us_of(settings_.find_time)) {
            return;
        }
        strikers_.erase(at);
    }
}

void ban_table::forget_old_history(std::int64_t now_us) {
    while (history_.size() > 0) {
        const auto at = history_.oldest();
        if (history_.value(at).until_us >= now_us - us_of(settings_.remember_time)) {
            return;
        }
        const config::ip_network network = history_.key(at);
        history_.erase(at);
        observer_.on_forgotten(network);
    }
}

void ban_table::expire(std::int64_t now_us) {
    while (!endings_.empty() && endings_.front().until_us <= now_us) {
        std::pop_heap(endings_.begin(), endings_.end(), later);
        const ending due = endings_.back();
        endings_.pop_back();
        const auto which = bans_.find(due.network);
        if (which != bans_.end() && which->second.until_us == due.until_us) {
            end(which, ban_end::expired);
        }
    }
    forget_old_strikers(now_us);
    forget_old_history(now_us);
}

// Takes the network out of the history: from now on the ban itself knows its count.
std::uint32_t ban_table::next_count(const config::ip_network& network, std::int64_t now_us) {
    const auto at = history_.find(network);
    if (at == history_.none) {
        return 1;
    }
    const ban before = history_.value(at);
    history_.erase(at);
    const bool remembered = before.until_us >= now_us - us_of(settings_.remember_time);
    return remembered && before.count < UINT32_MAX ? before.count + 1 : 1;
}

bool ban_table::insert(const ban& made, bool restored) {
    if (bans_.size() >= capacity_.bans && (restored || !displace_one(made.since_us))) {
        observer_.on_forgotten(made.network);
        return false;
    }
    const auto [placed, fresh] = bans_.emplace(made.network, made);
    if (!fresh) {
        return false; // Stored twice under two spellings: the first counts.
    }
    ++bans_by_prefix_[made.network.prefix_bits];
    if (!restored) {
        push_ending(made);
    } else if (made.until_us != never_ends) {
        endings_.push_back({made.until_us, made.network}); // end_restore() makes the heap at once.
    }
    observer_.on_banned(placed->second, restored);
    return true;
}

bool ban_table::displace_one(std::int64_t now_us) {
    while (!endings_.empty()) {
        std::pop_heap(endings_.begin(), endings_.end(), later);
        const ending soonest = endings_.back();
        endings_.pop_back();
        const auto which = bans_.find(soonest.network);
        if (which != bans_.end() && which->second.until_us == soonest.until_us) {
            ++displaced_bans_;
            which->second.until_us = now_us;
            end(which, ban_end::displaced);
            return true;
        }
    }
    return false;
}

void ban_table::push_ending(const ban& ban) {
    if (endings_.size() >= 2 * bans_.size() + endings_spare) {
        rebuild_endings();
        return;
    }
    if (ban.until_us != never_ends) {
        endings_.push_back({ban.until_us, ban.network});
        std::push_heap(endings_.begin(), endings_.end(), later);
    }
}

void ban_table::rebuild_endings() {
    endings_.clear();
    endings_.reserve(bans_.size());
    for (const auto& [network, running] : bans_) {
        if (running.until_us != never_ends) {
            endings_.push_back({running.until_us, network});
        }
    }
    std::make_heap(endings_.begin(), endings_.end(), later);
}

void ban_table::end(ban_map::iterator which, ban_end why) {
    const ban ended = which->second;
    --bans_by_prefix_[ended.network.prefix_bits];
    bans_.erase(which);
    observer_.on_unbanned(ended, why);
    if (why != ban_end::lifted) {
        remember(ended);
    }
}

void ban_table::remember(const ban& ended) {
    std::optional<config::ip_network> displaced;
    history_.value(history_.touch(ended.network, displaced)) = ended;
    if (displaced) {
        observer_.on_forgotten(*displaced);
    }
}

std::int64_t ban_table::shortened_end(const ban& ban) const {
    if (ban.cause == strike_cause::manual) {
        return ban.until_us;
    }
    return std::min(ban.until_us, end_of(ban.since_us, duration_of(settings_, ban.count)));
}

void ban_table::shorten(std::int64_t now_us) {
    for (auto& [network, running] : bans_) {
        const std::int64_t until_us = shortened_end(running);
        if (until_us != running.until_us) {
            running.until_us = until_us;
            push_ending(running);
            observer_.on_changed(running);
        }
    }
    expire(now_us);
}

ban_outcome ban_table::ban_by_hand(const config::ip_network& network,
                                   const config::ip_address& address,
                                   std::optional<std::chrono::seconds> duration,
                                   std::int64_t now_us) {
    expire(now_us);
    if (white_.holds(network)) {
        return ban_outcome::white_listed;
    }
    const config::ip_network every_v4{config::ip_address_from_v4({0, 0, 0, 0}), v4_bits};
    if (network.prefix_bits <= v4_bits && holds(network, every_v4)) {
        return ban_outcome::holds_all_v4;
    }
    ban made{network, address, now_us, 0, 1, strike_cause::manual};
    if (const auto which = bans_.find(network); which != bans_.end()) {
        ban& running = which->second;
        made.count = running.count;
        made.until_us = duration ? end_of(now_us, *duration)
                                 : std::max(running.until_us,
                                            end_of(now_us, duration_of(settings_, made.count)));
        running = made;
        push_ending(running);
        observer_.on_changed(running);
        return ban_outcome::changed;
    }
    made.count = next_count(network, now_us);
    made.until_us = end_of(now_us, duration.value_or(duration_of(settings_, made.count)));
    return insert(made, false) ? ban_outcome::banned : ban_outcome::full;
}

template <typename predicate>
std::size_t ban_table::lift_where(predicate&& lifts) {
    std::vector<config::ip_network> lifted;
    for (const auto& [network, running] : bans_) {
        if (lifts(running)) {
            lifted.push_back(network);
        }
    }
    for (const config::ip_network& network : lifted) {
        end(bans_.find(network), ban_end::lifted);
    }
    return lifted.size();
}

std::size_t ban_table::unban(const config::ip_network& network) {
    forgive(network);
    if (network.prefix_bits == 128) {
        forgive(counted_network(network.address));
    }
    std::size_t lifted = 0;
    bool smaller_ones = false;
    for (std::size_t bits = 0; bits < bans_by_prefix_.size(); ++bits) {
        const auto prefix_bits = static_cast<std::uint8_t>(bits);
        if (bans_by_prefix_[bits] == 0) {
            continue;
        }
        if (prefix_bits > network.prefix_bits) {
            smaller_ones = true;
            break;
        }
        const auto which = bans_.find({config::masked(network.address, prefix_bits), prefix_bits});
        if (which != bans_.end()) {
            end(which, ban_end::lifted);
            ++lifted;
        }
    }
    if (smaller_ones) {
        lifted +=
            lift_where([&network](const ban& running) { return holds(network, running.network); });
    }
    return lifted;
}

std::size_t ban_table::unban_all() {
    strikers_.clear();
    while (history_.size() > 0) {
        forgive(history_.key(history_.oldest()));
    }
    return lift_where([](const ban&) { return true; });
}

// Also what it did before is forgotten.
void ban_table::forgive(const config::ip_network& network) {
    if (const auto at = strikers_.find(network); at != strikers_.none) {
        strikers_.erase(at);
    }
    if (const auto at = history_.find(network); at != history_.none) {
        const config::ip_network forgotten = network; // It may live in the entry.
        history_.erase(at);
        observer_.on_forgotten(forgotten);
    }
}

bool ban_table::add_ignore(const config::ip_network& network) {
    if (run_time_ignore_.size() >= ignore_max ||
        std::find(run_time_ignore_.begin(), run_time_ignore_.end(), network) !=
            run_time_ignore_.end()) {
        return false;
    }
    run_time_ignore_.push_back(network);
    apply_white_list();
    return true;
}

bool ban_table::remove_ignore(const config::ip_network& network) {
    if (std::erase(run_time_ignore_, network) == 0) {
        return false;
    }
    apply_white_list();
    return true;
}

void ban_table::apply_white_list() {
    std::vector<config::ip_network> all = settings_.ignore;
    all.insert(all.end(), settings_.never.begin(), settings_.never.end());
    all.insert(all.end(), run_time_ignore_.begin(), run_time_ignore_.end());
    const std::vector<config::ip_network> before = white_.members();
    white_ = network_set(std::move(all));
    lift_where([this](const ban& running) { return is_white(running); });
    std::vector<config::ip_network> added;
    std::vector<config::ip_network> removed;
    const std::vector<config::ip_network>& after = white_.members();
    std::set_difference(
        after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(added));
    std::set_difference(
        before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(removed));
    if (!added.empty() || !removed.empty()) {
        observer_.on_white_list(added, removed);
    }
}

// An IPv6 /64 is free when the address that struck is on the list; when another one of it is, only
// that one is let through.
bool ban_table::is_white(const ban& ban) const {
    return white_.holds(ban.network) ||
           (ban.cause != strike_cause::manual && white_.holds(ban.address));
}

const ban* ban_table::find(const config::ip_address& address) const {
    for (std::size_t bits = bans_by_prefix_.size(); bits-- > 0;) {
        if (bans_by_prefix_[bits] == 0) {
            continue;
        }
        const auto prefix_bits = static_cast<std::uint8_t>(bits);
        const auto found = bans_.find({config::masked(address, prefix_bits), prefix_bits});
        if (found != bans_.end()) {
            return white_.holds(address) ? nullptr : &found->second;
        }
    }
    return nullptr;
}

std::vector<ban> ban_table::list(std::size_t max) const {
    std::vector<const ban*> running;
    running.reserve(bans_.size());
    for (const auto& [network, each] : bans_) {
        running.push_back(&each);
    }
    const auto sooner = [](const ban* a, const ban* b) {
        return std::pair(a->until_us, a->network) < std::pair(b->until_us, b->network);
    };
    const std::size_t wanted = std::min(max, running.size());
    std::partial_sort(running.begin(),
                      running.begin() + static_cast<std::ptrdiff_t>(wanted),
                      running.end(),
                      sooner);
    std::vector<ban> listed;
    listed.reserve(wanted);
    for (std::size_t i = 0; i < wanted; ++i) {
        listed.push_back(*running[i]);
    }
    return listed;
}

} // namespace ebbgate::bans
