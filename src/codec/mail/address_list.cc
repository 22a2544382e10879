#include "ebbgate/mail/address_list.h"

#include "ebbgate/smtp/address.h"

#include "codec/mail/display_name.h"
#include "codec/smtp/text.h"

#include <algorithm>
#include <optional>

namespace ebbgate::mail {
namespace {

// RFC 5322 atext, and RFC 6532's non-ASCII.
constexpr bool is_atext(char c) noexcept {
    return smtp::is_alnum(c) || !is_ascii(c) ||
           byte_view("!#$%&'*+-/=?^_`{|}~").find(c) != byte_view::npos;
}

// A dot is obsolete but in every second name: "J. Doe". Brackets are not taken: "[Team] Name" has
// no author at all for some readers.
constexpr bool in_phrase(char c) noexcept {
    return is_atext(c) || c == '.';
}

bool is_dot_atom(byte_view text) noexcept {
    bool atom_empty = true;
    for (const char c : text) {
        if (c == '.' ? atom_empty : !is_atext(c)) {
            return false;
        }
        atom_empty = c == '.';
    }
    return !atom_empty;
}

// Length of the quoted string at the front, or 0.
std::size_t quoted_string_length(byte_view text) noexcept {
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            return i + 1;
        }
        if (text[i] == '\\') {
            ++i;
        }
    }
    return 0;
}

bool is_text(byte_view text) noexcept {
    while (true) {
        const std::size_t tab = text.find('\t');
        if (!smtp::is_utf8_text(text.substr(0, tab))) {
            return false;
        }
        if (tab == byte_view::npos) {
            return true;
        }
        text.remove_prefix(tab + 1);
    }
}

template <typename in_set>
std::size_t run_length(byte_view text, in_set belongs) noexcept {
    return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), belongs) -
                                    text.begin());
}

// Length of "local@domain" at the front, without any blank or comment inside; 0: there is none.
std::size_t address_length(byte_view text) noexcept {
    const auto in_dotted = [](char c) { return is_atext(c) || c == '.'; };
    const std::size_t local =
        text.starts_with('"') ? quoted_string_length(text) : run_length(text, in_dotted);
    if (local == 0 || local == text.size() || text[local] != '@') {
        return 0;
    }
    const byte_view domain = text.substr(local + 1);
    if (domain.starts_with('[')) {
        const std::size_t end = domain.find(']');
        return end == byte_view::npos ? 0 : local + 1 + end + 1;
    }
    return local + 1 + run_length(domain, in_dotted);
}

class list_parser {
public:
    explicit list_parser(byte_view text) noexcept : text_(text) {}

    std::expected<std::vector<mailbox>, address_fault> run();

private:
    using outcome = std::optional<address_fault>; // Empty: all is well.

    [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }

    [[nodiscard]] byte_view rest() const noexcept { return text_.substr(at_); }

    [[nodiscard]] bool looking_at(char c) const noexcept { return !at_end() && text_[at_] == c; }

    void skip_blanks() noexcept {
        while (!at_end() && is_blank(text_[at_])) {
            ++at_;
        }
    }

    outcome skip_comment();
    outcome skip_blanks_and_comments();
    outcome take_mailbox();
    outcome take_bare_address(std::size_t bytes);
    outcome take_name();
    outcome take_angle_address();
    outcome take_address(std::size_t bytes);

    byte_view text_;
    std::size_t at_ = 0;
    byte_view address_; // Of the mailbox that is being read.
    std::vector<mailbox> found_;
};

std::expected<std::vector<mailbox>, address_fault> list_parser::run() {
    if (const outcome fault = skip_blanks_and_comments()) {
        return std::unexpected(*fault);
    }
    if (at_end()) {
        return std::unexpected(address_fault::empty);
    }
    at_ = 0; // The first mailbox is judged with the comments in front of it.
    while (true) {
        if (found_.size() == mailboxes_max) {
            return std::unexpected(address_fault::too_many);
        }
        if (const outcome fault = take_mailbox()) {
            return std::unexpected(*fault);
        }
        if (at_end()) {
            return std::move(found_);
        }
        if (!looking_at(',')) {
            return std::unexpected(looking_at(';') ? address_fault::syntax
                                                   : address_fault::ambiguous);
        }
        ++at_;
    }
}

list_parser::outcome list_parser::skip_comment() {
    std::size_t depth = 0;
    for (; !at_end(); ++at_) {
        const char c = text_[at_];
        if (c == '\\') {
            ++at_;
            if (at_end()) {
                break;
            }
        } else if (c == '(' && ++depth > comment_depth_max) {
            return address_fault::syntax;
        } else if (c == ')' && --depth == 0) {
            ++at_;
            return std::nullopt;
        }
    }
    return address_fault::syntax;
}

list_parser::outcome list_parser::skip_blanks_and_comments() {
    skip_blanks();
    while (looking_at('(')) {
        if (const outcome fault = skip_comment()) {
            return fault;
        }
        skip_blanks();
    }
    return std::nullopt;
}

