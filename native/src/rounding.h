// Round a group of inputs to 8 or 16 bits, in plain loops.  An instruction set may have its own code, with the same bits.

namespace lavra::LAVRA_ISA {

constexpr float kRounder = 12582912.f; // 1.5 * 2^23: added to a small float, leaves the nearest integer in its low bits

// The largest magnitude; not a number or infinite where any value is, since their bits are larger than any number's.
static inline float largest_of(const float *x) {
    uint32_t largest = 0;
    for (int i = 0; i < kGroup; ++i) {
        const uint32_t bits = bits_of(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return float_from(largest);
}

// Each value times `by`, to the nearest integer, ties to even; returns their sum.
template <class Integer> static inline int32_t round_group(const float *x, float by, Integer *out) {
    int32_t sum = 0;
    for (int i = 0; i < kGroup; ++i) {
        const int32_t value = static_cast<int32_t>(bits_of(x[i] * by + kRounder) - bits_of(kRounder));
        out[i] = static_cast<Integer>(value);
        sum += value;
    }
    return sum;
}

} // namespace lavra::LAVRA_ISA
