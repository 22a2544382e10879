// Why an attachment is refused: for the reply, the log and the event record.
//
// Stage   4 of 8: what the rules of this folder say.
// Owner   A value.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ebbgate::content {

enum class attachment_fault : std::uint8_t {
    extension, // Not on the list.
    no_name,   // No name, and a type that says nothing.
    content,   // The bytes are a program, a script or an archive, the extension says otherwise.
    member,    // An archive's member has an extension that is not on the list.
    encrypted, // A member of the archive.
    unlisted,  // An archive of a kind whose members cannot be seen.
    ambiguous, // Programs would read it differently, or it is broken.
};

// "extension", "no name", ...: for event records.
[[nodiscard]] std::string_view name_of(attachment_fault fault) noexcept;

struct attachment_refusal {
    attachment_fault fault = attachment_fault::extension;
    std::string name;   // Of the attachment or the archive, as it was sent. Escape it.
    std::string detail; // For the log, with what is the sender's already clipped. Escape it.

    bool operator==(const attachment_refusal&) const = default;
};

} // namespace ebbgate::content
