// Weights: from a checkpoint's rows into the strips of kernels.h, and a row back.
//
// Packing goes by groups of 32 columns: a group is read from the source as floats or as integers, then written into its
// strip.  The file that includes this file has set kInt8Offset.

#include "lavra_native.h"

namespace lavra::LAVRA_ISA {

constexpr int kInt4Offset = 8;

static inline float float_from(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    return bits;
}

static inline float widened(uint16_t bfloat16) { return float_from(static_cast<uint32_t>(bfloat16) << 16); }

// Rounds to the nearest, ties to even.  Not-a-number stays not-a-number.
static inline uint16_t narrowed(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    return static_cast<uint16_t>(((bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : rounded) >> 16);
}

static inline float from_float16(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) return float_from(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    // The exponent's bias is 112 smaller than float's; the product is exact, of subnormal numbers too.
    return float_from(bits_of(float_from(magnitude << 13) * 0x1p112f) | sign);
}

static inline size_t num_values(const Matrix &matrix) {
    return static_cast<size_t>(matrix.strips()) * kStrip * matrix.padded();
}

static inline size_t groups_of(const Matrix &matrix) { return static_cast<size_t>(matrix.padded() / kGroup); }

// The place where a matrix holds the scale of a group of a row.
static inline size_t scale_index(const Matrix &matrix, int row, int group) {
    return (row / kStrip * groups_of(matrix) + group) * kStrip + row % kStrip;
}

static inline int source_groups(const Source &source) {
    return source.group == 0 ? 1 : (source.columns + source.group - 1) / source.group;
}

static inline float source_scale(const Source &source, int row, int column) {
    const int group = source.group == 0 ? 0 : column / source.group;
    return widened(source.scales[static_cast<size_t>(row) * source_groups(source) + group]);
}

// `count` integers from `column` on, which is a multiple of 32.
static inline void read_integers(const Source &source, int row, int column, int count, int8_t *out) {
    const int multiple = source.group != 0 ? source.group : source.type == LAVRA_INT4 ? 8 : 1;
    const size_t start = static_cast<size_t>(row) * round_up(source.columns, multiple) + column;
    const uint8_t *bytes = static_cast<const uint8_t *>(source.data) + (source.type == LAVRA_INT4 ? start / 2 : start);
    for (int i = 0; i < count; ++i)
        out[i] = static_cast<int8_t>(source.type == LAVRA_INT4 ? (bytes[i / 2] >> i % 2 * 4 & 15) - 8 : bytes[i] - 128);
}

static inline void read_floats(const Source &source, int row, int column, int count, float *out) {
    const size_t start = static_cast<size_t>(row) * source.columns + column;
    const auto *halves = static_cast<const uint16_t *>(source.data);
    int8_t integers[kGroup];
    switch (source.type) {
    case LAVRA_F32:
        __builtin_memcpy(out, static_cast<const float *>(source.data) + start, sizeof(float) * count);
        return;
    case LAVRA_F16:
        for (int i = 0; i < count; ++i) out[i] = from_float16(halves[start + i]);
        return;
    case LAVRA_BF16:
        for (int i = 0; i < count; ++i) out[i] = widened(halves[start + i]);
        return;
    default:
        read_integers(source, row, column, count, integers);
        for (int i = 0; i < count; ++i) out[i] = integers[i] * source_scale(source, row, column + i);
    }
}

// A group of floats of a row into its strip.
static inline void place_floats(Matrix &matrix, int row, int column, int count, const float *values) {
    const size_t strip = static_cast<size_t>(row / kStrip) * kStrip * matrix.padded();
    const int lane = row % kStrip;
    if (matrix.precision == Precision::f32) {
        float *to = static_cast<float *>(matrix.data) + strip;
        for (int i = 0; i < count; ++i) to[(column + i) * kStrip + lane] = values[i];
        return;
    }
    uint16_t *to = static_cast<uint16_t *>(matrix.data) + strip;
    for (int i = 0; i < count; ++i)
        to[(column + i) / 2 * 2 * kStrip + lane * 2 + i % 2] = narrowed(values[i]);
}

static inline void place_integers(Matrix &matrix, int row, int column, int count, const int8_t *values) {
    const size_t strip = static_cast<size_t>(row / kStrip) * kStrip * matrix.padded();
    uint8_t *data = static_cast<uint8_t *>(matrix.data);
    const int lane = row % kStrip;
    if (matrix.precision != Precision::int4) {
        uint8_t *to = data + strip + static_cast<size_t>(column) * kStrip + lane * 4;
        for (int i = 0; i < count; ++i) to[i / 4 * 4 * kStrip + i % 4] = static_cast<uint8_t>(values[i] + kInt8Offset);
        return;
    }
    uint8_t *to = data + (strip + static_cast<size_t>(column) * kStrip) / 2 + lane * 4;
    for (int i = 0; i < count; ++i) {
        uint8_t &byte = to[i / 8 * 4 * kStrip + i % 4];
        const int shift = i / 4 % 2 * 4;
        byte = static_cast<uint8_t>((byte & ~(15 << shift)) | (values[i] + kInt4Offset) << shift);
    }
}

static void blank(Matrix &matrix) {
    const size_t count = num_values(matrix);
    const size_t num_scales = count / kGroup;
    switch (matrix.precision) {
    case Precision::f32: __builtin_memset(matrix.data, 0, count * 4); return;
    case Precision::bf16: __builtin_memset(matrix.data, 0, count * 2); return;
    case Precision::int8:
    case Precision::int8_a16: __builtin_memset(matrix.data, kInt8Offset, count); break;
    case Precision::int4: __builtin_memset(matrix.data, kInt4Offset * 17, count / 2); break;
    }
    __builtin_memset(matrix.scales, 0, num_scales * sizeof(uint16_t));
}

static void pack_row(Matrix &matrix, int row, const Source &source, int source_row) {
    const bool integers = matrix.precision != Precision::f32 && matrix.precision != Precision::bf16;
    float floats[kGroup];
    int8_t values[kGroup];
    for (int column = 0; column < source.columns; column += kGroup) {
        const int count = source.columns - column < kGroup ? source.columns - column : kGroup;
        if (!integers) {
            read_floats(source, source_row, column, count, floats);
            place_floats(matrix, row, column, count, floats);
            continue;
        }
        read_integers(source, source_row, column, count, values);
        place_integers(matrix, row, column, count, values);
        const size_t group = source.group == 0 ? 0 : column / source.group;
        matrix.scales[scale_index(matrix, row, column / kGroup)] =
            source.scales[static_cast<size_t>(source_row) * source_groups(source) + group];
    }
}

static void pack(Matrix &matrix, int first, const Source &source) {
    for (int row = 0; row < source.rows; ++row) pack_row(matrix, first + row, source, row);
}

static inline float value_at(const Matrix &matrix, int row, int column) {
    const size_t strip = static_cast<size_t>(row / kStrip) * kStrip * matrix.padded();
    const int lane = row % kStrip;
    const uint8_t *bytes = static_cast<const uint8_t *>(matrix.data);
    const auto *halves = static_cast<const uint16_t *>(matrix.data);
    switch (matrix.precision) {
    case Precision::f32: return static_cast<const float *>(matrix.data)[strip + column * kStrip + lane];
    case Precision::bf16: return widened(halves[strip + column / 2 * 2 * kStrip + lane * 2 + column % 2]);
    case Precision::int8:
    case Precision::int8_a16: {
        const uint8_t byte = bytes[strip + column / 4 * 4 * kStrip + lane * 4 + column % 4];
        const auto value = static_cast<int8_t>(byte - kInt8Offset);
        return widened(matrix.scales[scale_index(matrix, row, column / kGroup)]) * value;
    }
    default: {
        const uint8_t byte = bytes[strip / 2 + column / 8 * 4 * kStrip + lane * 4 + column % 4];
        const int value = (byte >> column / 4 % 2 * 4 & 15) - kInt4Offset;
        return widened(matrix.scales[scale_index(matrix, row, column / kGroup)]) * value;
    }
    }
}

static void lookup(const Matrix &matrix, int row, float *out) {
    for (int column = 0; column < matrix.columns; ++column) out[column] = value_at(matrix, row, column);
}

} // namespace lavra::LAVRA_ISA
