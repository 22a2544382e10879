#include "stage/bounces/rule_file.h"

#include "base/text.h"
#include "config/reader.h"
#include "stage/bounces/pattern_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <re2/re2.h>

namespace ebbgate::bounces {

namespace {

constexpr config::known_key file_keys[] = {{"hard"}, {"rules"}};
constexpr config::known_key rule_keys[] = {{"class"}, {"patterns"}};

void read_class(config::reader& from, const json::value& at, std::string& into) {
    const auto name = from.string(at, "the name of a class");
    if (!name) {
        return;
    }
    const bool good = !name->empty() && name->size() <= class_bytes_max && is_letter((*name)[0]) &&
                      std::ranges::all_of(*name, [](char c) {
                          return is_letter(c) || is_digit(c) || c == '_' || c == '-';
                      });
    if (!good) {
        from.add_fault(
            at, fmt::format("expected a name of letters and digits, found {}", config::shown(at)));
        return;
    }
    into = *name;
}

void read_pattern(config::reader& from, const json::value& at, std::vector<std::string>& into) {
    const auto text = from.string(at, "a regular expression");
    if (!text) {
        return;
    }
    if (text->empty() || text->size() > pattern_bytes_max) {
        from.add_fault(at, fmt::format("expected 1 to {} bytes", pattern_bytes_max));
        return;
    }
    const RE2 compiled(re2::StringPiece(text->data(), text->size()), pattern_options());
    if (!compiled.ok()) {
        from.add_fault(at, fmt::format("RE2: {}", compiled.error()));
        return;
    }
    if (RE2::PartialMatch("", compiled)) {
        from.add_fault(at, "it matches everything: no rule behind it would count");
        return;
    }
    into.emplace_back(*text);
}

void read_rule(config::reader& from, const json::value& at, rule_file& into) {
    if (!from.object(at, rule_keys)) {
        return;
    }
    rule made;
    const json::value* name = from.required(at, "class", "the name of a class");
    const json::value* patterns = from.required(at, "patterns", "an array of regular expressions");
    if (name != nullptr) {
        read_class(from, *name, made.name);
    }
    if (patterns != nullptr && from.array(*patterns, patterns_max)) {
        for (const json::value& one : patterns->children()) {
            if (from.full()) {
                return;
            }
            read_pattern(from, one, made.patterns);
        }
    }
    into.rules.push_back(std::move(made));
}

} // namespace

std::expected<rule_file, config::faults> parse_rules(std::string_view text,
                                                     const std::string& file) {
    config::reader from(file);
    const auto document = json::document::parse(text);
    if (!document) {
        from.add_fault(document.error());
        return std::unexpected(from.take_faults());
    }
    rule_file made;
    const json::value& root = document->root();
    if (from.object(root, file_keys)) {
        if (const json::value* hard = root.find("hard"); hard == nullptr) {
            made.hard.assign(std::begin(default_hard), std::end(default_hard));
        } else if (from.array(*hard, rules_max)) {
            for (const json::value& one : hard->children()) {
                read_class(from, one, made.hard.emplace_back());
            }
        }
        const json::value* rules = from.required(root, "rules", "an array of rules");
        if (rules != nullptr && from.array(*rules, rules_max)) {
            for (const json::value& one : rules->children()) {
                if (!from.full()) {
                    read_rule(from, one, made);
                }
            }
        }
        std::size_t patterns = 0;
        for (const rule& one : made.rules) {
            patterns += one.patterns.size();
        }
        if (patterns > patterns_max) {
            from.add_fault(root,
                           fmt::format("{} patterns; expected at most {}", patterns, patterns_max));
        }
    }
    if (!from.found().empty()) {
        return std::unexpected(from.take_faults());
    }
    return made;
}

std::expected<rule_file, config::faults> load_rules(const std::string& path) {
    const auto text = config::read_file(path);
    if (!text) {
        return std::unexpected(text.error());
    }
    return parse_rules(*text, path);
}

} // namespace ebbgate::bounces
