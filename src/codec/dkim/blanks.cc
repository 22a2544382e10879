#include "codec/dkim/blanks.h"

#include <bit>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ebbgate::dkim {
namespace {

const char* find_by_bytes(const char* at, const char* end) noexcept {
    for (; at != end; ++at) {
        if (*at == '\t' || (*at == ' ' && static_cast<unsigned char>(at[1]) <= ' ')) {
            return at;
        }
    }
    return end;
}

#if defined(__x86_64__)

// One bit a byte that is to be changed, of 16.
std::uint32_t changes_in_16(const char* from) noexcept {
    const __m128i space = _mm_set1_epi8(' ');
    const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 1));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(next, space), next);
    const __m128i blank = _mm_and_si128(_mm_cmpeq_epi8(here, space), low);
    const __m128i tab = _mm_cmpeq_epi8(here, _mm_set1_epi8('\t'));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_or_si128(blank, tab)));
}

const char* find_by_16(const char* at, const char* end) noexcept {
    for (; end - at >= 16; at += 16) {
        if (const std::uint32_t found = changes_in_16(at); found != 0) {
            return at + std::countr_zero(found);
        }
    }
    return find_by_bytes(at, end);
}

__attribute__((target("avx2"))) __m256i changes_in_32(const char* from) noexcept {
    const __m256i space = _mm256_set1_epi8(' ');
    const __m256i here = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m256i next = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 1));
    const __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(next, space), next);
    const __m256i blank = _mm256_and_si256(_mm256_cmpeq_epi8(here, space), low);
    return _mm256_or_si256(blank, _mm256_cmpeq_epi8(here, _mm256_set1_epi8('\t')));
}

__attribute__((target("avx2"))) const char* find_by_64(const char* at, const char* end) noexcept {
    for (; end - at >= 64; at += 64) {
        const __m256i first = changes_in_32(at);
        const __m256i second = changes_in_32(at + 32);
        if (!_mm256_testz_si256(_mm256_or_si256(first, second), _mm256_set1_epi8(-1))) {
            const std::uint64_t found =
                static_cast<std::uint32_t>(_mm256_movemask_epi8(first)) |
                std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(second))} << 32U;
            return at + std::countr_zero(found);
        }
    }
    return find_by_16(at, end);
}

#endif

} // namespace

const char* find_blank_to_change(const char* at, const char* end) noexcept {
#if defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
    return has_avx2 ? find_by_64(at, end) : find_by_16(at, end);
#else
    return find_by_bytes(at, end);
#endif
}

} // namespace ebbgate::dkim
