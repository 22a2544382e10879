#include "service/http/request_reader.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace ebbgate::http {

namespace {

namespace beast = boost::beast;
using beast::error_code;

constexpr std::string_view end_mark = "\r\n\r\n";

// A value that goes on in the next line: some read there a header of its own.
bool is_folded(std::string_view header) noexcept {
    return header.find("\r\n ") != std::string_view::npos ||
           header.find("\r\n\t") != std::string_view::npos;
}

std::string_view view(beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

bool is_any(std::string_view name, std::initializer_list<std::string_view> of) noexcept {
    return std::any_of(
        of.begin(), of.end(), [name](auto one) { return equal_without_case(name, one); });
}

} // namespace

// Beast 1.74 bounds a header only as long as it comes in few pieces, takes a body limit of "none"
// for zero, and asserts that a first chunk of size 0 is not cut behind its line. So it gets a whole
// header at once, bodies are bounded here, and chunks never reach it.
class request_reader::parser final : public beast::http::basic_parser<true> {
public:
    explicit parser(const reader_limits& limits) : limits_(limits) {
        eager(true);
        header_limit(static_cast<std::uint32_t>(limits.header_bytes_max + 1));
        body_limit((std::numeric_limits<std::uint64_t>::max)());
    }

    request made;
    std::uint16_t refused = 0; // By our own rules; 0: not.
    bool expects_continue = false;

private:
    void refuse(std::uint16_t status, error_code& ec) {
        refused = status;
        ec = beast::http::error::bad_value; // Any: it stops the parser.
    }

    void on_request_impl(beast::http::verb,
                         beast::string_view method,
                         beast::string_view target,
                         int version,
                         error_code& ec) override {
        const std::string_view text = view(target);
        if (!text.starts_with('/') || text.find('#') != std::string_view::npos) {
            refuse(400, ec);
            return;
        }
        is_1_1_ = version == 11;
        const std::size_t mark = text.find('?');
        made.method = view(method);
        made.path = text.substr(0, mark);
        made.query = mark == std::string_view::npos ? std::string_view() : text.substr(mark + 1);
    }

    void on_field_impl(beast::http::field,
                       beast::string_view name,
                       beast::string_view value,
                       error_code& ec) override {
        if (made.headers.size() == limits_.headers_max) {
            refuse(431, ec);
            return;
        }
        const bool is_single = is_any(view(name),
                                      {"host",
                                       "content-length",
                                       "transfer-encoding",
                                       "authorization",
                                       "content-type",
                                       "expect"});
        if (is_single &&
            std::any_of(made.headers.begin(), made.headers.end(), [&](const header& one) {
                return equal_without_case(one.name, view(name));
            })) {
            refuse(400, ec);
            return;
        }
        made.headers.push_back({std::string(view(name)), std::string(view(value))});
    }

    void on_header_impl(error_code& ec) override {
        const std::string_view coding = made.find("transfer-encoding");
        const std::string_view length = made.find("content-length");
        const auto has = [this](std::string_view name) {
            return std::any_of(made.headers.begin(), made.headers.end(), [name](const header& one) {
                return equal_without_case(one.name, name);
            });
        };
        const bool has_length = has("content-length");
        if ((has_length && length.find_first_not_of("0123456789") != std::string_view::npos) ||
            (is_1_1_ && !has("host"))) {
            return refuse(400, ec);
        }
        if (has("transfer-encoding")) {
            if (has_length || !is_1_1_) {
                return refuse(400, ec);
            }
            return refuse(equal_without_case(coding, "chunked") ? 411 : 501, ec);
        }
        made.keep_alive = keep_alive();
        const std::string_view expect = made.find("expect");
        if (!expect.empty() && !equal_without_case(expect, "100-continue")) {
            return refuse(417, ec);
        }
        const std::uint64_t bytes = content_length().value_or(0);
        if (bytes == 0) {
            return;
        }
        expects_continue = is_1_1_ && !expect.empty();
        if (bytes > (limits_.body_bytes_max ? limits_.body_bytes_max(made) : 0)) {
            refuse(413, ec);
        }
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}

    std::size_t on_body_impl(beast::string_view body, error_code&) override {
        made.body += view(body);
        return body.size();
    }

    // Never: no header with chunks behind it is let through.
    void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code& ec) override {
        refuse(411, ec);
    }

    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, error_code& ec) override {
        refuse(411, ec);
        return 0;
    }

    void on_finish_impl(error_code&) override {}

    void on_response_impl(int, beast::string_view, int, error_code&) override {}

    const reader_limits& limits_;
    bool is_1_1_ = false;
};

request_reader::request_reader(reader_limits limits) : limits_(std::move(limits)) {
    begin();
}

request_reader::~request_reader() = default;

void request_reader::begin() {
    parser_ = std::make_unique<parser>(limits_);
    held_.clear();
    looked_at_ = 0;
    has_header_ = false;
    wants_continue_ = false;
    state_ = state::reading;
}

void request_reader::fail(std::uint16_t status) noexcept {
    state_ = state::failed;
    status_ = status;
}

request request_reader::take() {
    request taken = std::move(parser_->made);
    begin();
    return taken;
}

bool request_reader::wants_continue() {
    return std::exchange(wants_continue_, false);
}

std::size_t request_reader::end_of_header() noexcept {
    const std::size_t found = held_.find(end_mark, looked_at_);
    if (found != std::string::npos) {
        return found + end_mark.size();
    }
    looked_at_ = held_.size() < end_mark.size() ? 0 : held_.size() - end_mark.size() + 1;
    return 0;
}

std::size_t request_reader::put(byte_view bytes) {
    error_code ec;
    const std::size_t used = parser_->put({bytes.data(), bytes.size()}, ec);
    if (parser_->refused != 0) {
        fail(parser_->refused);
    } else if (ec == beast::http::error::header_limit) {
        fail(431);
    } else if (ec && ec != beast::http::error::need_more) {
        fail(400);
    } else if (parser_->is_done()) {
        state_ = state::done;
    }
    return used;
}

std::size_t request_reader::feed(byte_view bytes) {
    if (state_ != state::reading || bytes.empty()) {
        return 0;
    }
    std::size_t taken = 0;
    if (!has_header_) {
        const std::size_t before = held_.size();
        held_ += bytes.substr(0, limits_.header_bytes_max + 1 - before);
        const std::size_t end = end_of_header();
        if (end > limits_.header_bytes_max ||
            (end == 0 && held_.size() > limits_.header_bytes_max)) {
            fail(431);
            return bytes.size();
        }
        if (end == 0) {
            return bytes.size();
        }
        has_header_ = true;
        taken = end - before; // The end was not there before.
        if (is_folded(byte_view(held_).substr(0, end))) {
            fail(400);
            return taken;
        }
        const std::size_t used = put(byte_view(held_).substr(0, end));
        held_.clear();
        if (state_ == state::reading && (used != end || !parser_->is_header_done())) {
            fail(400); // What looks like the end of a header was none to the parser.
        }
        if (state_ != state::reading) {
            return taken;
        }
        wants_continue_ = parser_->expects_continue && taken == bytes.size();
        bytes.remove_prefix(taken);
    }
    if (bytes.empty()) {
        return taken;
    }
    wants_continue_ = false;
    const std::size_t used = put(bytes);
    if (state_ == state::reading && used != bytes.size()) {
        fail(400); // Of a body with a length the parser takes all it is given.
    }
    return taken + used;
}

} // namespace ebbgate::http
