// Products with NEON and its dot products of bytes: a strip of 16 outputs is four registers.

#include <arm_neon.h>

namespace lavra::LAVRA_ISA {

constexpr int kInt8Offset = 0;
constexpr bool kWideInt8 = false, kWideA16 = false, kFloatHalves = true;
constexpr int kFewRows = 2; // whose products are as fast as memory

} // namespace lavra::LAVRA_ISA

#include "packing.h"

#include "rounding.h"

#include "inputs.h"
#include "tiles.h"

namespace lavra::LAVRA_ISA {

constexpr int kQuarter = 4; // outputs in a register

static inline float32x4_t widened_4(const uint16_t *from) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from), 16));
}

static inline int8x16_t spread_word(const int8_t *from) {
    int32_t word;
    __builtin_memcpy(&word, from, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

// Four outputs from number `first` on.
static inline void write_quarter(const Product &product, int row, int first, float32x4_t sum) {
    float *to = product.out + row * product.stride + first;
    const int left = product.matrix.rows - first, count = left < kQuarter ? left : kQuarter;
    if (count <= 0) return;
    if (product.matrix.bias) sum = vaddq_f32(sum, vld1q_f32(product.matrix.bias + first));
    float sums[kQuarter];
    vst1q_f32(sums, sum);
    for (int i = 0; i < count; ++i) to[i] = product.add ? to[i] + sums[i] : sums[i];
}

template <int Rows, int Quarters>
static inline void write_tile(const Product &product, int row, int strip, const float32x4_t (&sums)[Rows][Quarters]) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (int q = 0; q < Quarters; ++q)
            write_quarter(product, row + r, strip * kStrip + q * kQuarter, sums[r][q]);
}

// Four inputs of four outputs, the `step`th of a group, from the group's start and the register's offset.
struct Int8Weights {
    static constexpr int kBytes = kGroup * kStrip;
    static inline int8x16_t load(const char *group, int step, int quarter) {
        return vld1q_s8(reinterpret_cast<const int8_t *>(group) + step * 64 + quarter * 16);
    }
};

struct Int4Weights {
    static constexpr int kBytes = kGroup * kStrip / 2;
    static inline int8x16_t load(const char *group, int step, int quarter) {
        const uint8x16_t both = vld1q_u8(reinterpret_cast<const uint8_t *>(group) + step / 2 * 64 + quarter * 16);
        return vreinterpretq_s8_u8(step % 2 ? vshrq_n_u8(both, 4) : vandq_u8(both, vdupq_n_u8(15)));
    }
};

template <class Weights> struct IntegerKernel {
    static constexpr int kRows = 4, kStrips = 1, kStripsOfFew = 1, kStripsOfOne = 2;

    template <int Rows, int Strips> static inline void run(const Product &product, int row, int strip, Share share) {
        constexpr int kQuarters = 4 * Strips;
        const int groups = product.groups();
        const char *weights = product.weights(strip, Weights::kBytes);
        const uint16_t *scales = product.scales(strip);
        const size_t strip_bytes = static_cast<size_t>(groups) * Weights::kBytes;
        const size_t row_bytes = product.inputs.row_bytes();
        const size_t strip_scales = static_cast<size_t>(groups) * kStrip;
        const int8_t *inputs = reinterpret_cast<const int8_t *>(product.row(row));
        const float *input_scales = product.inputs.scales + static_cast<size_t>(row) * groups;
        const int32_t *starts = product.inputs.sums + static_cast<size_t>(row) * groups;
        Fetch<Rows, Strips, Weights::kBytes> fetch(weights, strip_bytes, share);
        float32x4_t sums[Rows][kQuarters];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int q = 0; q < kQuarters; ++q) sums[r][q] = vdupq_n_f32(0);
        for (int group = 0; group < groups; ++group) {
            fetch.group();
            int32x4_t integers[Rows][kQuarters];
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                for (int q = 0; q < kQuarters; ++q) integers[r][q] = vdupq_n_s32(starts[r * groups + group]);
#pragma GCC unroll 8
            for (int step = 0; step < 8; ++step) {
                int8x16_t w[kQuarters];
#pragma GCC unroll 8
                for (int q = 0; q < kQuarters; ++q) {
                    w[q] = Weights::load(weights + q / 4 * strip_bytes, step, q % 4);
                    if (q % 4 == 0 && (Weights::kBytes == 512 || step % 2 == 0))
                        fetch.near(weights + q / 4 * strip_bytes + step * Weights::kBytes / 8);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const int8x16_t x = spread_word(inputs + r * row_bytes + group * kGroup + step * 4);
#pragma GCC unroll 8
                    for (int q = 0; q < kQuarters; ++q) integers[r][q] = vdotq_s32(integers[r][q], w[q], x);
                }
            }
#pragma GCC unroll 8
            for (int q = 0; q < kQuarters; ++q) {
                const float32x4_t scale = widened_4(scales + q / 4 * strip_scales + q % 4 * kQuarter);
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const float32x4_t both = vmulq_f32(scale, vdupq_n_f32(input_scales[r * groups + group]));
                    sums[r][q] = vfmaq_f32(sums[r][q], vcvtq_f32_s32(integers[r][q]), both);
                }
            }
            weights += Weights::kBytes, scales += kStrip;
        }
        write_tile(product, row, strip, sums);
    }
};

