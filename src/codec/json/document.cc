#include "codec/json/document.h"

#include "base/text.h"
#include "codec/json/text_scan.h"
#include "codec/json/writer.h"

#include <simdjson.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory_resource>
#include <type_traits>
#include <vector>

namespace ebbgate::json {

namespace {

namespace ondemand = simdjson::ondemand;

// Below this many members, comparing each with each is cheaper than sorting.
constexpr std::size_t small_object_members = 8;

} // namespace

// The texts of values lie in the parser's buffer of unescaped strings.
struct document::storage {
    std::string text; // With the padding that the parser may read.
    ondemand::parser parser;
    std::pmr::monotonic_buffer_resource values; // Given back all at once.
};

static_assert(std::is_trivially_copyable_v<value> && std::is_trivially_destructible_v<value>);

// Walks the text once; a friend of the tree it builds.
class builder {
public:
    explicit builder(const parse_limits& limits) : limits_(limits) {}

    std::expected<document, parse_fault> build(std::string text);

private:
    bool build_root(ondemand::document& document, value& into);
    bool build_root_scalar(ondemand::document& document, std::string_view token, value& into);
    bool build_value(ondemand::value source, value& into, std::uint32_t depth);
    template <typename container>
    bool build_array(container source, value& into, std::uint32_t depth);
    template <typename container>
    bool build_object(container source, value& into, std::uint32_t depth);
    bool no_duplicates(const value& object);
    bool build_scalar(std::string_view token, value& into);
    bool keep_text(const simdjson::simdjson_result<std::string_view>& text, value& into);
    bool keep_key(const simdjson::simdjson_result<std::string_view>& text, value& into);
    value* keep_values(std::size_t first);
    void take_children(std::size_t first, value& into);
    bool count_value();
    bool refuse(std::string message);
    // For a fault inside this child, which is not yet linked to its parents.
    bool inside(const value& child);
    void advance_to(const char* position, value& into);

    static void link(value& parent);

