#include "codec/json/document.h"

#include "codec/json/writer.h"

#include <simdjson.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace ebbgate::json {

namespace {

namespace ondemand = simdjson::ondemand;

// Below this many members, comparing each with each is cheaper than sorting.
constexpr std::size_t small_object_members = 8;

std::uint32_t line_at(byte_view text, std::size_t offset) {
    const byte_view before = text.substr(0, std::min(offset, text.size()));
    return static_cast<std::uint32_t>(1 + std::count(before.begin(), before.end(), '\n'));
}

// The library reports some faults of the whole text without a place; this finds the first one.
parse_fault locate(byte_view text, const char* fallback) {
    bool in_string = false;
    std::size_t string_start = 0;
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte >= 0x80) {
            const std::size_t bytes = utf8_sequence_bytes(text, i);
            if (bytes == 0) {
                return {line_at(text, i), "", "the text is not valid UTF-8"};
            }
            i += bytes;
            continue;
        }
        if (in_string && byte < 0x20) {
            return {line_at(text, i),
                    "",
                    "a string contains a raw control character or has no closing quote"};
        }
        if (in_string && byte == '\\') {
            ++i;
        } else if (byte == '"') {
            in_string = !in_string;
            string_start = i;
        }
        ++i;
    }
    if (in_string) {
        return {line_at(text, string_start), "", "a string has no closing quote"};
    }
    return {line_at(text, text.size()), "", fallback};
}

std::string_view without_trailing_space(std::string_view token) {
    const std::size_t last = token.find_last_not_of(" \t\r\n");
    return token.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// RFC 8259 section 6, exactly; the library's own check stops at 64 bits.
bool is_number(std::string_view token, bool& integral) {
    std::size_t i = 0;
    const auto digits = [&] {
        const std::size_t start = i;
        while (i < token.size() && token[i] >= '0' && token[i] <= '9') {
            ++i;
        }
        return i - start;
    };
    integral = true;
    if (i < token.size() && token[i] == '-') {
        ++i;
    }
    const bool leading_zero = i < token.size() && token[i] == '0';
    const std::size_t whole = digits();
    if (whole == 0 || (leading_zero && whole > 1)) {
        return false;
    }
    if (i < token.size() && token[i] == '.') {
        integral = false;
        ++i;
        if (digits() == 0) {
            return false;
        }
    }
    if (i < token.size() && (token[i] == 'e' || token[i] == 'E')) {
        integral = false;
        ++i;
        if (i < token.size() && (token[i] == '+' || token[i] == '-')) {
            ++i;
        }
        if (digits() == 0) {
            return false;
        }
    }
    return i == token.size();
}

} // namespace

// Walks the text once; a friend of the tree it builds.
class builder {
public:
    builder(byte_view text, const parse_limits& limits) : text_(text), limits_(limits) {}

    std::expected<document, parse_fault> build();

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
    bool keep_text(const simdjson::simdjson_result<std::string_view>& text, std::string_view& into);
    bool count_value();
    bool refuse(std::string message);
    // For a fault inside this child, which is not yet linked to its parents.
    bool inside(const value& child);
    void advance_to(const char* position, value& into);

    static void link(value& parent);

    byte_view text_;
    const parse_limits& limits_;
    ondemand::parser parser_;
    const char* start_ = nullptr;
    char* texts_ = nullptr;
    std::size_t texts_used_ = 0;
    std::size_t values_ = 0;
    std::size_t counted_to_ = 0; // Lines are counted once, as tokens come in order.
    std::uint32_t line_ = 1;
    parse_fault fault_;
};

