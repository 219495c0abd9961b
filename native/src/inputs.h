// Inputs of products: a row of floats in the form its precision wants (kernels.h).
//
// Plain loops, which the compiler turns into vectors; their bits are the same on every instruction set.  The file that
// includes this one has set kInt8Offset, and how it reads integers and bf16: kWideIntegers, kFloatHalves.

namespace lavra::LAVRA_ISA {

constexpr float kSmallest = 1e-30f; // inputs below it are zero: the reciprocal of their scale would be infinite

// 32 values to -127..127: returns their scale.  Sums of what is not finite are not numbers: so is the scale.
static inline float to_integers(const float *x, int8_t *out, int32_t *sum) {
    const float largest = largest_of(x);
    if (!(largest >= kSmallest) || bits_of(largest) >= 0x7f800000) {
        __builtin_memset(out, 0, kGroup);
        *sum = 0;
        return largest < kSmallest ? 0.f : __builtin_nanf("");
    }
    const float by = 127.f / largest; // no product rounds to more than 127
    *sum = round_group(x, by, out);
    return largest / 127.f;
}

// 16 bits each, with inputs 0, 2, 1, 3 of every four.
static inline void put_wide(const int8_t *values, int16_t *to) {
    for (int i = 0; i < kGroup; i += 4) {
        to[i] = values[i], to[i + 1] = values[i + 2];
        to[i + 2] = values[i + 1], to[i + 3] = values[i + 3];
    }
}

static void prepare_integers(int offset, bool wide, const float *x, int columns, Inputs &inputs, int row) {
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
        int8_t values[kGroup];
        int32_t sum;
        scales[group] = to_integers(from, values, &sum);
        sums[group] = -offset * sum;
        if (wide) put_wide(values, reinterpret_cast<int16_t *>(to) + group * kGroup);
        else __builtin_memcpy(to + group * kGroup, values, kGroup);
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
    case Precision::int8: return prepare_integers(kInt8Offset, kWideIntegers, x, columns, inputs, row);
    case Precision::int4: return prepare_integers(kInt4Offset, false, x, columns, inputs, row);
    }
}

} // namespace lavra::LAVRA_ISA
