// How many bytes a second does the whole content chain take on one core, with the attachment rule
// and a relaxed body hash, signing apart? And what does each of them add to passing bytes on?

#include "ebbgate/dkim/signer.h"

#include "crypto/hash.h"
#include "stage/content/chain.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t chunk_bytes = 16 * kib; // What one receive brings.

enum body_kind : std::int64_t { text, base64 };

std::string lines_of(std::int64_t kind, std::size_t bytes) {
    constexpr byte_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string body;
    std::uint32_t random = 1;
    while (body.size() < bytes) {
        for (int i = 0; i < 76 && kind == base64; ++i) {
            random = random * 1664525 + 1013904223;
            body += digits[random >> 26];
        }
        body +=
            kind == base64
                ? "\r\n"
                : "Lines of plain text as people and programs write them, seventy-six bytes.\r\n";
    }
    return body;
}

std::string message_of(std::int64_t kind, std::size_t bytes) {
    std::string message =
        "From: \"Acme Shop\" <orders@acme.example>\r\nTo: jane@customer.example\r\n"
        "Subject: Your order 4711 is on its way\r\nDate: Tue, 24 Nov 2026 15:56:53 +0000\r\n"
        "Message-ID: <4711@acme.example>\r\nMIME-Version: 1.0\r\n";
    if (kind == text) {
        return message + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + lines_of(kind, bytes);
    }
    return message +
           "Content-Type: multipart/mixed; boundary=\"----=_Part_0123456789\"\r\n\r\n"
           "------=_Part_0123456789\r\nContent-Type: text/plain\r\n\r\nsee there\r\n"
           "------=_Part_0123456789\r\nContent-Type: image/jpeg; name=\"a.jpg\"\r\n"
           "Content-Transfer-Encoding: base64\r\n\r\n" +
           lines_of(kind, bytes) + "------=_Part_0123456789--\r\n";
}

class owner final : public content::chain_owner {
public:
    explicit owner(bool signs) {
        if (signs) {
            dkim::signing_settings settings;
            settings.domain = "acme.example";
            settings.selector = "s1";
            settings.key = dkim::generate_key(dkim::key_type::rsa, 2048);
            signers_.push_back(dkim::signer::make(settings).value());
        }
    }

    bool header_complete(const mail::header_scanner& /*header*/) override { return true; }

    std::span<const dkim::signer> signers() override { return signers_; }

    void store(byte_view wire) override { stored_bytes += wire.size(); }

    void mark() override { marked_bytes_ = stored_bytes; }

    void rewind() override { stored_bytes = marked_bytes_; }

    void begin_file() override { hash_.emplace(); }

    // As a file that is staged is hashed: copying it is the disk's.
    void add_to_file(byte_view decoded) override { hash_->update(decoded); }

    void drop_file() override {}

    std::string end_file(const content::large_file& /*file*/) override {
        ++links;
        return "https://files.acme.example/files/0123456789012345678901234567890123456789.jpg";
    }

    std::size_t stored_bytes = 0;
    std::size_t links = 0;

private:
    std::vector<dkim::signer> signers_;
    std::optional<crypto::hash> hash_;
    std::size_t marked_bytes_ = 0;
};

// `larger_than`: of an attachment that becomes a link; 0: none does.
void whole(benchmark::State& state, bool judges, bool signs, std::uint64_t larger_than = 0) {
    const std::string message =
        message_of(state.range(0), static_cast<std::size_t>(state.range(1)));
    policy::attachment_settings attachments;
    attachments.allow = std::vector<std::string>{"jpg", "pdf", "txt"};
    policy::filelink_settings links;
    links.larger_than_bytes = larger_than;
    owner it(signs);
    for (auto _ : state) {
        content::chain passed(it,
                              {"ID",
                               "gate.example",
                               1'800'000'000,
                               judges ? &attachments : nullptr,
                               larger_than > 0 ? &links : nullptr,
                               "Acme"});
        for (std::size_t at = 0; at < message.size(); at += chunk_bytes) {
            passed.push(byte_view(message).substr(at, chunk_bytes));
        }
        passed.finish();
        if (passed.refused()) {
            std::abort(); // The figure would be of something else.
        }
        benchmark::DoNotOptimize(passed.to_sign(1'800'000'000));
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(message.size()));
    state.SetItemsProcessed(state.iterations());
}

void sha256_alone(benchmark::State& state) {
    const std::string message = message_of(text, mib);
    for (auto _ : state) {
        crypto::hash hash;
        for (std::size_t at = 0; at < message.size(); at += chunk_bytes) {
            hash.update(byte_view(message).substr(at, chunk_bytes));
        }
        benchmark::DoNotOptimize(hash.finish());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(message.size()));
}

void arguments(benchmark::internal::Benchmark* one) {
    one->ArgNames({"base64", "bytes"})->ArgsProduct({{text, base64}, {4000, 1'000'000}});
}

BENCHMARK(sha256_alone);
BENCHMARK_CAPTURE(whole, passes, false, false)->Apply(arguments);
BENCHMARK_CAPTURE(whole, judges, true, false)->Apply(arguments);
BENCHMARK_CAPTURE(whole, hashes, false, true)->Apply(arguments);
BENCHMARK_CAPTURE(whole, judges_and_hashes, true, true)->Apply(arguments);
BENCHMARK_CAPTURE(whole, all_and_what_stays, true, true, gib)->Apply(arguments);
BENCHMARK_CAPTURE(whole, all_and_a_link, true, true, kib)->Apply(arguments);

} // namespace

BENCHMARK_MAIN();
