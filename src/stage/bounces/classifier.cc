#include "stage/bounces/classifier.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"
#include "stage/bounces/fallback.h"
#include "stage/bounces/pattern_options.h"

#include <algorithm>
#include <re2/re2.h>
#include <re2/set.h>

namespace ebbgate::bounces {

struct classifier::compiled {
    RE2::Set set{pattern_options(), RE2::UNANCHORED};
    std::vector<std::uint32_t> rules; // Of each pattern.
};

namespace {

std::string subject_of(int code, const smtp::enhanced_status& status, std::string_view text) {
    std::string out;
    out.reserve(std::min(text.size(), text_bytes_max) + 16);
    if (code != 0) {
        out += std::to_string(code) + ' ';
    }
    if (status.present()) {
        out += smtp::to_text(status) + ' ';
    }
    for (const char c : text.substr(0, text_bytes_max)) {
        out += is_control(c) ? ' ' : c; // "." does not match a line end.
    }
    return out;
}

} // namespace

std::expected<std::unique_ptr<const classifier>, std::string> classifier::make(rule_file rules) {
    auto set = std::make_unique<compiled>();
    for (std::size_t rule = 0; rule < rules.rules.size(); ++rule) {
        for (const std::string& pattern : rules.rules[rule].patterns) {
            std::string error;
            if (set->set.Add(pattern, &error) < 0) {
                return std::unexpected(pattern + ": " + error);
            }
            set->rules.push_back(static_cast<std::uint32_t>(rule));
        }
    }
    if (!set->rules.empty() && !set->set.Compile()) {
        return std::unexpected("the rules are too large together");
    }
    return std::unique_ptr<const classifier>(new classifier(std::move(rules), std::move(set)));
}

std::unique_ptr<const classifier> classifier::make_default() {
    auto rules = parse_rules(default_rules_text, "rules.json");
    EBBGATE_ASSERT(rules.has_value());
    auto made = make(std::move(*rules));
    EBBGATE_ASSERT(made.has_value());
    return std::move(*made);
}

classifier::classifier(rule_file rules, std::unique_ptr<compiled> set)
    : rules_(std::move(rules)), set_(std::move(set)) {}

classifier::~classifier() = default;

std::string_view
classifier::classify(int code, const smtp::enhanced_status& status, std::string_view text) const {
    if (!set_->rules.empty()) {
        const std::string subject = subject_of(code, status, text);
        std::vector<int> matched;
        // False, too, when the automaton got no memory: the codes then decide.
        if (set_->set.Match(re2::StringPiece(subject.data(), subject.size()), &matched)) {
            const auto first = static_cast<std::size_t>(*std::ranges::min_element(matched));
            return rules_.rules[set_->rules[first]].name;
        }
    }
    return class_of_codes(code, status);
}

bool classifier::is_hard(std::string_view name) const noexcept {
    return std::ranges::find(rules_.hard, name) != rules_.hard.end();
}

} // namespace ebbgate::bounces
