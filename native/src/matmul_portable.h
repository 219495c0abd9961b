// Products in plain loops, 16 outputs side by side: right on any processor, and vectors where the compiler makes them.

namespace lavra::LAVRA_ISA {

constexpr int kInt8Offset = 0;
constexpr bool kWideInt8 = false, kWideA16 = false, kFloatHalves = true;

} // namespace lavra::LAVRA_ISA

#include "packing.h"

#include "rounding.h"

#include "inputs.h"

namespace lavra::LAVRA_ISA {

// One row times one strip; bf16's inputs are floats that were rounded to bfloat16.
static void strip_floats(const Matrix &matrix, const float *inputs, int strip, float *sums) {
    const size_t start = static_cast<size_t>(strip) * kStrip * matrix.padded();
    if (matrix.precision == Precision::f32) {
        const float *weights = static_cast<const float *>(matrix.data) + start;
        for (int k = 0; k < matrix.padded(); ++k, weights += kStrip)
            for (int i = 0; i < kStrip; ++i) sums[i] += inputs[k] * weights[i];
        return;
    }
    const uint16_t *weights = static_cast<const uint16_t *>(matrix.data) + start;
    for (int k = 0; k < matrix.padded(); k += 2, weights += 2 * kStrip)
        for (int i = 0; i < kStrip; ++i) {
            sums[i] += inputs[k] * widened(weights[2 * i]);
            sums[i] += inputs[k + 1] * widened(weights[2 * i + 1]);
        }
}

static inline void group_int8(const int8_t *inputs, const int8_t *weights, int32_t *sums) {
    for (int k = 0; k < kGroup; k += 4, weights += 4 * kStrip)
        for (int i = 0; i < kStrip; ++i)
            for (int j = 0; j < 4; ++j) sums[i] += inputs[k + j] * weights[4 * i + j];
}

static inline void group_int4(const int8_t *inputs, const uint8_t *weights, int32_t *sums) {
    for (int k = 0; k < kGroup; k += 8, weights += 4 * kStrip)
        for (int i = 0; i < kStrip; ++i)
            for (int j = 0; j < 4; ++j) {
                const int both = weights[4 * i + j];
                sums[i] += inputs[k + j] * (both & 15) + inputs[k + 4 + j] * (both >> 4);
            }
}

static void strip_integers(const Matrix &matrix, const Inputs &inputs, int row, int strip, float *sums) {
    const int groups = matrix.padded() / kGroup;
    const bool bytes = matrix.precision != Precision::int4;
    const size_t group_bytes = kGroup * kStrip / (bytes ? 1 : 2);
    const int8_t *values = static_cast<const int8_t *>(inputs.data) + row * inputs.row_bytes();
    const char *weights = static_cast<const char *>(matrix.data) + strip * groups * group_bytes;
    const uint16_t *scales = matrix.scales + static_cast<size_t>(strip) * groups * kStrip;
    for (int group = 0; group < groups; ++group, weights += group_bytes, scales += kStrip) {
        const size_t at = static_cast<size_t>(row) * groups + group;
        int32_t integers[kStrip];
        for (int i = 0; i < kStrip; ++i) integers[i] = inputs.sums[at];
        if (bytes) group_int8(values + group * kGroup, reinterpret_cast<const int8_t *>(weights), integers);
        else group_int4(values + group * kGroup, reinterpret_cast<const uint8_t *>(weights), integers);
        for (int i = 0; i < kStrip; ++i)
            sums[i] = __builtin_fmaf(static_cast<float>(integers[i]), widened(scales[i]) * inputs.scales[at], sums[i]);
    }
}

static void multiply(const Matrix &matrix, const Inputs &inputs, float *out, size_t stride, bool add, int first,
                     int last) {
    const bool floats = matrix.precision == Precision::f32 || matrix.precision == Precision::bf16;
    for (int strip = first; strip < last; ++strip)
        for (int row = 0; row < inputs.rows; ++row) {
            float sums[kStrip] = {};
            const char *values = static_cast<const char *>(inputs.data) + row * inputs.row_bytes();
            if (floats) strip_floats(matrix, reinterpret_cast<const float *>(values), strip, sums);
            else strip_integers(matrix, inputs, row, strip, sums);
            for (int i = 0, n = strip * kStrip; i < kStrip && n < matrix.rows; ++i, ++n) {
                const float sum = matrix.bias ? sums[i] + matrix.bias[n] : sums[i];
                out[row * stride + n] = add ? out[row * stride + n] + sum : sum;
            }
        }
}

} // namespace lavra::LAVRA_ISA
