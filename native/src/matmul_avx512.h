// Products with AVX-512 and its dot products of bytes (VNNI): a strip of 16 outputs is one register.
//
// Weights of int8 are stored with 128 added, since vpdpbusd multiplies unsigned by signed bytes; a group's sum starts
// at -128 times the sum of its inputs (inputs.h), which undoes it exactly.

namespace lavra::LAVRA_ISA {

constexpr int kInt8Offset = 128;
constexpr bool kWideInt8 = false, kWideA16 = true, kFloatHalves = true;
constexpr int kFewRows = 3; // whose products are as fast as memory

} // namespace lavra::LAVRA_ISA

#include "packing.h"

namespace lavra::LAVRA_ISA {

// See rounding.h.
static inline float largest_of(const float *x) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512i low = _mm512_and_si512(_mm512_loadu_si512(x), magnitude);
    const __m512i high = _mm512_and_si512(_mm512_loadu_si512(x + 16), magnitude);
    return float_from(_mm512_reduce_max_epu32(_mm512_max_epu32(low, high)));
}

static inline void put(__m512i values, int8_t *to) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm512_cvtepi32_epi8(values));
}
static inline void put(__m512i values, int16_t *to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), _mm512_cvtepi32_epi16(values));
}

template <class Integer> static inline int32_t round_group(const float *x, float by, Integer *out) {
    const __m512 scale = _mm512_set1_ps(by);
    const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), scale));
    const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), scale));
    put(low, out), put(high, out + 16);
    return _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
}

} // namespace lavra::LAVRA_ISA

#include "inputs.h"
#include "tiles.h"
#include "int4_bytes.h"

namespace lavra::LAVRA_ISA {

static inline __m512i spread_word(const char *from) {
    int32_t word;
    __builtin_memcpy(&word, from, 4);
    return _mm512_set1_epi32(word);
}

static inline __m512 widened_16(const uint16_t *from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void write_strip(const Product &product, int row, int strip, __m512 sum) {
    const int left = product.matrix.rows - strip * kStrip;
    const __mmask16 mask = left >= kStrip ? 0xffff : static_cast<__mmask16>((1 << left) - 1);
    float *to = product.out + row * product.stride + strip * kStrip;
    if (product.matrix.bias) sum = _mm512_add_ps(sum, _mm512_loadu_ps(product.matrix.bias + strip * kStrip));
    if (product.add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum);
    _mm512_mask_storeu_ps(to, mask, sum);
}

template <int Rows, int Strips>
static inline void write_tile(const Product &product, int row, int strip, const __m512 (&sums)[Rows][Strips]) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (int s = 0; s < Strips; ++s) write_strip(product, row + r, strip + s, sums[r][s]);
}

// Four inputs of 16 outputs a register, and of int4 eight, in two halves.  A step multiplies 4 bytes of inputs.
struct Int8Weights {
    static constexpr int kBytes = kGroup * kStrip, kSteps = 8;
    static inline __m512i load(const char *group, int step) { return _mm512_load_si512(group + step * 64); }
    static inline __m512i dot(__m512i sum, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(sum, w, x); }
};

// int8 times inputs of 16 bits: a mask leaves inputs 0 and 2 of every four, a shift inputs 1 and 3 (put_wide).
struct WideWeights {
    static constexpr int kBytes = kGroup * kStrip, kSteps = 16;
    static inline __m512i load(const char *group, int step) {
        const __m512i four = _mm512_load_si512(group + step / 2 * 64);
        return step % 2 ? _mm512_srli_epi16(four, 8) : _mm512_and_si512(four, _mm512_set1_epi16(0xff));
    }
    static inline __m512i dot(__m512i sum, __m512i w, __m512i x) { return _mm512_dpwssd_epi32(sum, w, x); }
};

struct Int4Weights {
    static constexpr int kBytes = kGroup * kStrip / 2, kSteps = 8;
    static inline __m512i dot(__m512i sum, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(sum, w, x); }
    static inline __m512i load(const char *group, int step) {
        const __m512i both = _mm512_load_si512(group + step / 2 * 64);
        const __m512i half = step % 2 ? _mm512_srli_epi16(both, 4) : both;
        return _mm512_and_si512(half, _mm512_set1_epi8(15));
    }
};

template <class Weights> struct IntegerKernel {
    static constexpr int kRows = 8, kStrips = 2, kStripsOfFew = 4, kStripsOfOne = 8;
    static constexpr int kStepsOfLine = Weights::kSteps * 64 / Weights::kBytes;

    template <int Rows, int Strips> static inline void run(const Product &product, int row, int strip, Share share) {
        const int groups = product.groups();
        const char *weights = product.weights(strip, Weights::kBytes);
        const uint16_t *scales = product.scales(strip);
        const size_t strip_bytes = static_cast<size_t>(groups) * Weights::kBytes;
        const size_t strip_scales = static_cast<size_t>(groups) * kStrip;
        const char *inputs = product.row(row);
        const size_t row_bytes = product.inputs.row_bytes();
        const float *input_scales = product.inputs.scales + static_cast<size_t>(row) * groups;
        const int32_t *starts = product.inputs.sums + static_cast<size_t>(row) * groups;
        Fetch<Rows, Strips, Weights::kBytes> fetch(weights, strip_bytes, share);
        __m512 sums[Rows][Strips];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int s = 0; s < Strips; ++s) sums[r][s] = _mm512_setzero_ps();
        for (int group = 0; group < groups; ++group) {
            fetch.group();
            __m512i integers[Rows][Strips];
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                for (int s = 0; s < Strips; ++s) integers[r][s] = _mm512_set1_epi32(starts[r * groups + group]);
#pragma GCC unroll 8
            for (int step = 0; step < Weights::kSteps; ++step) {
                __m512i w[Strips];
#pragma GCC unroll 8
                for (int s = 0; s < Strips; ++s) {
                    w[s] = Weights::load(weights + s * strip_bytes, step);
                    if (step % kStepsOfLine == 0) fetch.near(weights + s * strip_bytes + step / kStepsOfLine * 64);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m512i x = spread_word(inputs + r * row_bytes + (group * Weights::kSteps + step) * 4);
#pragma GCC unroll 8
                    for (int s = 0; s < Strips; ++s) integers[r][s] = Weights::dot(integers[r][s], w[s], x);
                }
            }
#pragma GCC unroll 8
            for (int s = 0; s < Strips; ++s) {
                const __m512 scale = widened_16(scales + s * strip_scales);
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(input_scales[r * groups + group]));
                    sums[r][s] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integers[r][s]), both, sums[r][s]);
                }
            }
            weights += Weights::kBytes, scales += kStrip;
        }
        write_tile(product, row, strip, sums);
    }
};

