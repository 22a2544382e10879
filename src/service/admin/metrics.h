// What /metrics shows: the facts of `ebbgatectl status` for Prometheus.
//
// Output  The text exposition format 0.0.4; each name stands in docs/control.md.
// Owner   Any thread.
// Specs   prometheus.io/docs/instrumenting/exposition_formats.

#pragma once

#include "service/admin/status_report.h"

#include <string>
#include <vector>

namespace ebbgate::admin {

[[nodiscard]] std::string metrics_text(const daemon_facts& facts,
                                       const std::vector<relay::shard_status>& shards);

} // namespace ebbgate::admin