list_parser::outcome list_parser::take_mailbox() {
    const std::size_t begin = at_;
    if (const outcome fault = skip_blanks_and_comments()) {
        return fault;
    }
    std::size_t address_begin = at_;
    outcome fault;
    if (const std::size_t bytes = address_length(rest()); bytes > 0) {
        fault = take_bare_address(bytes);
    } else {
        fault = take_name();
        address_begin = at_;
        if (!fault) {
            fault = take_angle_address();
        }
    }
    if (fault) {
        return fault;
    }
    const std::size_t address_end = at_;
    fault = skip_blanks_and_comments();
    if (fault) {
        return fault;
    }
    if (hides_address(text_.substr(begin, address_begin - begin), address_) ||
        hides_address(text_.substr(address_end, at_ - address_end), address_)) {
        return address_fault::hidden_address;
    }
    return std::nullopt;
}

// "a@b", and what many programs write, "a@b <a@b>": whichever a reader takes, it is the same.
list_parser::outcome list_parser::take_bare_address(std::size_t bytes) {
    const byte_view first = rest().substr(0, bytes);
    const std::size_t behind = at_ + bytes + run_length(rest().substr(bytes), is_blank);
    if (behind == text_.size() || text_[behind] != '<') {
        return take_address(bytes);
    }
    at_ = behind;
    if (const outcome fault = take_angle_address()) {
        return fault;
    }
    if (first != address_) {
        return address_fault::hidden_address;
    }
    return std::nullopt;
}

// Stops at the '<'.
list_parser::outcome list_parser::take_name() {
    for (bool first = true;; first = false) {
        if (const outcome fault = skip_blanks_and_comments()) {
            return fault;
        }
        if (at_end()) {
            return address_fault::no_address;
        }
        switch (text_[at_]) {
        case '<':
            return std::nullopt;
        case ',':
            return address_fault::no_address;
        case '@':
            return address_fault::ambiguous; // "a @ b", "x a@b": the address is broken up.
        case ':':
            return address_fault::group;
        case '.':
            if (first) {
                return address_fault::syntax; // Some readers stumble over it.
            }
            break;
        case '"':
            if (const std::size_t bytes = quoted_string_length(rest()); bytes > 0) {
                at_ += bytes;
                continue;
            }
            return address_fault::syntax;
        default:
            break;
        }
        const std::size_t bytes = run_length(rest(), in_phrase);
        if (bytes == 0) {
            return address_fault::syntax;
        }
        at_ += bytes;
    }
}

list_parser::outcome list_parser::take_angle_address() {
    ++at_;
    skip_blanks();
    if (looking_at('>')) {
        return address_fault::no_address;
    }
    if (looking_at('@')) {
        return address_fault::source_route;
    }
    const std::size_t bytes = address_length(rest());
    if (bytes == 0) {
        return address_fault::ambiguous;
    }
    if (const outcome fault = take_address(bytes)) {
        return fault;
    }
    skip_blanks();
    if (!looking_at('>')) {
        return address_fault::ambiguous;
    }
    ++at_;
    return std::nullopt;
}

list_parser::outcome list_parser::take_address(std::size_t bytes) {
    address_ = rest().substr(0, bytes);
    at_ += bytes;
    // An encoded word may not stand here, so some readers decode it, and some do not.
    const auto shows_encoded_word = [](byte_view text) { return text.contains("=?"); };
    if (shows_encoded_word(address_)) {
        return address_fault::ambiguous;
    }
    const auto path = smtp::parse_mailbox(address_, true);
    if (!path) {
        return address_fault::bad_address;
    }
    std::string local = canonical_local(path->local);
    if (shows_encoded_word(local)) { // "=\?utf-8?q?..."@d: some decode what the quotes stand for.
        return address_fault::ambiguous;
    }
    // "a@b"@c, "<a@b>"@c: valid, and made to be misread. A blank is all that quotes are for.
    const auto harmless = [](char c) { return is_atext(c) || c == '.' || c == ' '; };
    if (local.starts_with('"') && !std::all_of(local.begin() + 1, local.end() - 1, harmless)) {
        return address_fault::ambiguous;
    }
    found_.push_back({std::move(local), std::string(path->domain)});
    return std::nullopt;
}

} // namespace

std::expected<std::vector<mailbox>, address_fault> parse_mailbox_list(byte_view text) {
    if (text.size() > address_list_bytes_max) {
        return std::unexpected(address_fault::too_long);
    }
    if (!is_text(text)) {
        return std::unexpected(address_fault::not_text);
    }
    return list_parser(text).run();
}

std::string canonical_local(byte_view local) {
    if (local.size() < 2 || !local.starts_with('"') || !local.ends_with('"')) {
        return std::string(local);
    }
    std::string content;
    std::string quoted = "\"";
    for (std::size_t i = 1; i + 1 < local.size(); ++i) {
        if (local[i] == '\\' && i + 2 < local.size()) {
            ++i;
        }
        if (local[i] == '"' || local[i] == '\\') {
            quoted += '\\';
        }
        content += local[i];
        quoted += local[i];
    }
    return is_dot_atom(content) ? content : quoted + '"';
}

} // namespace ebbgate::mail
