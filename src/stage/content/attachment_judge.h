// Judges the attachments of one message: names first, then what their bytes are, then members.
//
// Stage   4 of 8.
// Input   For each leaf part of the message, in order: begin(), its decoded bytes in chunks of any
//         size (only while wants_content() says so), end().
// Output  The first refusal. Nothing is looked at after it.
// Owner   One a message. The settings belong to the snapshot that the message keeps.
// Fails   Never.
// Bounds  sniff_bytes of the part in flight, and what archive_listing keeps.

#pragma once

#include "stage/content/archive_listing.h"
#include "stage/content/attachment_name.h"
#include "stage/content/refusal.h"
#include "stage/content/zip_end_finder.h"
#include "stage/policy/content.h"

#include <optional>
#include <string>
#include <vector>

namespace ebbgate::content {

class attachment_judge final : private member_handler {
public:
    explicit attachment_judge(const policy::attachment_settings& settings,
                              listing_limits limits = {});
    attachment_judge(const attachment_judge&) = delete;
    attachment_judge& operator=(const attachment_judge&) = delete;

    // A leaf part, or the header of a container (then without content).
    void begin(const part_description& part);

    [[nodiscard]] bool wants_content() const noexcept { return wants_content_; }

    // Bytes that are not wanted are not looked at.
    void feed(byte_view decoded) {
        if (wants_content_) {
            take(decoded);
        }
    }

    void end();

    // Of the structure of the message: two boundaries, uuencoded files and the like. `name` may be
    // empty. Refused unless the policy allows what is ambiguous.
    void note_ambiguous(byte_view name, std::string detail);

    [[nodiscard]] const std::optional<attachment_refusal>& refusal() const noexcept {
        return refusal_;
    }

private:
    enum class member_rule : std::uint8_t { none, listed, no_programs };

    void member(byte_view name, bool encrypted) override;
    void take(byte_view decoded);
    void judge_first_block();
    void judge_kind(file_kind kind);
    void choose_listing(file_kind kind);
    void judge_listing();
    void judge_single_file();
    void refuse(attachment_fault fault, std::string detail);
    void refuse_if_strict(std::string detail);
    [[nodiscard]] bool has_extension(std::string_view extension) const noexcept;

    const policy::attachment_settings& settings_;
    listing_limits limits_;
    std::optional<attachment_refusal> refusal_;

    std::string name_;
    std::vector<std::string> extensions_;
    std::string first_block_;
    std::optional<archive_listing> listing_;
    std::optional<zip_end_finder> end_finder_;
    member_rule rule_ = member_rule::none;
    bool first_block_judged_ = false;
    bool wants_content_ = false;
};

} // namespace ebbgate::content
