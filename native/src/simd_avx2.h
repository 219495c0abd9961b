// Vectors of eight floats: AVX2 with FMA.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace lavra::LAVRA_ISA {

constexpr int kLanes = 8;        // floats of a register
constexpr int kAccumulators = 6; // Vecs that registers hold beside those that are read
constexpr int kTileRows = 6;     // rows of attention that share a load: 3, 6 or 12

typedef __m256 Part;
typedef int32_t Bits __attribute__((vector_size(32)));

static inline Part broadcast(float x) { return _mm256_set1_ps(x); }
static inline Part fma(Part a, Part b, Part c) { return _mm256_fmadd_ps(a, b, c); }
// The second argument where one of them is not a number.
static inline Part larger(Part a, Part b) { return _mm256_max_ps(a, b); }
static inline Part smaller(Part a, Part b) { return _mm256_min_ps(a, b); }

static inline Part widen(const uint16_t *x) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(x)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline Part widen(const int8_t *x) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(x))));
}

// a0 b0 a1 b1 ...: the first half, the second half.
static inline void zip(Part a, Part b, Part &low, Part &high) {
    const Part even = _mm256_unpacklo_ps(a, b), odd = _mm256_unpackhi_ps(a, b);
    low = _mm256_permute2f128_ps(even, odd, 0x20);
    high = _mm256_permute2f128_ps(even, odd, 0x31);
}

static inline Part nearest(Part x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline Part times_power_of_two(Part x, Part n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

static inline float sum_of(Part x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
static inline float largest_of(Part x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_shuffle_ps(y, y, 1)));
}

// Of products.
static inline __m256i spread_word(const void *from) {
    int32_t word;
    __builtin_memcpy(&word, from, 4);
    return _mm256_set1_epi32(word);
}
static inline __m256i load_bytes(const char *from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(from));
}

} // namespace lavra::LAVRA_ISA

#include "vec.h"
