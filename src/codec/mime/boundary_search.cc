#include "ebbgate/mime/boundary_search.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ebbgate::mime {
namespace {

constexpr byte_view wanted = "\n--";

std::size_t find_by_line(byte_view text, std::size_t from) noexcept {
    while (text.size() - from >= wanted.size()) {
        const void* found =
            std::memchr(text.data() + from, '\n', text.size() - from - (wanted.size() - 1));
        if (found == nullptr) {
            break;
        }
        from = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
        if (text[from + 1] == '-' && text[from + 2] == '-') {
            return from;
        }
        ++from;
    }
    return byte_view::npos;
}

#if defined(__x86_64__)

// Each step reads its vector and the two bytes behind it, so it ends that much before the end.
// Lines that start with a dash are rare: one test for four vectors.
constexpr std::size_t behind = wanted.size() - 1;

__attribute__((target("avx2"))) inline __m256i load(const char* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

__attribute__((target("avx2"))) inline __m256i match_avx2(const char* at) noexcept {
    const __m256i dash = _mm256_set1_epi8('-');
    const __m256i line_end = _mm256_cmpeq_epi8(load(at), _mm256_set1_epi8('\n'));
    const __m256i first = _mm256_cmpeq_epi8(load(at + 1), dash);
    const __m256i second = _mm256_cmpeq_epi8(load(at + 2), dash);
    return _mm256_and_si256(line_end, _mm256_and_si256(first, second));
}

__attribute__((target("avx2"))) std::size_t find_avx2(byte_view text) noexcept {
    constexpr std::size_t width = 32;
    const char* const data = text.data();
    std::size_t at = 0;
    for (; at + 4 * width + behind <= text.size(); at += 4 * width) {
        const __m256i a = match_avx2(data + at);
        const __m256i b = match_avx2(data + at + width);
        const __m256i c = match_avx2(data + at + 2 * width);
        const __m256i d = match_avx2(data + at + 3 * width);
        const __m256i any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        if (_mm256_testz_si256(any, any) == 0) {
            break; // The loop below finds it.
        }
    }
    for (; at + width + behind <= text.size(); at += width) {
        const auto found = static_cast<unsigned>(_mm256_movemask_epi8(match_avx2(data + at)));
        if (found != 0) {
            return at + static_cast<std::size_t>(std::countr_zero(found));
        }
    }
    return find_by_line(text, at);
}

__attribute__((target("avx512f,avx512bw"))) inline std::uint64_t
match_avx512(const char* at) noexcept {
    const __m512i dash = _mm512_set1_epi8('-');
    const auto first = _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(at + 1), dash);
    const auto second = _mm512_mask_cmpeq_epi8_mask(first, _mm512_loadu_si512(at + 2), dash);
    return _mm512_mask_cmpeq_epi8_mask(second, _mm512_loadu_si512(at), _mm512_set1_epi8('\n'));
}

__attribute__((target("avx512f,avx512bw"))) std::size_t find_avx512(byte_view text) noexcept {
    constexpr std::size_t width = 64;
    const char* const data = text.data();
    std::size_t at = 0;
    for (; at + 2 * width + behind <= text.size(); at += 2 * width) {
        if ((match_avx512(data + at) | match_avx512(data + at + width)) != 0) {
            break;
        }
    }
    for (; at + width + behind <= text.size(); at += width) {
        if (const std::uint64_t found = match_avx512(data + at); found != 0) {
            return at + static_cast<std::size_t>(std::countr_zero(found));
        }
    }
    return find_by_line(text, at);
}

#endif

vector_unit best_unit() noexcept {
    if (machine_has(vector_unit::avx512)) {
        return vector_unit::avx512;
    }
    return machine_has(vector_unit::avx2) ? vector_unit::avx2 : vector_unit::none;
}

} // namespace

bool machine_has(vector_unit unit) noexcept {
#if defined(__x86_64__)
    switch (unit) {
    case vector_unit::none:
        return true;
    case vector_unit::avx2:
        return __builtin_cpu_supports("avx2") != 0;
    case vector_unit::avx512:
        return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
    }
    return false;
#else
    return unit == vector_unit::none;
#endif
}

std::size_t find_dash_line(byte_view text, vector_unit unit) noexcept {
#if defined(__x86_64__)
    switch (unit) {
    case vector_unit::none:
        break;
    case vector_unit::avx2:
        return find_avx2(text);
    case vector_unit::avx512:
        return find_avx512(text);
    }
#endif
    return find_by_line(text, 0);
}

std::size_t find_dash_line(byte_view text) noexcept {
    static const vector_unit best = best_unit();
    return find_dash_line(text, best);
}

} // namespace ebbgate::mime
