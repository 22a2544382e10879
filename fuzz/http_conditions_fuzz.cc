// Laws: a part lies in its file; a condition never makes a stranger's tag match; what the sender
// called a file leaves a header of one line with two quotation marks; a path that is no link's has
// no token.
//
// Input   Lines "NAME: VALUE" of a request's header, then an empty line, then a file's name.

#include "ebbgate/base/assert.h"

#include "service/filelink/byte_range.h"
#include "service/filelink/conditions.h"
#include "service/filelink/disposition.h"
#include "service/filelink/http_date.h"
#include "service/filelink/link_url.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace ebbgate;           // NOLINT(google-build-using-namespace): this file is the program
using namespace ebbgate::filelink; // NOLINT(google-build-using-namespace): the same

constexpr std::int64_t modified_unix_s = 784'111'777;

std::string_view take_line(std::string_view& text) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

void judge_range(std::string_view value) {
    for (const std::uint64_t file_bytes :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{10'000}, UINT64_MAX}) {
        const byte_range part = parse_byte_range(value, file_bytes);
        if (part.kind == range_kind::part) {
            EBBGATE_ASSERT(part.bytes > 0);
            EBBGATE_ASSERT(part.first < file_bytes);
            EBBGATE_ASSERT(part.bytes <= file_bytes - part.first);
        } else {
            EBBGATE_ASSERT(part.first == 0 && part.bytes == 0);
            EBBGATE_ASSERT(part.kind == range_kind::whole || file_bytes > 0);
        }
    }
}

void judge_tags(std::string_view list) {
    constexpr std::string_view tag = "\"a1\"";
    if (matches_any(list, tag, comparison::strong)) {
        EBBGATE_ASSERT(matches_any(list, tag, comparison::weak));
    }
    if (matches_any(list, tag, comparison::weak)) {
        EBBGATE_ASSERT(list.find(tag) != std::string_view::npos ||
                       list.find('*') != std::string_view::npos);
    }
}

void judge_name(std::string_view name) {
    const std::string value = attachment_disposition(name);
    EBBGATE_ASSERT(value.starts_with("attachment; filename=\""));
    EBBGATE_ASSERT(std::ranges::count(value, '"') == 2);
    EBBGATE_ASSERT(std::ranges::all_of(
        value, [](char c) { return c >= 0x20 && c < 0x7f && c != '\\' && c != '/'; }));
    const std::string clean = clean_name(name);
    EBBGATE_ASSERT(!clean.empty() && clean.size() <= name_bytes_max);
    const std::string type = harmless_type(name);
    EBBGATE_ASSERT(std::ranges::count(type, '/') == 1);
    EBBGATE_ASSERT(type.find("html") == std::string::npos);
    EBBGATE_ASSERT(
        std::ranges::all_of(type, [](char c) { return c > 0x20 && c < 0x7f && c != ';'; }));
}

void judge_path(std::string_view path, std::string_view host) {
    const auto token = token_of(path);
    EBBGATE_ASSERT(!token || blob::is_token(*token));
    blob::link link;
    link.token = token.value_or("0000000000000000000000000000000000000000");
    link.extension = "pdf";
    link.url = "https://files.acme.example/files/";
    if (is_of(link, host, path)) {
        EBBGATE_ASSERT(path == "/files/" + link.token + ".pdf");
    }
    if (const auto folder = parse_folder_url(path)) {
        EBBGATE_ASSERT(folder->path.starts_with('/') && folder->path.ends_with('/'));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    std::string_view text(reinterpret_cast<const char*>(data), bytes);
    http::request asked;
    asked.method = "GET";
    for (std::string_view line = take_line(text); !line.empty(); line = take_line(text)) {
        const std::size_t colon = line.find(": ");
        if (colon == std::string_view::npos) {
            continue;
        }
        const std::string_view value = line.substr(colon + 2);
        asked.headers.push_back({std::string(line.substr(0, colon)), std::string(value)});
        judge_range(value);
        judge_tags(value);
        (void)parse_http_date(value);
        judge_path(value, asked.find("Host"));
    }
    judge_name(text);
    const validators file{"\"a1\"", modified_unix_s};
    const verdict said = judge(asked, file);
    if (asked.headers.empty()) {
        EBBGATE_ASSERT(said == verdict::go_on && holds_range(asked, file));
    }
    return 0;
}
