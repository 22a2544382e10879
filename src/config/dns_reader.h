// Reads "dns" of ebbgate.json.
//
// Output  `into`, where a key is there and right.
// Fails   As the reader's faults.

#pragma once

#include "codec/json/document.h"
#include "config/dns_settings.h"
#include "config/reader.h"

#include <string>

namespace ebbgate::config {

void read_dns(reader& reader, const json::value& at, const std::string& folder, dns_settings& into);

} // namespace ebbgate::config
