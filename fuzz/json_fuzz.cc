// The JSON parser against any bytes, and two laws: what it accepts can be written and read back to
// the same tree, and a fault always lies inside the text.

#include "codec/json/document.h"
#include "codec/json/writer.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using ebbgate::json::document;
using ebbgate::json::kind;
using ebbgate::json::value;
using ebbgate::json::writer;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void write(writer& out, const value& from) {
    switch (from.kind()) {
    case kind::null:
        out.null();
        return;
    case kind::boolean:
        out.boolean(from.boolean());
        return;
    case kind::integer:
        out.number(from.integer());
        return;
    case kind::real:
        out.real(from.real());
        return;
    case kind::string:
        out.string(from.text());
        return;
    case kind::array:
        out.begin_array();
        for (const value& child : from.children()) {
            write(out, child);
        }
        out.end_array();
        return;
    case kind::object:
        out.begin_object();
        for (const value& child : from.children()) {
            out.key_escaped(child.key());
            write(out, child);
        }
        out.end_object();
        return;
    }
}

bool is_number(const value& one) {
    return one.is(kind::integer) || one.is(kind::real);
}

bool same(const value& left, const value& right) {
    if (left.key() != right.key() || left.text() != right.text() ||
        left.pointer() != right.pointer() || left.children().size() != right.children().size()) {
        return false;
    }
    // 1e3 is written as 1000, which reads as a whole number: equal in value is what counts.
    if (is_number(left) && is_number(right)) {
        return left.real() == right.real();
    }
    return left.kind() == right.kind() && left.boolean() == right.boolean() &&
           std::equal(
               left.children().begin(), left.children().end(), right.children().begin(), same);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto parsed = document::parse(text);
    if (!parsed) {
        const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
        require(parsed.error().line >= 1 && parsed.error().line <= lines);
        require(!parsed.error().message.empty());
        return 0;
    }
    std::string written;
    writer out(written);
    write(out, parsed->root());
    require(written.find('\n') == std::string::npos);
    const auto again = document::parse(written);
    require(again.has_value());
    // C1 controls and the like are escaped on the way out, and read back as they were.
    require(same(parsed->root(), again->root()));
    return 0;
}
