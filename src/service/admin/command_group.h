// Commands that are the member functions of one object.
//
// Owner   The dispatcher: the object lives as long as its commands.

#pragma once

#include "service/admin/command.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebbgate::admin {

template <typename handlers>
class command_group {
public:
    using handler = std::string (handlers::*)(const request&);

    // `to` outlives the group; `who` may give its commands, where add() does not say otherwise.
    command_group(dispatcher& to, permission who, std::shared_ptr<handlers> all)
        : to_(to), who_(who), all_(std::move(all)) {}

    void add(std::string_view name, handler run, std::vector<argument> arguments) {
        add(name, run, std::move(arguments), who_);
    }

    void add(std::string_view name, handler run, std::vector<argument> arguments, permission who) {
        to_.add({name, std::move(arguments), who, [all = all_, run](const request& asked) {
                     return ((*all).*run)(asked);
                 }});
    }

private:
    dispatcher& to_;
    permission who_;
    std::shared_ptr<handlers> all_;
};

} // namespace ebbgate::admin
