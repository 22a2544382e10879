// Digests and Ed25519 against the standards' vectors; RSA against itself, one by one and by
// vectors; and keys with one number wrong, as a faulty machine would make them.

#include "crypto/base64.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/pem.h"
#include "crypto/rsa_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::crypto {
namespace {

std::string hex(byte_view bytes) {
    static constexpr byte_view digits = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) {
        out += digits[static_cast<unsigned char>(c) >> 4U];
        out += digits[static_cast<unsigned char>(c) & 15U];
    }
    return out;
}

const rsa_private_key& key_of(std::size_t bits) {
    static const rsa_private_key small = rsa_private_key::generate(1024);
    static const rsa_private_key usual = rsa_private_key::generate(2048);
    static const rsa_private_key other = rsa_private_key::generate(3072);
    return bits == 1024 ? small : bits == 2048 ? usual : other;
}

// The PKCS#1 encoding of `key`, with the last byte of one INTEGER changed: 4 is the first prime,
// 6 its exponent, 8 the coefficient.
std::string with_wrong_number(const rsa_private_key& key, int which) {
    std::string der(key.der().view());
    const auto length_at = [&](std::size_t& at) {
        const auto first = static_cast<unsigned char>(der[at++]);
        if (first < 0x80) {
            return std::size_t{first};
        }
        std::size_t length = 0;
        for (unsigned i = 0; i < (first & 0x7fU); ++i) {
            length = length << 8U | static_cast<unsigned char>(der[at++]);
        }
        return length;
    };
    std::size_t at = 1;
    (void)length_at(at); // The sequence; then its integers.
    for (int number = 0;; ++number) {
        EXPECT_EQ(der[at], '\x02');
        ++at;
        const std::size_t length = length_at(at);
        at += length;
        if (number == which) {
            der[at - 1] = static_cast<char>(der[at - 1] ^ 0x04);
            return der;
        }
    }
}

