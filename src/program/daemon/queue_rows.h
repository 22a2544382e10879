// Rows of the queue as JSON: its lanes, and the items in them.

#pragma once

#include "codec/json/writer.h"
#include "relay/queue_view.h"

#include <string_view>

namespace ebbgate::program {

// `by_age`: with how many are of which age.
void write_lane(json::writer& out, const relay::lane_standing& lane, bool by_age);

// How many are of which age, as a member.
void write_ages(json::writer& out, const relay::lane_standing& lane, std::string_view name);

void write_item(json::writer& out, const relay::listed_item& item);

} // namespace ebbgate::program