    byte_view text_;
    const parse_limits& limits_;
    const char* start_ = nullptr;
    std::pmr::monotonic_buffer_resource* kept_ = nullptr;
    std::vector<value> unfinished_; // Of the containers that are being read, outermost first.
    std::size_t values_ = 0;
    std::size_t counted_to_ = 0; // Lines are counted once, as tokens come in order.
    std::uint32_t line_ = 1;
    parse_fault fault_;
};

std::expected<document, parse_fault> builder::build(std::string text) {
    constexpr std::size_t bytes_max = 0xffff'ffff; // A value's size has 32 bits.
    if (text.size() > std::min(limits_.text_bytes_max, bytes_max)) {
        return std::unexpected(parse_fault{1, "", "the text is too large"});
    }
    if (text.starts_with("\xef\xbb\xbf")) {
        return std::unexpected(parse_fault{
            1, "", "the text starts with a byte order mark; save it as UTF-8 without one"});
    }
    // Each value but the first has a comma before it or is the first of its container, and each
    // container is a value.
    if (const std::size_t at = too_many_separators(text, 2 * limits_.values_max);
        at != std::string::npos) {
        return std::unexpected(
            parse_fault{line_at(text, at), "", "the text holds too many values"});
    }
    document built;
    built.kept_.reset(new document::storage);
    document::storage& kept = *built.kept_;
    const std::size_t bytes = text.size();
    kept.text = std::move(text);
    kept.text.resize(bytes + simdjson::SIMDJSON_PADDING);
    text_ = byte_view(kept.text).substr(0, bytes);
    start_ = text_.data();
    kept_ = &kept.values;
    ondemand::document source;
    const simdjson::padded_string_view padded(text_.data(), bytes, kept.text.size());
    if (kept.parser.iterate(padded).get(source) != simdjson::SUCCESS) {
        return std::unexpected(
            locate(text_, "expected a JSON value, found nothing or an incomplete one"));
    }
    value root;
    if (!build_root(source, root)) {
        return std::unexpected(std::move(fault_));
    }
    unfinished_.push_back(root);
    value* const kept_root = keep_values(0);
    link(*kept_root);
    built.root_ = kept_root;
    return built;
}

bool builder::build_root(ondemand::document& document, value& into) {
    std::string_view token;
    if (document.raw_json_token().get(token) != simdjson::SUCCESS || token.empty()) {
        return refuse("expected a JSON value");
    }
    advance_to(token.data(), into);
    ++values_;
    bool built = false;
    if (token.front() == '{') {
        ondemand::object object;
        built = document.get_object().get(object) == simdjson::SUCCESS
                    ? build_object(object, into, 1)
                    : refuse("expected an object that ends, and nothing after it");
    } else if (token.front() == '[') {
        ondemand::array array;
        built = document.get_array().get(array) == simdjson::SUCCESS
                    ? build_array(array, into, 1)
                    : refuse("expected an array that ends");
    } else {
        return build_root_scalar(document, token, into);
    }
    const char* rest = nullptr;
    if (built && document.current_location().get(rest) != simdjson::OUT_OF_BOUNDS) {
        return refuse("expected the end of the text after the value");
    }
    return built;
}

bool builder::build_root_scalar(ondemand::document& document, std::string_view token, value& into) {
    // A token runs up to the next one, so the only one runs to the end of the text.
    if (static_cast<std::size_t>(token.data() - start_) + token.size() < text_.size()) {
        return refuse("expected the end of the text after the value");
    }
    if (token.front() == '"') {
        return keep_text(document.get_string(), into);
    }
    return build_scalar(without_trailing_space(token), into);
}

bool builder::build_value(ondemand::value source, value& into, std::uint32_t depth) {
    std::string_view token = source.raw_json_token();
    advance_to(token.data(), into);
    if (!count_value()) {
        return false;
    }
    if (token.empty()) {
        return refuse("expected a value");
    }
    switch (token.front()) {
    case '{': {
        ondemand::object object;
        if (source.get_object().get(object) != simdjson::SUCCESS) {
            return refuse("expected an object that ends");
        }
        return build_object(object, into, depth + 1);
    }
    case '[': {
        ondemand::array array;
        if (source.get_array().get(array) != simdjson::SUCCESS) {
            return refuse("expected an array that ends");
        }
        return build_array(array, into, depth + 1);
    }
    case '"':
        return keep_text(source.get_string(), into);
    default:
        break;
    }
    // The library steps over a value that was not asked for, and checks what follows it.
    return build_scalar(without_trailing_space(token), into);
}

template <typename container>
bool builder::build_array(container source, value& into, std::uint32_t depth) {
    into.kind_ = kind::array;
    if (depth > limits_.depth_max) {
        return refuse("nested too deeply");
    }
    const std::size_t first = unfinished_.size();
    for (auto item : source) {
        value child;
        child.line_ = line_;
        child.index_ = static_cast<std::uint32_t>(unfinished_.size() - first);
        ondemand::value child_source;
        if (item.get(child_source) != simdjson::SUCCESS) {
            return refuse("expected a comma or the end of the array");
        }
        if (!build_value(child_source, child, depth)) {
            fault_.pointer.insert(0, "/" + std::to_string(child.index_));
            return false;
        }
        unfinished_.push_back(child);
    }
    take_children(first, into);
    return true;
}

template <typename container>
bool builder::build_object(container source, value& into, std::uint32_t depth) {
    into.kind_ = kind::object;
    if (depth > limits_.depth_max) {
        return refuse("nested too deeply");
    }
    const std::size_t first = unfinished_.size();
    for (auto member : source) {
        ondemand::field field;
        if (std::move(member).get(field) != simdjson::SUCCESS) {
            return refuse("expected a key in quotes, a colon, a comma or the end of the object");
        }
        value child;
        child.index_ = static_cast<std::uint32_t>(unfinished_.size() - first);
        if (!keep_key(field.unescaped_key(), child)) {
            return false;
        }
        if (child.index_ >= limits_.members_max) {
            return refuse("an object holds too many members");
        }
        if (!build_value(field.value(), child, depth)) {
            return inside(child);
        }
        unfinished_.push_back(child);
    }
    take_children(first, into);
    return limits_.duplicate_keys_allowed || no_duplicates(into);
}

bool builder::no_duplicates(const value& object) {
    const std::span<const value> members = object.children();
    const auto duplicate = [this](const value& second) {
        line_ = second.line_;
        refuse("duplicate key");
        return inside(second);
    };
    if (members.size() <= small_object_members) {
        for (std::size_t second = 1; second < members.size(); ++second) {
            for (std::size_t first = 0; first < second; ++first) {
                if (members[first].key() == members[second].key()) {
                    return duplicate(members[second]);
                }
            }
        }
        return true;
    }
    std::vector<const value*> sorted;
    sorted.reserve(members.size());
    for (const value& member : members) {
        sorted.push_back(&member);
    }
    std::sort(sorted.begin(), sorted.end(), [](const value* left, const value* right) {
        const int order = left->key().compare(right->key());
        return order != 0 ? order < 0 : left->index_ < right->index_;
    });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
        if (sorted[i - 1]->key() == sorted[i]->key()) {
            return duplicate(*sorted[i]);
        }
    }
    return true;
}

bool builder::build_scalar(std::string_view token, value& into) {
    if (token == "null") {
        return true;
    }
    if (token == "true" || token == "false") {
        into.kind_ = kind::boolean;
        into.content_.integer = token == "true" ? 1 : 0;
        return true;
    }
    bool integral = false;
    if (!is_number(token, integral)) {
        return refuse("expected a value: a string in quotes, a number, true, false, null, an "
                      "object or an array");
    }
    const char* const end = token.data() + token.size();
    if (integral) {
        std::int64_t integer = 0;
        const auto [stop, error] = std::from_chars(token.data(), end, integer);
        if (error == std::errc{} && stop == end) {
            into.content_.integer = integer;
            into.kind_ = kind::integer;
            return true;
        }
    }
    double real = 0;
    const auto [stop, error] = std::from_chars(token.data(), end, real);
    if (error == std::errc::result_out_of_range) {
        // Too small is zero, as everywhere; too large has no value that could be meant.
        const std::string copy(token);
        real = std::strtod(copy.c_str(), nullptr);
    }
    if (!std::isfinite(real)) {
        return refuse("the number is too large");
    }
    into.content_.real = real;
    into.kind_ = kind::real;
    return true;
}

