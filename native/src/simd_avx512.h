// Vectors of sixteen floats: AVX-512 (F, BW, VL, DQ), with the instructions for matrix products (VNNI).

#pragma once

#ifndef __clang__ // GCC 12 warns of these headers' own undefined vectors, wherever they are inlined (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace lavra::LAVRA_ISA {

constexpr int kLanes = 16;        // floats of a register
constexpr int kAccumulators = 24; // Vecs that registers hold beside those that are read
constexpr int kTileRows = 12;     // rows of attention that share a load: 3, 6 or 12

typedef __m512 Part;
typedef int32_t Bits __attribute__((vector_size(64)));

static inline Part broadcast(float x) { return _mm512_set1_ps(x); }
static inline Part fma(Part a, Part b, Part c) { return _mm512_fmadd_ps(a, b, c); }
// The second argument where one of them is not a number.
static inline Part larger(Part a, Part b) { return _mm512_max_ps(a, b); }
static inline Part smaller(Part a, Part b) { return _mm512_min_ps(a, b); }

static inline Part widen(const uint16_t *x) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(x)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline Part widen(const int8_t *x) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(x))));
}

// a0 b0 a1 b1 ...: the first half, the second half.
static inline void zip(Part a, Part b, Part &low, Part &high) {
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    low = _mm512_permutex2var_ps(a, first, b);
    high = _mm512_permutex2var_ps(a, _mm512_add_epi32(first, _mm512_set1_epi32(8)), b);
}

static inline Part nearest(Part x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline Part times_power_of_two(Part x, Part n) { return _mm512_scalef_ps(x, n); }

static inline float sum_of(Part x) { return _mm512_reduce_add_ps(x); }
static inline float largest_of(Part x) { return _mm512_reduce_max_ps(x); }

} // namespace lavra::LAVRA_ISA

#include "vec.h"
