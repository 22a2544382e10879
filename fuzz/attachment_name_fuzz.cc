// Laws of attachment names, for any bytes: what is read is bounded and in lower case; what programs
// drop at the end changes nothing that is dangerous; and a refused name stays refused beside
// others.

#include "stage/content/attachment_name.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

namespace content = ebbgate::content;
namespace policy = ebbgate::policy;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool has(const content::extension_readings& in, const std::string& extension) {
    return std::find(in.extensions.begin(), in.extensions.end(), extension) != in.extensions.end();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string name(reinterpret_cast<const char*>(data), size);
    const auto readings = content::extensions_of(name);
    require(readings.ambiguous || !readings.extensions.empty());
    for (const std::string& one : readings.extensions) {
        require(one.size() <= 64 && one.find_first_of("./\\") == std::string::npos);
        require(std::none_of(one.begin(), one.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
    }
    // Whatever stands before it, and whatever falls off behind it.
    for (const char* const tail : {"", ".", " ", ". .", "\xe2\x80\xae", "::$DATA", "/"}) {
        const auto evil = content::extensions_of(name + ".exe" + tail);
        require(evil.ambiguous || has(evil, "exe"));
    }
    policy::attachment_settings settings;
    settings.allow = {"pdf", "txt"};
    const std::string names[] = {"a.pdf", name, "b.txt"};
    const auto alone = content::judge_names(settings, {std::span(names).subspan(1, 1), name, true});
    const auto among = content::judge_names(settings, {names, name, true});
    require(!alone.refusal || among.refusal || alone.refusal->name != name);
    require(among.is_attachment);
    const auto reply = policy::attachment_refusal(settings, name, name, size % 2 == 0);
    const std::string wire = ebbgate::smtp::to_wire(reply);
    require(std::count(wire.begin(), wire.end(), '\n') == 4);
    return 0;
}
