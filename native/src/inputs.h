// Inputs of products: a row of floats in the form for its precision (kernels.h).
//
// Plain loops, which the compiler turns into vectors; their bits are the same on every instruction set.  The file that
// includes this file has set kInt8Offset, and the forms of inputs: kWideInt8 and kWideA16 (16 bits, of int8 and of
// int8_a16), kFloatHalves.

namespace lavra::LAVRA_ISA {

constexpr float kSmallest = 1e-30f; // inputs below it are zero: the reciprocal of their scale would be infinite

// Rounds 32 values to the integers of a type, symmetric around zero, and returns their scale.  Sums of values that are
// not finite are not numbers: so the scale is not-a-number where a value is not finite.
template <class Integer> static inline float to_integers(const float *x, Integer *out, int32_t *sum) {
    constexpr float most = sizeof(Integer) == 1 ? 127.f : 32767.f;
    const float largest = largest_of(x);
    if (!(largest >= kSmallest) || bits_of(largest) >= 0x7f800000) {
        __builtin_memset(out, 0, sizeof(Integer) * kGroup);
        *sum = 0;
        return largest < kSmallest ? 0.f : __builtin_nanf("");
    }
    const float by = most / largest; // no product rounds to more than `most`
    *sum = round_group(x, by, out);
    return largest / most;
}

// 16 bits each, with inputs 0, 2, 1, 3 of every four.
static inline void put_wide(const int16_t *values, int16_t *to) {
    for (int i = 0; i < kGroup; i += 4) {
        to[i] = values[i], to[i + 1] = values[i + 2];
        to[i + 2] = values[i + 1], to[i + 3] = values[i + 3];
    }
}

template <bool wide>
static void prepare_integers(int offset, const float *x, int columns, Inputs &inputs, int row) {
    const int groups = inputs.padded / kGroup;
    char *to = static_cast<char *>(inputs.data) + row * inputs.row_bytes();
    float *scales = inputs.scales + static_cast<size_t>(row) * groups;
    int32_t *sums = inputs.sums + static_cast<size_t>(row) * groups;
    for (int group = 0; group < groups; ++group) {
        const int left = columns - group * kGroup;
        float last[kGroup] = {};
        const float *from = x + group * kGroup;
        if (left < kGroup) {
            if (left > 0) __builtin_memcpy(last, from, sizeof(float) * left);
            from = last;
        }
        int32_t sum;
        if constexpr (wide) {
            int16_t values[kGroup];
            scales[group] = to_integers(from, values, &sum);
            put_wide(values, reinterpret_cast<int16_t *>(to) + group * kGroup);
        } else {
            scales[group] = to_integers(from, reinterpret_cast<int8_t *>(to) + group * kGroup, &sum);
        }
        sums[group] = -offset * sum;
    }
}

static void prepare_floats(bool halves, const float *x, int columns, Inputs &inputs, int row) {
    float *to = reinterpret_cast<float *>(static_cast<char *>(inputs.data) + row * inputs.row_bytes());
    for (int i = 0; i < columns; ++i) to[i] = halves ? widened(narrowed(x[i])) : x[i];
    for (int i = columns; i < inputs.padded; ++i) to[i] = 0;
}

static void prepare_halves(const float *x, int columns, Inputs &inputs, int row) {
    uint16_t *to = reinterpret_cast<uint16_t *>(static_cast<char *>(inputs.data) + row * inputs.row_bytes());
    for (int i = 0; i < columns; ++i) to[i] = narrowed(x[i]);
    for (int i = columns; i < inputs.padded; ++i) to[i] = 0;
}

static void prepare(Precision precision, const float *x, int columns, Inputs &inputs, int row) {
    switch (precision) {
    case Precision::f32: return prepare_floats(false, x, columns, inputs, row);
    case Precision::bf16:
        return kFloatHalves ? prepare_floats(true, x, columns, inputs, row) : prepare_halves(x, columns, inputs, row);
    case Precision::int8: return prepare_integers<kWideInt8>(kInt8Offset, x, columns, inputs, row);
    case Precision::int8_a16: return prepare_integers<kWideA16>(kInt8Offset, x, columns, inputs, row);
    case Precision::int4: return prepare_integers<false>(kInt4Offset, x, columns, inputs, row);
    }
}

} // namespace lavra::LAVRA_ISA
