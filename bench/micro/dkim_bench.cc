// What does canonicalisation add to SHA-256, per form and kind of body? How many signatures a
// second, one by one and by eights? And what does signing cost a whole message?

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"

#include "crypto/hash.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

constexpr std::size_t chunk_bytes = 16 * kib; // What one receive brings.

enum body_kind : std::int64_t { text, flowed, base64 };

std::string body_of(std::int64_t kind, std::size_t bytes) {
    const std::string line =
        kind == base64 ? std::string(76, 'Q') + "\r\n"
        : kind == text
            ? "Lines of plain text as people and programs write them, seventy-six bytes.\r\n"
            : "Lines that end with a blank, as format=flowed has them, all of the time. \r\n";
    std::string body;
    while (body.size() < bytes) {
        body += line;
    }
    return body;
}

void sha256_alone(benchmark::State& state) {
    const std::string body = body_of(text, mib);
    for (auto _ : state) {
        crypto::hash hash;
        for (std::size_t at = 0; at < body.size(); at += chunk_bytes) {
            hash.update(byte_view(body).substr(at, chunk_bytes));
        }
        benchmark::DoNotOptimize(hash.finish());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

class discarder final : public dkim::body_canonicalizer {
public:
    using body_canonicalizer::body_canonicalizer;
    std::size_t bytes = 0;

private:
    void take(byte_view some) override { bytes += some.size(); }
};

void canonicalize_alone(benchmark::State& state) {
    const std::string body = body_of(state.range(1), mib);
    discarder sink(static_cast<dkim::canonicalization>(state.range(0)));
    for (auto _ : state) {
        for (std::size_t at = 0; at < body.size(); at += chunk_bytes) {
            sink.feed(byte_view(body).substr(at, chunk_bytes));
        }
        sink.finish();
        sink.clear();
        benchmark::DoNotOptimize(sink.bytes);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

void canonicalize_and_hash(benchmark::State& state) {
    const std::string body = body_of(state.range(1), mib);
    dkim::body_hasher hasher(static_cast<dkim::canonicalization>(state.range(0)));
    for (auto _ : state) {
        for (std::size_t at = 0; at < body.size(); at += chunk_bytes) {
            hasher.feed(byte_view(body).substr(at, chunk_bytes));
        }
        benchmark::DoNotOptimize(hasher.digest());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

const dkim::key_pointer& key_of(std::int64_t bits) {
    static const dkim::key_pointer rsa2048 = dkim::generate_key(dkim::key_type::rsa, 2048);
    static const dkim::key_pointer rsa3072 = dkim::generate_key(dkim::key_type::rsa, 3072);
    static const dkim::key_pointer rsa4096 = dkim::generate_key(dkim::key_type::rsa, 4096);
    static const dkim::key_pointer ed25519 = dkim::generate_key(dkim::key_type::ed25519);
    return bits == 2048 ? rsa2048 : bits == 3072 ? rsa3072 : bits == 4096 ? rsa4096 : ed25519;
}

void sign_batch(benchmark::State& state, dkim::signing_engine engine) {
    if (engine == dkim::signing_engine::vectors && !dkim::has_vectors()) {
        state.SkipWithError("no AVX-512 IFMA here");
        return;
    }
    std::vector<dkim::prepared_signature> prepared(static_cast<std::size_t>(state.range(1)));
    std::vector<dkim::prepared_signature*> batch;
    for (dkim::prepared_signature& one : prepared) {
        one.key = key_of(state.range(0));
        batch.push_back(&one);
    }
    for (auto _ : state) {
        dkim::sign(batch, engine);
        if (prepared.back().signature.empty()) {
            std::abort(); // The figure would be of something else.
        }
    }
    state.SetItemsProcessed(state.iterations() * state.range(1));
}

const std::vector<byte_view>& fields() {
    static const std::vector<byte_view> some = {
        "Received: from client.acme.example ([192.0.2.1]) by gateway.acme.example\r\n",
        "Message-ID: <0102018f2c3a4b5c-6d7e8f90-1234-5678-9abc-def012345678@acme.example>\r\n",
        "Date: Tue, 24 Nov 2026 15:56:53 +0000\r\n",
        "Subject: Your order 4711 is on its way\r\n",
        "From: \"Acme Shop\" <orders@acme.example>\r\n",
        "To: Jane Doe <jane.doe@customer.example>\r\n",
        "Reply-To: support@acme.example\r\n",
        "List-Unsubscribe: <https://acme.example/unsubscribe/0123456789abcdef>\r\n",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "MIME-Version: 1.0\r\n",
        "Content-Type: multipart/alternative;\r\n boundary=\"----=_Part_0123456789\"\r\n"};
    return some;
}

dkim::signer signer_with(std::int64_t bits) {
    dkim::signing_settings settings;
    settings.domain = "acme.example";
    settings.selector = "s1";
    settings.key = key_of(bits);
    return dkim::signer::make(settings).value();
}

void prepare_and_complete(benchmark::State& state) {
    const dkim::signer made = signer_with(2048);
    for (auto _ : state) {
        dkim::prepared_signature prepared = made.prepare(fields(), {}, 1'800'000'000);
        prepared.signature.assign(256, 'x');
        benchmark::DoNotOptimize(prepared.field());
    }
}

// Eight messages of 4 KiB: hash, prepare, sign in one batch, complete.
void whole_messages(benchmark::State& state) {
    const dkim::signer made = signer_with(state.range(0));
    const std::string body = body_of(text, 4 * kib);
    dkim::body_hasher hasher(dkim::canonicalization::relaxed);
    std::vector<dkim::prepared_signature> prepared(dkim::batch_max);
    std::vector<dkim::prepared_signature*> batch;
    for (dkim::prepared_signature& one : prepared) {
        batch.push_back(&one);
    }
    for (auto _ : state) {
        for (dkim::prepared_signature& one : prepared) {
            hasher.feed(body);
            one = made.prepare(fields(), hasher.digest(), 1'800'000'000);
        }
        dkim::sign(batch);
        for (const dkim::prepared_signature& one : prepared) {
            benchmark::DoNotOptimize(one.field());
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(prepared.size()));
}

void verify_message(benchmark::State& state) {
    const dkim::signer made = signer_with(state.range(0));
    const std::string body = body_of(text, 4 * kib);
    dkim::body_hasher hasher(dkim::canonicalization::relaxed);
    hasher.feed(body);
    dkim::prepared_signature prepared = made.prepare(fields(), hasher.digest(), 1'800'000'000);
    dkim::prepared_signature* batch[] = {&prepared};
    dkim::sign(batch);
    const std::string field = prepared.field();
    std::vector<byte_view> all = {field};
    all.insert(all.end(), fields().begin(), fields().end());
    const std::vector<std::string> records = {record_text(*key_of(state.range(0)))};
    for (auto _ : state) {
        dkim::verifier judged;
        judged.take_header(all);
        judged.set_key(0, records);
        judged.feed_body(body);
        judged.finish_body();
        if (judged.verdict(0).outcome != dkim::outcome::pass) {
            std::abort();
        }
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(sha256_alone);
BENCHMARK(canonicalize_alone)
    ->ArgNames({"relaxed", "kind"})
    ->ArgsProduct({{0, 1}, {text, flowed, base64}});
BENCHMARK(canonicalize_and_hash)
    ->ArgNames({"relaxed", "kind"})
    ->ArgsProduct({{0, 1}, {text, flowed, base64}});
BENCHMARK_CAPTURE(sign_batch, one_by_one, dkim::signing_engine::one_by_one)
    ->ArgNames({"bits", "messages"})
    ->ArgsProduct({{2048, 3072, 4096, 25519}, {1}});
BENCHMARK_CAPTURE(sign_batch, vectors, dkim::signing_engine::vectors)
    ->ArgNames({"bits", "messages"})
    ->ArgsProduct({{2048, 3072, 4096}, {1, 2, 4, 8}});
BENCHMARK(prepare_and_complete);
BENCHMARK(whole_messages)->ArgName("bits")->Arg(2048)->Arg(25519);
BENCHMARK(verify_message)->ArgName("bits")->Arg(2048)->Arg(25519);

} // namespace

BENCHMARK_MAIN();
