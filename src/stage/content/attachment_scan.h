// Finds the attachments of a message while it passes by, and hands them to the judge.
//
// Stage   4 of 8.
// Input   The message as text (not dot-stuffed), header first, in chunks of any size.
// Output  The first refusal.
// Owner   One a message; the settings belong to the snapshot that the message keeps.
// Fails   Never.
// Bounds  Those of mime::streamer and attachment_judge.

#pragma once

#include "ebbgate/mime/embedded_files.h"
#include "ebbgate/mime/streamer.h"
#include "ebbgate/mime/transfer_decoder.h"

#include "stage/content/attachment_judge.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace ebbgate::content {

class attachment_scan final : private mime::visitor {
public:
    explicit attachment_scan(const policy::attachment_settings& settings);
    attachment_scan(const attachment_scan&) = delete;
    attachment_scan& operator=(const attachment_scan&) = delete;

    // After a refusal nothing is looked at.
    void push(byte_view text) {
        if (!judge_.refusal()) {
            streamer_.push(text);
        }
    }

    void finish() {
        if (!judge_.refusal()) {
            streamer_.finish();
        }
    }

    [[nodiscard]] const std::optional<attachment_refusal>& refusal() const noexcept {
        return judge_.refusal();
    }

private:
    void part_begin(const mime::part& it) override;
    void header(const mime::part& it, const mime::part_header& header) override;
    void
    bytes(const mime::part& it, mime::region where, std::uint64_t at, byte_view bytes) override;
    void body_end(const mime::part& it, std::uint64_t at) override;
    void unclear(const mime::part& it, mime::ambiguity kind, std::uint64_t at) override;

    void look_beside_parts(const mime::part& it, mime::region where, byte_view bytes);
    void judge_embedded(const mime::embedded_files& embedded, const mime::part& in);

    attachment_judge judge_;
    mime::streamer streamer_;
    // Of the leaf in flight; empty where nobody wants to see into it.
    std::optional<mime::transfer_decoder> decoder_;
    std::optional<mime::embedded_files> embedded_;
    std::string decoded_;

    bool in_header_ = false;
    std::string unclear_in_header_;

    // Of the preamble or epilogue that was given last.
    std::optional<mime::embedded_files> beside_parts_;
    std::pair<std::uint32_t, mime::region> beside_of_{mime::no_part, mime::region::preamble};
};

// Whether readers may find other parts or names than we do. What is judged as the union of its
// readings, or only looks odd, is none.
[[nodiscard]] bool is_risky(mime::ambiguity kind) noexcept;

} // namespace ebbgate::content
