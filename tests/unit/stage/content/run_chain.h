// Sends a message through the content chain in pieces, signs it, and judges what leaves.

#pragma once

#include "ebbgate/base/assert.h"
#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"
#include "ebbgate/smtp/data_decoder.h"

#include "stage/content/chain.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::content::testing_chain {

inline constexpr std::int64_t now = 1'800'000'000;

// Ed25519 with relaxed and simple bodies: both hashers run, and signing is cheap.
inline const std::vector<dkim::signer>& signers() {
    static const std::vector<dkim::signer> made = [] {
        const dkim::key_pointer key = dkim::generate_key(dkim::key_type::ed25519);
        std::vector<dkim::signer> list;
        for (const auto form : {dkim::canonicalization::relaxed, dkim::canonicalization::simple}) {
            dkim::signing_settings settings;
            settings.domain = "acme.example";
            settings.selector = form == dkim::canonicalization::simple ? "s" : "r";
            settings.header_form = settings.body_form = form;
            settings.key = key;
            list.push_back(*dkim::signer::make(settings));
        }
        return list;
    }();
    return made;
}

struct linked_file {
    large_file what;
    std::string content;
};

inline constexpr byte_view link_url = "https://files.acme.example/files/T.pdf";

struct run final : chain_owner {
    std::string left; // In wire form, without signatures.
    std::vector<dkim::prepared_signature> signatures;
    std::optional<chain::refusal> refused;
    std::vector<linked_file> links;
    std::size_t marked_bytes = 0;
    std::optional<std::string> file; // The content of the one that is open.

    bool header_complete(const mail::header_scanner& /*header*/) override { return true; }

    std::span<const dkim::signer> signers() override { return testing_chain::signers(); }

    void store(byte_view wire) override { left += wire; }

    void mark() override { marked_bytes = left.size(); }

    void rewind() override { left.resize(marked_bytes); }

    void begin_file() override {
        EBBGATE_ASSERT(!file);
        file.emplace();
    }

    void add_to_file(byte_view decoded) override { *file += decoded; }

    void drop_file() override {
        EBBGATE_ASSERT(file);
        file.reset();
    }

    std::string end_file(const large_file& what) override {
        EBBGATE_ASSERT(file && file->size() == what.bytes);
        links.push_back({what, *file});
        file.reset();
        return std::string(link_url);
    }
};

inline run run_chain(byte_view wire,
                     std::size_t piece_bytes,
                     const policy::attachment_settings* attachments = nullptr,
                     const policy::filelink_settings* filelink = nullptr) {
    run done;
    chain passed(done, {"ID", "gate.example", now, attachments, filelink, "Acme"});
    for (std::size_t at = 0; at < wire.size(); at += piece_bytes) {
        passed.push(wire.substr(at, piece_bytes));
    }
    passed.finish();
    done.refused = passed.refused();
    if (!done.refused) {
        done.signatures = passed.to_sign(now);
        std::vector<dkim::prepared_signature*> batch;
        for (dkim::prepared_signature& one : done.signatures) {
            batch.push_back(&one);
        }
        dkim::sign(batch);
    }
    return done;
}

inline std::string unstuffed(byte_view wire) {
    std::string text;
    smtp::dot_unstuffer unstuffer;
    while (!wire.empty()) {
        const smtp::stuffing_step step = unstuffer.next(wire);
        text += step.output;
        wire.remove_prefix(step.consumed_bytes);
    }
    return text;
}

// Any bytes as the session would give them: wire form, ended by CRLF. Nothing: it would refuse
// them.
inline std::optional<std::string> as_received(byte_view bytes) {
    const std::string wire = std::string(bytes) + "\r\n.\r\n";
    const smtp::data_step step = smtp::data_decoder().feed(wire);
    std::string message = std::string(step.carry) + std::string(step.message);
    return step.complete && !message.empty() ? std::optional(std::move(message)) : std::nullopt;
}

// Whether a next hop would take it, and no more and no less.
inline bool is_wire_form(const std::string& left) {
    const std::string sent = left + ".\r\n";
    const smtp::data_step step = smtp::data_decoder().feed(sent);
    return step.complete && !step.fault && step.consumed_bytes == sent.size();
}

// Whether each signature is good for the message as a receiver sees it.
inline bool verifies(const run& done) {
    const std::string record = dkim::record_text(*signers().front().settings().key);
    mail::header_scanner header;
    header.feed(done.left);
    header.finish();
    std::vector<std::string> added;
    for (const dkim::prepared_signature& one : done.signatures) {
        added.push_back(one.field());
    }
    std::vector<byte_view> fields(added.begin(), added.end());
    for (const byte_view field : dkim::raw_fields(header)) {
        fields.push_back(field);
    }
    dkim::verifier judge({.signatures_max = added.size()});
    judge.take_header(fields);
    judge.feed_body(unstuffed(byte_view(done.left).substr(header.header_wire_bytes())));
    judge.finish_body();
    for (std::size_t index = 0; index < judge.count(); ++index) {
        judge.set_key(index, std::vector<std::string>{record});
        if (judge.verdict(index).outcome != dkim::outcome::pass) {
            return false;
        }
    }
    return judge.count() == added.size();
}

} // namespace ebbgate::content::testing_chain