// Weights as floats of an even and an odd input, times inputs that were rounded to bfloat16: products are exact.
struct Bf16Weights {
    static constexpr int kBytes = 64; // of two inputs of a strip
    static inline float32x4_t load(const char *from, int quarter, int odd) {
        const uint32x4_t both = vld1q_u32(reinterpret_cast<const uint32_t *>(from) + quarter * 4);
        return vreinterpretq_f32_u32(odd ? vandq_u32(both, vdupq_n_u32(0xffff0000)) : vshlq_n_u32(both, 16));
    }
};

struct F32Weights {
    static constexpr int kBytes = 128;
    static inline float32x4_t load(const char *from, int quarter, int odd) {
        return vld1q_f32(reinterpret_cast<const float *>(from) + odd * kStrip + quarter * 4);
    }
};

template <class Weights> struct FloatKernel {
    static constexpr int kRows = 6, kStrips = 1, kStripsOfFew = 1, kStripsOfOne = 2;

    template <int Rows, int Strips> static inline void run(const Product &product, int row, int strip, Share share) {
        constexpr int kQuarters = 4 * Strips;
        const int pairs = product.inputs.padded / 2;
        const char *weights = product.weights(strip, kGroup / 2 * Weights::kBytes);
        const size_t strip_bytes = static_cast<size_t>(pairs) * Weights::kBytes, padded = product.inputs.padded;
        const float *inputs = reinterpret_cast<const float *>(product.row(row));
        Fetch<Rows, Strips, kGroup / 2 * Weights::kBytes> fetch(weights, strip_bytes, share);
        float32x4_t sums[Rows][kQuarters];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int q = 0; q < kQuarters; ++q) sums[r][q] = vdupq_n_f32(0);
        for (int pair = 0; pair < pairs; ++pair, weights += Weights::kBytes, inputs += 2) {
            if (pair % (kGroup / 2) == 0) fetch.group();
#pragma GCC unroll 2
            for (int odd = 0; odd < 2; ++odd) {
                float32x4_t w[kQuarters];
#pragma GCC unroll 8
                for (int q = 0; q < kQuarters; ++q) {
                    w[q] = Weights::load(weights + q / 4 * strip_bytes, q % 4, odd);
                    if (q % 4 == 0 && (!odd || Weights::kBytes == 128))
                        fetch.near(weights + q / 4 * strip_bytes + odd * 64);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const float32x4_t x = vdupq_n_f32(inputs[r * padded + odd]);
#pragma GCC unroll 8
                    for (int q = 0; q < kQuarters; ++q) sums[r][q] = vfmaq_f32(sums[r][q], x, w[q]);
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
    case Precision::int8:
    case Precision::int8_a16: return run_product<IntegerKernel<Int8Weights>>(product, first, last);
    case Precision::int4: return run_product<IntegerKernel<Int4Weights>>(product, first, last);
    }
}

} // namespace lavra::LAVRA_ISA