std::expected<document, parse_fault> builder::build() {
    if (text_.size() > limits_.text_bytes_max) {
        return std::unexpected(parse_fault{1, "", "the text is too large"});
    }
    if (text_.starts_with("\xef\xbb\xbf")) {
        return std::unexpected(parse_fault{
            1, "", "the text starts with a byte order mark; save it as UTF-8 without one"});
    }
    const simdjson::padded_string padded(text_);
    start_ = padded.data();
    ondemand::document source;
    if (parser_.iterate(padded).get(source) != simdjson::SUCCESS) {
        return std::unexpected(
            locate(text_, "expected a JSON value, found nothing or an incomplete one"));
    }
    document built;
    // An unescaped text is never longer than its escaped form.
    built.texts_ = std::make_unique_for_overwrite<char[]>(text_.size() + 1);
    texts_ = built.texts_.get();
    built.root_ = std::make_unique<value>();
    if (!build_root(source, *built.root_)) {
        return std::unexpected(std::move(fault_));
    }
    link(*built.root_);
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
        into.kind_ = kind::string;
        return keep_text(document.get_string(), into.text_);
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
        into.kind_ = kind::string;
        return keep_text(source.get_string(), into.text_);
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
    for (auto item : source) {
        value child;
        child.line_ = line_;
        child.index_ = static_cast<std::uint32_t>(into.children_.size());
        ondemand::value child_source;
        if (item.get(child_source) != simdjson::SUCCESS) {
            return refuse("expected a comma or the end of the array");
        }
        if (!build_value(child_source, child, depth)) {
            fault_.pointer.insert(0, "/" + std::to_string(child.index_));
            return false;
        }
        into.children_.push_back(std::move(child));
    }
    return true;
}

template <typename container>
bool builder::build_object(container source, value& into, std::uint32_t depth) {
    into.kind_ = kind::object;
    if (depth > limits_.depth_max) {
        return refuse("nested too deeply");
    }
    for (auto member : source) {
        ondemand::field field;
        if (std::move(member).get(field) != simdjson::SUCCESS) {
            return refuse("expected a key in quotes, a colon, a comma or the end of the object");
        }
        value child;
        child.index_ = static_cast<std::uint32_t>(into.children_.size());
        if (!keep_text(field.unescaped_key(), child.key_)) {
            return false;
        }
        if (!build_value(field.value(), child, depth)) {
            return inside(child);
        }
        into.children_.push_back(std::move(child));
    }
    return limits_.duplicate_keys_allowed || no_duplicates(into);
}

bool builder::no_duplicates(const value& object) {
    const std::vector<value>& members = object.children_;
    const auto duplicate = [this](const value& second) {
        line_ = second.line_;
        refuse("duplicate key");
        return inside(second);
    };
    if (members.size() <= small_object_members) {
        for (std::size_t second = 1; second < members.size(); ++second) {
            for (std::size_t first = 0; first < second; ++first) {
                if (members[first].key_ == members[second].key_) {
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
        const int order = left->key_.compare(right->key_);
        return order != 0 ? order < 0 : left->index_ < right->index_;
    });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
        if (sorted[i - 1]->key_ == sorted[i]->key_) {
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
        into.integer_ = token == "true" ? 1 : 0;
        return true;
    }
    bool integral = false;
    if (!is_number(token, integral)) {
        return refuse("expected a value: a string in quotes, a number, true, false, null, an "
                      "object or an array");
    }
    const char* const end = token.data() + token.size();
    if (integral) {
        const auto [stop, error] = std::from_chars(token.data(), end, into.integer_);
        if (error == std::errc{} && stop == end) {
            into.kind_ = kind::integer;
            return true;
        }
    }
    into.integer_ = 0;
    into.kind_ = kind::real;
    const auto [stop, error] = std::from_chars(token.data(), end, into.real_);
    if (error == std::errc::result_out_of_range) {
        // Too small is zero, as everywhere; too large has no value that could be meant.
        const std::string copy(token);
        into.real_ = std::strtod(copy.c_str(), nullptr);
    }
    if (!std::isfinite(into.real_)) {
        return refuse("the number is too large");
    }
    return true;
}

bool builder::keep_text(const simdjson::simdjson_result<std::string_view>& text,
                        std::string_view& into) {
    std::string_view found;
    if (simdjson::simdjson_result<std::string_view>(text).get(found) != simdjson::SUCCESS) {
        return refuse("a string has a bad escape, or something follows it");
    }
    char* const copy = texts_ + texts_used_;
    if (!found.empty()) {
        std::memcpy(copy, found.data(), found.size());
    }
    texts_used_ += found.size();
    into = {copy, found.size()};
    return true;
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
    append_pointer_key(pointer, child.key_);
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
    for (value& child : parent.children_) {
        child.parent_ = &parent;
        link(child);
    }
}

std::expected<document, parse_fault> document::parse(byte_view text, const parse_limits& limits) {
    return builder(text, limits).build();
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
    for (const value& child : children_) {
        if (child.key_ == key) {
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
            append_pointer_key(pointer, (*at)->key_);
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
