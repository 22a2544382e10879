#include "stage/content/header_repair.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ebbgate::content {

namespace {

enum class repeats : std::uint8_t {
    refused, // Even when they are alike: who sent it, or what it is made of.
    alike,   // The same again says nothing new: the first one stays. Another value is refused.
};

struct single_field {
    std::string_view name; // As its specification writes it.
    std::string_view lower;
    repeats rule;
};

// What is not here may stand several times, or does no harm when it does: the trace fields,
// Keywords, Comments, lists, In-Reply-To and References, which old programs doubled.
constexpr single_field single_fields[] = {
    {"From", "from", repeats::refused},
    {"Sender", "sender", repeats::refused},
    {"Content-Type", "content-type", repeats::refused},
    {"Content-Transfer-Encoding", "content-transfer-encoding", repeats::refused},
    {"Content-Disposition", "content-disposition", repeats::refused},
    {"Reply-To", "reply-to", repeats::alike},
    {"To", "to", repeats::alike},
    {"Cc", "cc", repeats::alike},
    {"Subject", "subject", repeats::alike},
    {"Date", "date", repeats::alike},
    {"Message-ID", "message-id", repeats::alike},
    {"MIME-Version", "mime-version", repeats::alike},
};
constexpr std::size_t single_count = std::size(single_fields);
constexpr std::size_t date_index = 9;
constexpr std::size_t id_index = 10;
static_assert(single_fields[date_index].lower == "date");
static_assert(single_fields[id_index].lower == "message-id");

bool same_value(byte_view left, byte_view right) {
    return trimmed(left) == trimmed(right) ||
           trimmed(mail::unfolded(left)) == trimmed(mail::unfolded(right));
}

std::size_t single_index(byte_view name) noexcept {
    const auto* const found =
        std::find_if(std::begin(single_fields), std::end(single_fields), [name](const auto& one) {
            return name.size() == one.lower.size() && mail::is_name(name, one.lower);
        });
    return static_cast<std::size_t>(found - std::begin(single_fields));
}

// Keeps what it is told to keep, in order.
class piece_list {
public:
    void keep(std::size_t at, std::size_t bytes) {
        if (bytes == 0) {
            return;
        }
        auto& pieces = made_.pieces;
        if (!pieces.empty() && !pieces.back().inserted &&
            pieces.back().at + pieces.back().bytes == at) {
            pieces.back().bytes += static_cast<std::uint32_t>(bytes);
        } else {
            pieces.push_back(
                {false, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(bytes)});
        }
    }

    void insert(std::string_view text) {
        if (text.empty()) {
            return;
        }
        made_.pieces.push_back({true,
                                static_cast<std::uint32_t>(made_.text.size()),
                                static_cast<std::uint32_t>(text.size())});
        made_.text += text;
    }

    void drop(std::size_t bytes) { made_.removed_bytes += static_cast<std::uint32_t>(bytes); }

    void drop(const mail::header_field& field) {
        ++made_.removed_fields;
        drop(field.wire_bytes);
    }

    [[nodiscard]] repaired_header take() { return std::move(made_); }

private:
    repaired_header made_;
};

} // namespace

smtp::reply to_reply(const header_refusal& refusal) {
    constexpr smtp::enhanced_status status{5, 6, 0};
    switch (refusal.problem) {
    case header_problem::repeated:
        return {550, status, fmt::format("More than one {} field in the header", refusal.field)};
    case header_problem::too_long:
        return {550, status, "Message header too long"};
    case header_problem::looping:
        return {554, {5, 4, 6}, "Too many hops"};
    case header_problem::unclear:
        break;
    }
    return {550, status, "Malformed message header"};
}

std::expected<repaired_header, header_refusal> repair(const mail::header_scanner& header,
                                                      const repair_values& values) {
    using enum mail::header_fault;
    EBBGATE_ASSERT(header.complete());
    if (header.has(too_long) || header.has(too_many_fields)) {
        return std::unexpected(header_refusal{header_problem::too_long, {}});
    }
    // A line of "From " alone cannot be told from the empty line behind it: there are no fields.
    if (header.has(nul) || header.has(line_control) ||
        (header.has(mbox_line) && header.fields().empty())) {
        return std::unexpected(header_refusal{header_problem::unclear, {}});
    }
    if (header.count("received") > hops_max) {
        return std::unexpected(header_refusal{header_problem::looping, {}});
    }
    piece_list pieces;
    std::array<const mail::header_field*, single_count> first{};
    std::size_t end = 0; // Of what was looked at, in the wire form.
    for (const mail::header_field& field : header.fields()) {
        pieces.drop(field.wire_at - end); // A line of "From " in front of the header.
        end = std::size_t{field.wire_at} + field.wire_bytes;
        const byte_view name = header.name(field);
        const std::size_t index = single_index(name);
        const bool is_bcc = mail::is_name(name, "bcc") || mail::is_name(name, "resent-bcc");
        const bool is_empty =
            (index == date_index || index == id_index) && trimmed(header.value(field)).empty();
        if (is_bcc || is_empty) {
            pieces.drop(field);
            continue;
        }
        if (index < single_count && first[index] != nullptr) {
            const single_field& single = single_fields[index];
            if (single.rule == repeats::refused ||
                !same_value(header.value(*first[index]), header.value(field))) {
                return std::unexpected(header_refusal{header_problem::repeated, single.name});
            }
            pieces.drop(field);
            continue;
        }
        if (index < single_count) {
            first[index] = &field;
        }
        pieces.keep(field.wire_at, field.wire_bytes);
    }
    std::string added;
    if (first[id_index] == nullptr) {
        added += fmt::format("Message-ID: <{}@{}>\r\n", values.id, values.hostname);
    }
    if (first[date_index] == nullptr) {
        added += fmt::format("Date: {}\r\n", date_text(values.unix_s));
    }
    if (header.header_wire_bytes() == end) {
        added += "\r\n"; // It ended in front of a line that is no field, or with the message.
    }
    pieces.insert(added);
    pieces.keep(end, header.header_wire_bytes() - end);
    return pieces.take();
}

std::string assembled(const repaired_header& header, byte_view wire) {
    std::string out;
    for (const header_piece& piece : header.pieces) {
        out += (piece.inserted ? byte_view(header.text) : wire).substr(piece.at, piece.bytes);
    }
    return out;
}

} // namespace ebbgate::content