TEST(hash, knows_the_vectors_of_its_standard) {
    EXPECT_EQ(hex(hash_of("abc").view()),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(hash_of("").view()),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(hash_of("abc", hash_kind::sha1).view()),
              "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(hash, is_the_same_in_pieces_and_begins_again) {
    const std::string text(1000, 'x');
    hash pieces;
    for (int round = 0; round < 2; ++round) {
        for (std::size_t at = 0, step = 1; at < text.size(); at += step, step = step % 97 + 1) {
            pieces.update(byte_view(text).substr(at, step));
        }
        EXPECT_EQ(pieces.finish(), hash_of(text));
    }
}

TEST(base64, goes_both_ways_and_is_strict) {
    for (const std::string& bytes : {std::string(),
                                     std::string("f"),
                                     std::string("fo"),
                                     std::string("foo"),
                                     std::string("\x00\xff\x10", 3),
                                     std::string(1000, 'q')}) {
        EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    }
    std::string bytes;
    for (int length = 0; length < 300; ++length) {
        EXPECT_EQ(from_base64(to_base64(bytes)), bytes) << length;
        bytes += static_cast<char>(length);
    }
    EXPECT_EQ(to_base64("foob"), "Zm9vYg==");
    EXPECT_EQ(to_base64("Ebbgate"), "RWJiZ2F0ZQ==");
    for (const byte_view bad : {"Zm9vYg",
                                "Zm9vYg=",
                                "Zm9vYh==",
                                "Zm9v Yg==",
                                "Zm9vYg==\n",
                                "Zm=v",
                                "====",
                                "Zm9v====",
                                "Zm9*",
                                "Zm9vYg==Zm9v",
                                "=",
                                "A",
                                "AB",
                                "ABC",
                                "AB*=",
                                "AB==CD==",
                                "A B="}) {
        EXPECT_FALSE(from_base64(bad)) << bad;
    }
}

TEST(ed25519, signs_as_rfc_8032_does) {
    // RFC 8032 section 7.1, tests 1 and 2.
    const auto first = ed25519_private_key::from_seed(
        from_base64("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").value());
    ASSERT_TRUE(first);
    EXPECT_EQ(hex(first->public_key()),
              "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    EXPECT_EQ(hex(first->sign("").value()),
              "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
              "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST(ed25519, refuses_what_was_changed) {
    const ed25519_private_key key = ed25519_private_key::generate();
    const std::string signature = key.sign("message").value();
    EXPECT_TRUE(ed25519_verify(key.public_key(), "message", signature));
    EXPECT_FALSE(ed25519_verify(key.public_key(), "massage", signature));
    for (std::size_t at = 0; at < signature.size(); ++at) {
        std::string changed = signature;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        EXPECT_FALSE(ed25519_verify(key.public_key(), "message", changed)) << at;
    }
    EXPECT_FALSE(ed25519_verify(key.public_key(), "message", signature.substr(1)));
    EXPECT_FALSE(ed25519_verify(key.public_key().substr(1), "message", signature));
    EXPECT_FALSE(is_ed25519_public_key(std::string(32, '\xff')));
    EXPECT_FALSE(is_ed25519_public_key("short"));
}

TEST(rsa, signs_and_verifies) {
    for (const std::size_t bits : {1024U, 2048U, 3072U}) {
        const rsa_private_key& key = key_of(bits);
        const digest wanted = hash_of("a message");
        const auto signature = key.sign(wanted);
        ASSERT_TRUE(signature);
        EXPECT_EQ(signature->size(), bits / 8);
        const auto published = rsa_public_key::decode(key.public_der());
        ASSERT_TRUE(published);
        EXPECT_EQ(published->bits(), bits);
        EXPECT_TRUE(published->verify(wanted, *signature));
        EXPECT_FALSE(published->verify(hash_of("another"), *signature));
        EXPECT_FALSE(published->verify(wanted, byte_view(*signature).substr(1)));
        EXPECT_FALSE(published->verify(wanted, *signature + '\0'));
        EXPECT_FALSE(published->verify(hash_of("a message", hash_kind::sha1), *signature));
        std::string changed = *signature;
        changed.back() = static_cast<char>(changed.back() ^ 1);
        EXPECT_FALSE(published->verify(wanted, changed));
    }
}

TEST(rsa, refuses_what_is_no_public_key) {
    const std::string der = key_of(2048).public_der();
    ASSERT_TRUE(rsa_public_key::decode(der));
    for (std::size_t size = 0; size < der.size(); ++size) {
        EXPECT_FALSE(rsa_public_key::decode(byte_view(der).substr(0, size))) << size;
    }
    EXPECT_FALSE(rsa_public_key::decode(der + 'x'));
    EXPECT_FALSE(rsa_public_key::decode(std::string(100, '\x30')));
}

TEST(rsa, pads_as_rfc_8017_says) {
    const std::string padded = padded_digest(hash_of("abc"), 256);
    ASSERT_EQ(padded.size(), 256U);
    EXPECT_TRUE(padded.starts_with(std::string("\x00\x01\xff", 3)));
    EXPECT_EQ(padded.substr(256 - 52),
              std::string("\0", 1) +
                  std::string("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05"
                              "\x00\x04\x20",
                              19) +
                  std::string(hash_of("abc").view()));
}

class rsa_batch : public testing::TestWithParam<rsa_engine> {
protected:
    void SetUp() override {
        if (GetParam() == rsa_engine::vectors && !has_rsa_vectors()) {
            GTEST_SKIP() << "the CPU has no AVX-512 IFMA, or crypto_mb is not there";
        }
    }
};

TEST_P(rsa_batch, signs_any_number_with_keys_of_any_size) {
    const std::array<const rsa_private_key*, 3> keys = {
        &key_of(2048), &key_of(3072), &key_of(1024)};
    for (std::size_t count = 0; count <= rsa_batch_max; ++count) {
        std::vector<rsa_request> requests(count);
        for (std::size_t i = 0; i < count; ++i) {
            requests[i].key = keys[i % keys.size()];
            requests[i].digest = hash_of(std::to_string(i));
        }
        rsa_sign(requests, GetParam());
        for (std::size_t i = 0; i < count; ++i) {
            // The padding is deterministic: both engines make the same bytes.
            EXPECT_EQ(requests[i].signature, requests[i].key->sign(requests[i].digest).value());
        }
    }
}

TEST_P(rsa_batch, a_wrong_signature_is_never_returned_and_spoils_no_other) {
    for (const int number : {4, 6, 7, 8}) { // p, dP, dQ, qInv.
        const auto wrong = rsa_private_key::decode(with_wrong_number(key_of(2048), number));
        ASSERT_TRUE(wrong);
        EXPECT_FALSE(wrong->is_consistent());
        std::vector<rsa_request> requests(rsa_batch_max);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            requests[i].key = i == 3 ? &*wrong : &key_of(2048);
            requests[i].digest = hash_of(std::to_string(i));
            requests[i].signature = "left over";
        }
        rsa_sign(requests, GetParam());
        for (std::size_t i = 0; i < requests.size(); ++i) {
            EXPECT_EQ(requests[i].signature.empty(), i == 3) << number << ' ' << i;
        }
    }
}

TEST_P(rsa_batch, threads_share_keys) {
    std::vector<std::thread> threads;
    std::array<int, 4> good{};
    for (int& count : good) {
        threads.emplace_back([&count] {
            for (int round = 0; round < 4; ++round) {
                std::vector<rsa_request> requests(5);
                for (rsa_request& one : requests) {
                    one.key = &key_of(2048);
                    one.digest = hash_of("shared");
                }
                rsa_sign(requests, GetParam());
                for (const rsa_request& one : requests) {
                    count += one.signature.empty() ? 0 : 1;
                }
            }
        });
    }
    for (std::thread& one : threads) {
        one.join();
    }
    EXPECT_EQ(good, (std::array<int, 4>{20, 20, 20, 20}));
}

INSTANTIATE_TEST_SUITE_P(engines,
                         rsa_batch,
                         testing::Values(rsa_engine::automatic,
                                         rsa_engine::one_by_one,
                                         rsa_engine::vectors));

TEST(pem, keys_come_back) {
    const secret_bytes rsa = private_key_to_pem(key_of(2048));
    const auto rsa_again = private_key_from_pem(rsa.view());
    ASSERT_TRUE(rsa_again);
    EXPECT_EQ(std::get<rsa_private_key>(*rsa_again).public_der(), key_of(2048).public_der());
    const ed25519_private_key key = ed25519_private_key::generate();
    const auto key_again = private_key_from_pem(private_key_to_pem(key).view());
    ASSERT_TRUE(key_again);
    EXPECT_EQ(std::get<ed25519_private_key>(*key_again).public_key(), key.public_key());
}

TEST(pem, a_cut_file_is_no_key) {
    const secret_bytes pem = private_key_to_pem(key_of(1024));
    for (std::size_t size = 0; size + 30 < pem.size(); size += 7) {
        EXPECT_FALSE(private_key_from_pem(pem.view().substr(0, size))) << size;
    }
    EXPECT_FALSE(private_key_from_pem("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    EXPECT_FALSE(private_key_from_pem(std::string(100'000, '-')));
}

} // namespace
} // namespace ebbgate::crypto
