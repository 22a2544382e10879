// Writes exported messages as files: `<id>.eml` as mail readers expect it, `<id>.json` beside it.
//
// Owner   export_spool_to_folder.
// Fails   When a file exists already, or cannot be written.

#pragma once

#include "ebbgate/spool/recovery.h"

#include <cstdio>
#include <string>

namespace ebbgate::spool {

// Undoes the dot-stuffing of wire form, in pieces of any size; drops a final "." line.
class unstuffer {
public:
    // Appends to `out`.
    void feed(byte_view piece, std::string& out);

private:
    enum class state : std::uint8_t { line_start, in_line, cr_seen, dot_seen, dot_cr_seen };

    state state_ = state::line_start;
};

class folder_sink final : public export_sink {
public:
    explicit folder_sink(std::string folder) : folder_(std::move(folder)) {}

    folder_sink(const folder_sink&) = delete;
    folder_sink& operator=(const folder_sink&) = delete;
    ~folder_sink() override;

    result<void> begin(const exported_message& message) override;
    result<void> body(byte_view piece) override;
    result<void> end(bool intact) override;

private:
    result<void> write(byte_view bytes);

    std::string folder_;
    std::string path_;
    std::string json_;
    std::string text_;
    unstuffer unstuffer_;
    std::FILE* file_ = nullptr;
};

// The envelope of a message, and whether its body held, as one JSON object.
[[nodiscard]] std::string
envelope_json(const exported_message& message, const std::string& id_text, bool intact);

} // namespace ebbgate::spool
