#include "stage/bans/ban_set.h"

#include <utility>

namespace ebbgate::bans {

std::size_t ban_set::stripe_of(const config::ip_network& network) {
    // The upper bits: the lower ones choose the bucket within the stripe.
    return (network_hash()(network) >> 48) % stripe_count;
}

void ban_set::reserve(std::size_t networks) {
    // Stripes are not filled evenly.
    const std::size_t each = networks / stripe_count + networks / stripe_count / 4 + 1;
    for (stripe& stripe : stripes_) {
        const std::lock_guard hold(stripe.lock);
        stripe.networks.reserve(each);
    }
}

void ban_set::add(const config::ip_network& network) {
    stripe& stripe = stripes_[stripe_of(network)];
    const std::lock_guard hold(stripe.lock);
    if (stripe.networks.insert(network).second) {
        ++by_prefix_[network.prefix_bits];
        ++count_;
    }
}

void ban_set::remove(const config::ip_network& network) {
    stripe& stripe = stripes_[stripe_of(network)];
    const std::lock_guard hold(stripe.lock);
    if (stripe.networks.erase(network) > 0) {
        --by_prefix_[network.prefix_bits];
        --count_;
    }
}

void ban_set::set_white_list(network_set white) {
    auto next = std::make_shared<const network_set>(std::move(white));
    const std::lock_guard hold(white_lock_);
    white_.swap(next); // The old one is freed outside of the lock, by `next`.
}

bool ban_set::is_banned(const config::ip_address& address) const {
    if (count_.load(std::memory_order_relaxed) == 0) {
        return false;
    }
    for (std::size_t bits = by_prefix_.size(); bits-- > 0;) {
        if (by_prefix_[bits].load(std::memory_order_relaxed) == 0) {
            continue;
        }
        const auto prefix_bits = static_cast<std::uint8_t>(bits);
        const config::ip_network network{config::masked(address, prefix_bits), prefix_bits};
        const stripe& stripe = stripes_[stripe_of(network)];
        bool found = false;
        {
            const std::lock_guard hold(stripe.lock);
            found = stripe.networks.contains(network);
        }
        if (found) {
            std::shared_ptr<const network_set> white;
            {
                const std::lock_guard hold(white_lock_);
                white = white_;
            }
            return white == nullptr || !white->holds(address);
        }
    }
    return false;
}

} // namespace ebbgate::bans
