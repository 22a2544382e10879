// Law: a command that is accepted has views that lie within its line, and means the same when its
// letters of the verb change case. A line refused has a reply.

#include "ebbgate/base/assert.h"
#include "ebbgate/smtp/command_parser.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using ebbgate::byte_view;

void check_within(byte_view line, byte_view part) {
    EBBGATE_ASSERT(part.empty() || (part.data() >= line.data() &&
                                    part.data() + part.size() <= line.data() + line.size()));
}

void check_path(const ebbgate::smtp::path& path, byte_view line) {
    check_within(line, path.text);
    EBBGATE_ASSERT(path.local.size() <= ebbgate::smtp::local_part_bytes_max);
    EBBGATE_ASSERT(path.text.size() + 2 <= ebbgate::smtp::path_bytes_max);
    EBBGATE_ASSERT(path.text.find_first_of(byte_view("\r\n\0", 3)) == byte_view::npos);
    // What is accepted once is accepted again: the spool reads it back.
    if (!path.domain.empty()) {
        EBBGATE_ASSERT(ebbgate::smtp::parse_mailbox(path.text, true).has_value());
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const byte_view line(reinterpret_cast<const char*>(data), bytes);
    for (const bool smtputf8 : {false, true}) {
        const auto parsed = ebbgate::smtp::parse_command(line, smtputf8);
        if (!parsed) {
            EBBGATE_ASSERT(ebbgate::smtp::reply_for(parsed.error()).code() >= 500);
            continue;
        }
        EBBGATE_ASSERT(parsed->verb == ebbgate::smtp::verb_of(line));
        check_within(line, parsed->argument);
        check_within(line, parsed->initial_response);
        check_within(line, parsed->mail.envelope_id);
        check_within(line, parsed->mail.submitter);
        check_within(line, parsed->recipient.original);
        check_path(parsed->path, line);

        std::string other(line);
        for (std::size_t i = 0; i < other.size() && other[i] != ' ' && other[i] != '\t'; ++i) {
            const char c = other[i];
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            other[i] = letter ? static_cast<char>(c ^ 0x20) : c;
        }
        const auto again = ebbgate::smtp::parse_command(other, smtputf8);
        EBBGATE_ASSERT(again.has_value() && again->verb == parsed->verb);
        EBBGATE_ASSERT(again->path.text == parsed->path.text);
    }
    return 0;
}