// Weights as floats of an even and an odd input, times inputs that were rounded to bfloat16: products are exact.
// vdpbf16ps does both at once, but Intel's processors start one every two cycles: half the speed of two additions.
struct Bf16Weights {
    static constexpr int kBytes = 64; // of two inputs of a strip
    static inline __m512 load(const char *from, int odd) {
        const __m512i both = _mm512_load_si512(from);
        if (odd) return _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(-65536)));
        return _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    }
};

struct F32Weights {
    static constexpr int kBytes = 128;
    static inline __m512 load(const char *from, int odd) {
        return _mm512_load_ps(reinterpret_cast<const float *>(from) + odd * kStrip);
    }
};

template <class Weights> struct FloatKernel {
    static constexpr int kRows = 8, kStrips = 3, kStripsOfFew = 8, kStripsOfOne = 8;

    template <int Rows, int Strips> static inline void run(const Product &product, int row, int strip, Share share) {
        const int pairs = product.inputs.padded / 2;
        const char *weights = product.weights(strip, kGroup / 2 * Weights::kBytes);
        const size_t strip_bytes = static_cast<size_t>(pairs) * Weights::kBytes, padded = product.inputs.padded;
        const float *inputs = reinterpret_cast<const float *>(product.row(row));
        Fetch<Rows, Strips, kGroup / 2 * Weights::kBytes> fetch(weights, strip_bytes, share);
        __m512 sums[Rows][Strips];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int s = 0; s < Strips; ++s) sums[r][s] = _mm512_setzero_ps();
        for (int pair = 0; pair < pairs; ++pair, weights += Weights::kBytes, inputs += 2) {
            if (pair % (kGroup / 2) == 0) fetch.group();
#pragma GCC unroll 2
            for (int odd = 0; odd < 2; ++odd) {
                __m512 w[Strips];
#pragma GCC unroll 8
                for (int s = 0; s < Strips; ++s) {
                    w[s] = Weights::load(weights + s * strip_bytes, odd);
                    if (!odd || Weights::kBytes == 128) fetch.near(weights + s * strip_bytes + odd * 64);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m512 x = _mm512_set1_ps(inputs[r * padded + odd]);
#pragma GCC unroll 8
                    for (int s = 0; s < Strips; ++s) sums[r][s] = _mm512_fmadd_ps(x, w[s], sums[r][s]);
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
    case Precision::int8: return run_product<IntegerKernel<Int8Weights>>(product, first, last);
    case Precision::int8_a16: return run_product<IntegerKernel<WideWeights>>(product, first, last);
    case Precision::int4:
        return run_int4<IntegerKernel<Int4Weights>, IntegerKernel<Int8Weights>>(product, first, last);
    }
}

} // namespace lavra::LAVRA_ISA
