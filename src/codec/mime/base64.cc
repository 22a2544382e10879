#include "codec/mime/base64.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ebbgate::mime {
namespace {

std::size_t decode_groups(byte_view text, std::size_t at, char* to) noexcept {
    for (; text.size() - at >= 4; at += 4) {
        const auto digit = [&](std::size_t i) {
            return std::uint32_t{base64_values[static_cast<unsigned char>(text[at + i])]};
        };
        const std::uint32_t a = digit(0);
        const std::uint32_t b = digit(1);
        const std::uint32_t c = digit(2);
        const std::uint32_t d = digit(3);
        if (((a | b | c | d) & 0xc0) != 0) { // A digit has six bits, no_digit has more.
            break;
        }
        const std::uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        char* const out = to + at / 4 * 3;
        out[0] = static_cast<char>(bits >> 16);
        out[1] = static_cast<char>(bits >> 8 & 0xff);
        out[2] = static_cast<char>(bits & 0xff);
    }
    return at;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) inline __m256i all(int c) noexcept {
    return _mm256_set1_epi8(static_cast<char>(c));
}

// 32 digits to 24 bytes at a time.
__attribute__((target("avx2"))) std::size_t decode_avx2(byte_view text, char* to) noexcept {
    constexpr std::size_t width = 32;
    // Within each half: three bytes of each four, the highest first.
    const __m256i order = _mm256_setr_epi8(2,
                                           1,
                                           0,
                                           6,
                                           5,
                                           4,
                                           10,
                                           9,
                                           8,
                                           14,
                                           13,
                                           12,
                                           -1,
                                           -1,
                                           -1,
                                           -1,
                                           2,
                                           1,
                                           0,
                                           6,
                                           5,
                                           4,
                                           10,
                                           9,
                                           8,
                                           14,
                                           13,
                                           12,
                                           -1,
                                           -1,
                                           -1,
                                           -1);
    const __m256i halves = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
    std::size_t at = 0;
    for (; text.size() - at >= width; at += width) {
        const __m256i in = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text.data() + at));
        // Signed compares: bytes from 128 are below all ranges.
        const __m256i upper = _mm256_and_si256(_mm256_cmpgt_epi8(in, all('A' - 1)),
                                               _mm256_cmpgt_epi8(all('Z' + 1), in));
        const __m256i lower = _mm256_and_si256(_mm256_cmpgt_epi8(in, all('a' - 1)),
                                               _mm256_cmpgt_epi8(all('z' + 1), in));
        const __m256i digit = _mm256_and_si256(_mm256_cmpgt_epi8(in, all('0' - 1)),
                                               _mm256_cmpgt_epi8(all('9' + 1), in));
        const __m256i plus = _mm256_cmpeq_epi8(in, all('+'));
        const __m256i slash = _mm256_cmpeq_epi8(in, all('/'));
        const __m256i known = _mm256_or_si256(_mm256_or_si256(_mm256_or_si256(upper, lower), digit),
                                              _mm256_or_si256(plus, slash));
        if (_mm256_movemask_epi8(known) != -1) {
            break;
        }
        const __m256i shift = _mm256_or_si256(
            _mm256_or_si256(_mm256_and_si256(upper, all(0 - 'A')),
                            _mm256_and_si256(lower, all(26 - 'a'))),
            _mm256_or_si256(_mm256_and_si256(digit, all(52 - '0')),
                            _mm256_or_si256(_mm256_and_si256(plus, all(62 - '+')),
                                            _mm256_and_si256(slash, all(63 - '/')))));
        const __m256i values = _mm256_add_epi8(in, shift);
        // a * 64 + b, then those * 4096 + the next.
        const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
        const __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
        const __m256i packed =
            _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(groups, order), halves);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at / 4 * 3), packed);
    }
    return at;
}

#endif

} // namespace

std::size_t decode_digits(byte_view text, char* to, vector_unit unit) noexcept {
    std::size_t at = 0;
#if defined(__x86_64__)
    if (unit != vector_unit::none) {
        at = decode_avx2(text, to);
    }
#else
    static_cast<void>(unit);
#endif
    return decode_groups(text, at, to);
}

std::size_t decode_digits(byte_view text, char* to) noexcept {
    static const vector_unit best =
        machine_has(vector_unit::avx2) ? vector_unit::avx2 : vector_unit::none;
    return decode_digits(text, to, best);
}

} // namespace ebbgate::mime
