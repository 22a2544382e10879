#include "service/filelink/http_date.h"

#include "base/text.h"

#include <array>
#include <ctime>
#include <string>

namespace ebbgate::filelink {

namespace {

constexpr std::size_t date_bytes_max = 40;

// The process keeps the "C" locale: the names are English.
constexpr std::array<const char*, 3> forms = {
    "%a, %d %b %Y %H:%M:%S GMT", // Sun, 06 Nov 1994 08:49:37 GMT
    "%A, %d-%b-%y %H:%M:%S GMT", // Sunday, 06-Nov-94 08:49:37 GMT
    "%a %b %e %H:%M:%S %Y",      // Sun Nov  6 08:49:37 1994
};

} // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text) {
    text = trimmed(text);
    if (text.empty() || text.size() > date_bytes_max) {
        return std::nullopt;
    }
    const std::string ended(text);
    for (const char* form : forms) {
        std::tm parts{};
        const char* end = strptime(ended.c_str(), form, &parts);
        if (end == ended.c_str() + ended.size()) {
            return timegm(&parts);
        }
    }
    return std::nullopt;
}

} // namespace ebbgate::filelink
