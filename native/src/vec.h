// A Vec: sixteen floats, as many registers as an instruction set needs for them.  Included by every simd_*.h.
//
// The kernels are written over it, once.  A simd_*.h brings a register (`Part`, with the arithmetic that GNU vectors
// have), the same register as integers (`Bits`), and the operations that differ: broadcast, fma, larger, smaller,
// widen, zip, nearest, times_power_of_two, sum_of, largest_of.

#pragma once

#define LAVRA_INLINE static inline __attribute__((always_inline))
#define LAVRA_UNROLL _Pragma("GCC unroll 16")
#define LAVRA_PARTS LAVRA_UNROLL for (int i = 0; i < kParts; i++)

namespace lavra::LAVRA_ISA {

constexpr int kParts = 16 / kLanes;

struct Vec {
    Part part[kParts];
};

LAVRA_INLINE Vec splat(float x) {
    Vec out;
    LAVRA_PARTS out.part[i] = broadcast(x);
    return out;
}

LAVRA_INLINE Vec load(const float *x) {
    Vec out;
    LAVRA_PARTS __builtin_memcpy(&out.part[i], x + i * kLanes, sizeof(Part));
    return out;
}

// bfloat16, and integers: as floats.
LAVRA_INLINE Vec load(const uint16_t *x) {
    Vec out;
    LAVRA_PARTS out.part[i] = widen(x + i * kLanes);
    return out;
}
LAVRA_INLINE Vec load(const int8_t *x) {
    Vec out;
    LAVRA_PARTS out.part[i] = widen(x + i * kLanes);
    return out;
}

// Pairs of bfloat16: the first of each, the second of each.
LAVRA_INLINE void load_pairs(const uint16_t *x, Vec &first, Vec &second) {
    LAVRA_PARTS {
        Bits pairs;
        __builtin_memcpy(&pairs, x + i * 2 * kLanes, sizeof(Bits));
        first.part[i] = (Part)(pairs << 16);
        second.part[i] = (Part)(pairs & int32_t(0xffff0000));
    }
}

LAVRA_INLINE void store(float *out, Vec x) { LAVRA_PARTS __builtin_memcpy(out + i * kLanes, &x.part[i], sizeof(Part)); }

LAVRA_INLINE void store_pairs(float *out, Vec first, Vec second) {
    LAVRA_PARTS {
        Part low, high;
        zip(first.part[i], second.part[i], low, high);
        __builtin_memcpy(out + i * 2 * kLanes, &low, sizeof(Part));
        __builtin_memcpy(out + i * 2 * kLanes + kLanes, &high, sizeof(Part));
    }
}

// The first `count` lanes, up to 16; the others are zero.
template <class T> LAVRA_INLINE Vec load_first(const T *x, int count) {
    T all[16] = {};
    for (int i = 0; i < count; i++) all[i] = x[i];
    return load(all);
}
LAVRA_INLINE void store_first(float *out, Vec x, int count) {
    float all[16];
    store(all, x);
    for (int i = 0; i < count; i++) out[i] = all[i];
}

#define LAVRA_TWO(name, expression)                                                                                    \
    LAVRA_INLINE Vec name(Vec a, Vec b) {                                                                              \
        Vec out;                                                                                                       \
        LAVRA_PARTS {                                                                                                  \
            const Part x = a.part[i], y = b.part[i];                                                                   \
            out.part[i] = expression;                                                                                  \
        }                                                                                                              \
        return out;                                                                                                    \
    }
LAVRA_TWO(operator+, x + y)
LAVRA_TWO(operator-, x - y)
LAVRA_TWO(operator*, x * y)
LAVRA_TWO(operator/, x / y)
LAVRA_TWO(larger, larger(x, y))
LAVRA_TWO(smaller, smaller(x, y))
LAVRA_TWO(times_power_of_two, times_power_of_two(x, y))
#undef LAVRA_TWO

LAVRA_INLINE Vec fma(Vec a, Vec b, Vec c) {
    Vec out;
    LAVRA_PARTS out.part[i] = fma(a.part[i], b.part[i], c.part[i]);
    return out;
}

LAVRA_INLINE Vec nearest(Vec x) {
    Vec out;
    LAVRA_PARTS out.part[i] = nearest(x.part[i]);
    return out;
}

// a where x < y, else b.
LAVRA_INLINE Vec where_less(Vec x, Vec y, Vec a, Vec b) {
    Vec out;
    LAVRA_PARTS {
        const Bits less = (Bits)(x.part[i] < y.part[i]);
        out.part[i] = (Part)(((Bits)a.part[i] & less) | ((Bits)b.part[i] & ~less));
    }
    return out;
}

// The nearest bfloat16, the even one of two equally near values; for finite numbers.
LAVRA_INLINE Vec round_to_bfloat16(Vec x) {
    Vec out;
    LAVRA_PARTS {
        const Bits bits = (Bits)x.part[i];
        out.part[i] = (Part)((bits + 0x7fff + ((bits >> 16) & 1)) & ~0xffff);
    }
    return out;
}

// 0, 1, 2, ... 15
LAVRA_INLINE Vec lanes() {
    static constexpr float all[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return load(all);
}

// Lanes `first` to `last` of x, elsewhere `other`.
LAVRA_INLINE Vec keep(Vec x, int first, int last, float other) {
    const Vec lane = lanes(), fill = splat(other);
    return where_less(lane, splat(float(first)), fill, where_less(lane, splat(float(last)), x, fill));
}

// Lanes i and i + 8, then 4, 2 and 1 apart: the same tree for every instruction set.
LAVRA_INLINE float sum_of(Vec x) {
    if constexpr (kParts == 4) return sum_of((x.part[0] + x.part[2]) + (x.part[1] + x.part[3]));
    if constexpr (kParts == 2) return sum_of(x.part[0] + x.part[1]);
    return sum_of(x.part[0]);
}
LAVRA_INLINE float largest_of(Vec x) {
    Part all = x.part[0];
    LAVRA_PARTS all = larger(all, x.part[i]);
    return largest_of(all);
}

// e^x to 2 units in the last place; 0 below -87.3, no more than 1.6e38 (Cephes: a polynomial over +-log(2)/2).
LAVRA_INLINE Vec exp(Vec x) {
    const Vec lowest = splat(-87.3f), highest = splat(88.0f);
    const Vec bounded = larger(lowest, smaller(highest, x)); // in this order, so that NaN stays NaN
    const Vec n = nearest(bounded * splat(1.44269504088896341f));
    const Vec r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), bounded));
    Vec p = splat(1.9875691500e-4f);
    p = fma(p, r, splat(1.3981999507e-3f));
    p = fma(p, r, splat(8.3334519073e-3f));
    p = fma(p, r, splat(4.1665795894e-2f));
    p = fma(p, r, splat(1.6666665459e-1f));
    p = fma(p, r, splat(5.0000001201e-1f));
    p = fma(p, r * r, r) + splat(1.0f);
    return where_less(x, lowest, splat(0.0f), times_power_of_two(p, n));
}

LAVRA_INLINE uint16_t to_bfloat16(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t((bits >> 16) | 0x40); // no number: stays so
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
LAVRA_INLINE float from_bfloat16(uint16_t x) {
    const uint32_t bits = uint32_t(x) << 16;
    float out;
    __builtin_memcpy(&out, &bits, 4);
    return out;
}

} // namespace lavra::LAVRA_ISA