bool builder::keep_text(const simdjson::simdjson_result<std::string_view>& text, value& into) {
    std::string_view found;
    if (simdjson::simdjson_result<std::string_view>(text).get(found) != simdjson::SUCCESS) {
        return refuse("a string has a bad escape, or something follows it");
    }
    // It lies in a buffer of the parser, which the document keeps.
    into.kind_ = kind::string;
    into.content_.text = found.data();
    into.size_ = static_cast<std::uint32_t>(found.size());
    return true;
}

bool builder::keep_key(const simdjson::simdjson_result<std::string_view>& text, value& into) {
    value key;
    if (!keep_text(text, key)) {
        return false;
    }
    if (key.size_ > limits_.key_bytes_max) {
        return refuse("a key is too long");
    }
    into.key_ = key.content_.text;
    into.key_bytes_ = key.size_;
    return true;
}

// Moves what is unfinished from `first` on to where it stays.
value* builder::keep_values(std::size_t first) {
    const std::size_t count = unfinished_.size() - first;
    auto* const kept = static_cast<value*>(kept_->allocate(count * sizeof(value), alignof(value)));
    const auto begin = unfinished_.begin() + static_cast<std::ptrdiff_t>(first);
    std::uninitialized_copy(begin, unfinished_.end(), kept);
    unfinished_.erase(begin, unfinished_.end());
    return kept;
}

void builder::take_children(std::size_t first, value& into) {
    into.size_ = static_cast<std::uint32_t>(unfinished_.size() - first);
    into.content_.children = into.size_ == 0 ? nullptr : keep_values(first);
}

bool builder::count_value() {
    ++values_;
    return values_ <= limits_.values_max || refuse("the text holds too many values");
}

bool builder::refuse(std::string message) {
    fault_.line = line_;
    fault_.message = std::move(message);
    return false;
}

bool builder::inside(const value& child) {
    std::string pointer;
    append_pointer_key(pointer, child.key());
    fault_.pointer.insert(0, pointer);
    return false;
}

void builder::advance_to(const char* position, value& into) {
    const auto offset = static_cast<std::size_t>(position - start_);
    if (offset > counted_to_ && offset <= text_.size()) {
        const auto from = text_.begin() + static_cast<std::ptrdiff_t>(counted_to_);
        const auto to = text_.begin() + static_cast<std::ptrdiff_t>(offset);
        line_ += static_cast<std::uint32_t>(std::count(from, to, '\n'));
        counted_to_ = offset;
    }
    into.line_ = line_;
}

// Children moved while they were built; beyond this point none moves again.
void builder::link(value& parent) {
    const std::size_t count = parent.children().size();
    for (std::size_t i = 0; i < count; ++i) {
        value& child = parent.content_.children[i];
        child.parent_ = &parent;
        link(child);
    }
}

void document::storage_deleter::operator()(storage* kept) const noexcept {
    delete kept;
}

std::expected<document, parse_fault> document::parse(byte_view text, const parse_limits& limits) {
    if (text.size() > limits.text_bytes_max) {
        return std::unexpected(parse_fault{1, "", "the text is too large"}); // And not copied.
    }
    return parse_owned(std::string(text), limits);
}

std::expected<document, parse_fault> document::parse_owned(std::string text,
                                                           const parse_limits& limits) {
    return builder(limits).build(std::move(text));
}

std::string_view name_of(kind kind) noexcept {
    switch (kind) {
    case kind::null:
        return "null";
    case kind::boolean:
        return "true or false";
    case kind::integer:
        return "a whole number";
    case kind::real:
        return "a number";
    case kind::string:
        return "a string";
    case kind::array:
        return "an array";
    case kind::object:
        return "an object";
    }
    return "a value";
}

const value* value::find(std::string_view key) const noexcept {
    if (!is_object()) {
        return nullptr;
    }
    for (const value& child : children()) {
        if (child.key() == key) {
            return &child;
        }
    }
    return nullptr;
}

std::string value::pointer() const {
    std::vector<const value*> path;
    for (const value* at = this; at->parent_ != nullptr; at = at->parent_) {
        path.push_back(at);
    }
    std::string pointer;
    for (auto at = path.rbegin(); at != path.rend(); ++at) {
        if ((*at)->parent_->is_object()) {
            append_pointer_key(pointer, (*at)->key());
        } else {
            pointer += '/';
            pointer += std::to_string((*at)->index_);
        }
    }
    return pointer;
}

void append_pointer_key(std::string& pointer, std::string_view key) {
    pointer += '/';
    for (const char c : key) {
        if (c == '~') {
            pointer += "~0";
        } else if (c == '/') {
            pointer += "~1";
        } else {
            pointer += c;
        }
    }
}

} // namespace ebbgate::json
