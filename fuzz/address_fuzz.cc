// Addresses as configuration files write them: networks, endpoints, domains, sender patterns. The
// law for each: what is accepted has one form, which is accepted again and stays as it is.

#include "config/address.h"
#include "config/domain.h"
#include "stage/policy/senders.h"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

namespace config = ebbgate::config;
namespace policy = ebbgate::policy;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check_networks(const std::string& text) {
    if (const auto network = config::parse_ip_network(text)) {
        require(config::parse_ip_network(config::to_text(*network)) == network);
        require(config::masked(network->address, network->prefix_bits) == network->address);
    }
    if (const auto endpoint = config::parse_endpoint(text)) {
        require(config::parse_endpoint(config::to_text(*endpoint)) == endpoint);
    }
    (void)config::parse_host_and_port(text);
}

void check_domain(const std::string& text) {
    if (const auto domain = config::to_a_labels(text)) {
        require(config::is_host_name(*domain));
        require(config::to_a_labels(*domain) == domain);
        require(config::lower_ascii(*domain) == *domain);
    }
}

void check_sender(const std::string& text) {
    policy::sender_text pattern;
    policy::sender_text address;
    const bool good_address = address.set_address(text);
    if (!pattern.set_pattern(text).empty()) {
        return;
    }
    const std::string kept(pattern.text());
    policy::sender_text again;
    require(again.set_pattern(kept).empty() && again.text() == kept);
    require(again.domain() == pattern.domain() && config::is_host_name(pattern.domain()));
    policy::sender_table table(text.size());
    require(table.add(1, kept, 0) && !table.add(1, kept, 0));
    require(table.find(1, kept) == 0 && table.find(2, kept) == policy::sender_table::none);
    if (!kept.starts_with('@')) {
        // A pattern that is an address authorises itself, and only for its owner.
        require(good_address && table.match(1, address) == 0);
        require(table.match(2, address) == policy::sender_table::none);
    }
    require(table.remove(1, kept) && table.find(1, kept) == policy::sender_table::none);
    require(table.add(1, kept, 0));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    check_networks(text);
    check_domain(text);
    check_sender(text);
    return 0;
}
