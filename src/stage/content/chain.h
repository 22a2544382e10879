// The content of one message, in one pass: header repair, attachments, the hash that DKIM signs.
//
// Stage   4 of 8. After it: spool.
// Input   The message in wire form, in pieces of any size.
// Output  The message that leaves, in wire form: a repaired header, then the body as it came, in
//         the same pieces, or with links in place of large attachments. At the end what is to be
//         signed, or the refusal.
// Owner   One a message. Policy, signers and owner outlive it.
// Fails   With a refusal, at the latest at finish(); from then on nothing is given out.
// Bounds  The header (mail::header_limits), and those of its parts. No piece of a body is kept.
// Specs   docs/architecture.md; RFC 5322, RFC 6376.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/dkim/signer.h"
#include "ebbgate/mail/header_scanner.h"
#include "ebbgate/smtp/data_decoder.h"

#include "stage/content/attachment_scan.h"
#include "stage/content/filelink_rewriter.h"
#include "stage/content/header_repair.h"

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace ebbgate::content {

class chain_owner {
public:
    // The header as it came, complete. False: the owner refuses the message.
    virtual bool header_complete(const mail::header_scanner& header) = 0;
    // Who signs; asked once, after it.
    virtual std::span<const dkim::signer> signers() = 0;
    // The next piece of the message that leaves.
    virtual void store(byte_view wire) = 0;

    // Only where settings have `filelink`; see filelink_sink.
    virtual void mark() = 0;
    // What was stored since the last mark is not part of the message.
    virtual void rewind() = 0;
    virtual void begin_file() = 0;
    virtual void add_to_file(byte_view decoded) = 0;
    virtual void drop_file() = 0;
    // All of it is there. Returns its URL.
    virtual std::string end_file(const large_file& file) = 0;

protected:
    ~chain_owner() = default;
};

struct chain_settings {
    std::string id;       // For a Message-ID that is missing,
    std::string hostname; // behind its @.
    std::int64_t unix_s = 0;
    const policy::attachment_settings* attachments = nullptr; // Null: not judged.
    const policy::filelink_settings* filelink = nullptr;      // Null: all attachments stay.
    std::string_view company;                                 // For the text of a link.
};

class chain final : private filelink_sink {
public:
    struct refused_by_owner {};

    using refusal = std::variant<refused_by_owner, header_refusal, attachment_refusal>;

    chain(chain_owner& owner, chain_settings settings);
    chain(const chain&) = delete;
    chain& operator=(const chain&) = delete;

    void push(byte_view wire);
    // The message is over.
    void finish();

    // Set from when it is known.
    [[nodiscard]] const std::optional<refusal>& refused() const noexcept { return refusal_; }

    // After finish(), without a refusal: one for each signer.
    [[nodiscard]] std::vector<dkim::prepared_signature> to_sign(std::int64_t now_unix_s);

private:
    void complete_header();
    void open_body();
    void pass_body(byte_view wire);
    void look_at(byte_view text);
    void hash(byte_view text);
    [[nodiscard]] std::unique_ptr<dkim::body_hasher>& hasher_for(dkim::canonicalization form);

    // filelink_sink
    void keep(byte_view text) override;
    void begin_file() override;

    void add_to_file(byte_view decoded) override { owner_.add_to_file(decoded); }

    void drop_file() override { owner_.drop_file(); }

    void cut_file() override;

    std::string end_file(const large_file& file) override { return owner_.end_file(file); }

    void replace_header(byte_view content_fields) override;

    using hashers = std::array<std::unique_ptr<dkim::body_hasher>, 2>; // By canonicalization.

    // Of what was kept, when a part began that may be cut out.
    struct place {
        hashers hashed;
        smtp::bdat_stuffer stuffer;
    };

    chain_owner& owner_;
    chain_settings settings_;
    std::optional<refusal> refusal_;
    std::string wire_; // Until the header is complete.
    mail::header_scanner came_;
    std::unique_ptr<mail::header_scanner> repaired_; // Null: it leaves as it came.
    std::span<const dkim::signer> signers_;
    hashers hashers_;
    std::optional<attachment_scan> attachments_;
    std::unique_ptr<filelink_rewriter> filelink_;
    smtp::dot_unstuffer unstuffer_;
    smtp::bdat_stuffer stuffer_; // Of what filelink_ keeps.
    place marked_;
    bool in_body_ = false;
};

} // namespace ebbgate::content
