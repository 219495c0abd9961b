// Products with AVX2 and FMA: a strip of 16 outputs is two registers.  Sums of integers are integers_avx2.h's or
// integers_avxvnni.h's, one of which is included before this file.

namespace lavra::LAVRA_ISA {

constexpr int kInt8Offset = 128;
constexpr bool kFloatHalves = true;
constexpr int kFewRows = 2; // whose products are as fast as memory

} // namespace lavra::LAVRA_ISA

#include "packing.h"

#include "rounding.h"

#include "inputs.h"
#include "tiles.h"
#include "int4_bytes.h"

namespace lavra::LAVRA_ISA {

constexpr int kHalf = 8; // outputs in a register

static inline __m256 widened_8(const uint16_t *from) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

// Eight outputs from number `first` on.
static inline void write_half(const Product &product, int row, int first, __m256 sum) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(product.matrix.rows - first), lanes);
    float *to = product.out + row * product.stride + first;
    if (product.matrix.bias) sum = _mm256_add_ps(sum, _mm256_loadu_ps(product.matrix.bias + first));
    if (product.add) sum = _mm256_add_ps(_mm256_maskload_ps(to, mask), sum);
    _mm256_maskstore_ps(to, mask, sum);
}

template <int Rows, int Halves>
static inline void write_tile(const Product &product, int row, int strip, const __m256 (&sums)[Rows][Halves]) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (int h = 0; h < Halves; ++h) write_half(product, row + r, strip * kStrip + h * kHalf, sums[r][h]);
}

template <class Group> struct IntegerKernel {
    static constexpr int kRows = Group::kRows, kStrips = 1, kStripsOfFew = 2, kStripsOfOne = 4;

    template <int Rows, int Strips> static inline void run(const Product &product, int row, int strip, Share share) {
        constexpr int kHalves = 2 * Strips;
        const int groups = product.groups();
        const char *weights = product.weights(strip, Group::kBytes), *inputs = product.row(row);
        const uint16_t *scales = product.scales(strip);
        const size_t strip_bytes = static_cast<size_t>(groups) * Group::kBytes, row_bytes = product.inputs.row_bytes();
        const size_t strip_scales = static_cast<size_t>(groups) * kStrip;
        const float *input_scales = product.inputs.scales + static_cast<size_t>(row) * groups;
        const int32_t *starts = product.inputs.sums + static_cast<size_t>(row) * groups;
        Fetch<Rows, Strips, Group::kBytes> fetch(weights, strip_bytes, share);
        __m256 sums[Rows][kHalves];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < kHalves; ++h) sums[r][h] = _mm256_setzero_ps();
        for (int group = 0; group < groups; ++group) {
            __m256i integers[Rows][kHalves];
            fetch.group();
            Group::add(weights, strip_bytes, inputs, row_bytes, starts + group, groups, fetch, integers);
#pragma GCC unroll 8
            for (int h = 0; h < kHalves; ++h) {
                const __m256 scale = widened_8(scales + h / 2 * strip_scales + h % 2 * kHalf);
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(input_scales[r * groups + group]));
                    sums[r][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers[r][h]), both, sums[r][h]);
                }
            }
            weights += Group::kBytes, scales += kStrip, inputs += Group::kInputBytes;
        }
        write_tile(product, row, strip, sums);
    }
};

// Weights as floats of an even and an odd input, times inputs that were rounded to bfloat16: products are exact.
struct Bf16Weights {
    static constexpr int kBytes = 64; // of two inputs of a strip
    static inline __m256 load(const char *from, int odd) {
        const __m256i both = load_bytes(from);
        if (odd) return _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-65536)));
        return _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    }
    static inline int offset(int half, int) { return half * 32; }
};

struct F32Weights {
    static constexpr int kBytes = 128;
    static inline __m256 load(const char *from, int) { return _mm256_load_ps(reinterpret_cast<const float *>(from)); }
    static inline int offset(int half, int odd) { return odd * 64 + half * 32; }
};

template <class Weights> struct FloatKernel {
    static constexpr int kRows = 5, kStrips = 1, kStripsOfFew = 2, kStripsOfOne = 4;

    template <int Rows, int Strips> static inline void run(const Product &product, int row, int strip, Share share) {
        constexpr int kHalves = 2 * Strips;
        const int pairs = product.inputs.padded / 2;
        const char *weights = product.weights(strip, kGroup / 2 * Weights::kBytes);
        const size_t strip_bytes = static_cast<size_t>(pairs) * Weights::kBytes, padded = product.inputs.padded;
        const float *inputs = reinterpret_cast<const float *>(product.row(row));
        Fetch<Rows, Strips, kGroup / 2 * Weights::kBytes> fetch(weights, strip_bytes, share);
        __m256 sums[Rows][kHalves];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < kHalves; ++h) sums[r][h] = _mm256_setzero_ps();
        for (int pair = 0; pair < pairs; ++pair, weights += Weights::kBytes, inputs += 2) {
            if (pair % (kGroup / 2) == 0) fetch.group();
#pragma GCC unroll 2
            for (int odd = 0; odd < 2; ++odd) {
                __m256 w[kHalves];
#pragma GCC unroll 8
                for (int h = 0; h < kHalves; ++h) {
                    w[h] = Weights::load(weights + h / 2 * strip_bytes + Weights::offset(h % 2, odd), odd);
                    if (h % 2 == 0 && (!odd || Weights::kBytes == 128))
                        fetch.near(weights + h / 2 * strip_bytes + odd * 64);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m256 x = _mm256_broadcast_ss(inputs + r * padded + odd);
#pragma GCC unroll 8
                    for (int h = 0; h < kHalves; ++h) sums[r][h] = _mm256_fmadd_ps(x, w[h], sums[r][h]);
                }
            }
        }
        write_tile(product, row, strip, sums);
    }
};

static void multiply(const Matrix &matrix, const Inputs &inputs, float *out, size_t stride, bool add, int first,
                     int last) {
    const Product product{matrix, inputs, out, stride, add};
    switch (matrix.precision) {
    case Precision::f32: return run_product<FloatKernel<F32Weights>>(product, first, last);
    case Precision::bf16: return run_product<FloatKernel<Bf16Weights>>(product, first, last);
    case Precision::int8: return run_product<IntegerKernel<Int8Group>>(product, first, last);
    case Precision::int8_a16: return run_product<IntegerKernel<WideGroup>>(product, first, last);
    case Precision::int4:
        if constexpr (kWideInt8) return run_product<IntegerKernel<Int4Group>>(product, first, last);
        else return run_int4<IntegerKernel<Int4Group>, IntegerKernel<Int8Group>>(product, first, last);
    }
}

} // namespace lavra::LAVRA_ISA
