// Passes over a row of logits: its largest value, its weights, their sums.
//
// Written in the compiler's vectors, as wide as the instruction set has them.  Sixteen lanes are added up side by side
// and folded in one order, and no operations are fused, so that every instruction set computes the same bits: a seed
// gives the same text on all of them.  64 values are processed together; missing values at the end are replaced by
// values that change nothing.

#include <cmath>
#include <cstring>

namespace lavra::LAVRA_ISA::sampling {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
constexpr int kLanes = 16, kParts = kLanes / kWidth; // vectors of sixteen lanes
constexpr int kTogether = 64, kVectors = kTogether / kWidth;

typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef double Doubles __attribute__((vector_size(kWidth * 4)));
typedef float HalfFloats __attribute__((vector_size(kWidth * 2)));

inline Floats load(const float *x) {
    Floats out;
    memcpy(&out, x, sizeof out);
    return out;
}

inline void store(float *x, Floats value) { memcpy(x, &value, sizeof value); }

// Sixteen sums in double precision; four values of a lane are added in float32 before.
struct Sums {
    Doubles parts[2 * kParts] = {};

    inline void add(const Floats *values) {
        for (int part = 0; part < kParts; part++) {
            const Floats *v = values + part;
            Floats four = (v[0] + v[kParts]) + (v[2 * kParts] + v[3 * kParts]);
            HalfFloats halves[2];
            memcpy(halves, &four, sizeof four);
            parts[2 * part] += __builtin_convertvector(halves[0], Doubles);
            parts[2 * part + 1] += __builtin_convertvector(halves[1], Doubles);
        }
    }

    inline double total() const {
        double sums[kLanes];
        memcpy(sums, parts, sizeof sums);
        for (int half = kLanes / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
        return sums[0];
    }
};

// 2^(x (scale + rest)) for x <= 0, within 2 units in the last place; 0 below 2^-126, where float32 ends, and where the
// product is not a number.  The scale is in two parts because a single rounded scale would shift all results one way.
inline Floats power(Floats x, float scale, float rest) {
    const Floats round = Floats{} + (12582912.0f + 127.0f); // 1.5 * 2^23: adding it leaves whole numbers
    const Floats least = Floats{} - 127.0f;
    Floats exponent = x * scale + x * rest;
    exponent = exponent > least ? exponent : least;
    Floats shifted = exponent + round;
    Floats f = exponent - (shifted - round); // within +-0.5; the polynomial is 2^f within 2e-9
    Floats p = f * 0.00015353362f + 0.0013398875f;
    p = p * f + 0.00961843692f;
    p = p * f + 0.0555033237f;
    p = p * f + 0.240226477f;
    p = p * f + 0.693147182f;
    p = p * f + 1.0f;
    return p * (Floats)((Ints)shifted << 23); // the exponent's bits, whose offset of 127 came with `round`
}

// Calls visit(values, first place) for 64 values at a time.
template <class Visit> inline void each(const float *x, int size, float filler, Visit visit) {
    int whole = size / kTogether * kTogether;
    for (int place = 0; place < whole; place += kTogether) visit(x + place, place);
    if (whole == size) return;
    float end[kTogether];
    for (int i = 0; i < kTogether; i++) end[i] = whole + i < size ? x[whole + i] : filler;
    visit(end, whole);
}

inline Peak peak(const float *x, int size) {
    Floats best[kVectors];
    Ints place[kVectors] = {}, wrong = {};
    for (int v = 0; v < kVectors; v++) best[v] = Floats{} - INFINITY;
    each(x, size, x[size - 1], [&](const float *values, int first) {
        for (int v = 0; v < kVectors; v++) {
            Floats value = load(values + v * kWidth);
            Ints larger = value > best[v];
            best[v] = larger ? value : best[v];
            place[v] = larger ? Ints{} + first : place[v];
            wrong |= ((Ints)value & 0x7fffffff) > 0x7f7fffff;
        }
    });
    Peak found{-INFINITY, 0, true};
    for (int lane = 0; lane < kTogether; lane++) {
        float value = best[lane / kWidth][lane % kWidth];
        int at = place[lane / kWidth][lane % kWidth] + lane;
        if (value > found.value || (value == found.value && at < found.place)) found.value = value, found.place = at;
    }
    for (int lane = 0; lane < kWidth; lane++) found.finite &= wrong[lane] == 0;
    return found;
}

inline void weigh(const float *x, int size, float largest, const float *scale, float *weights, double *sums) {
    Sums stride;
    for (int place = round_up(size, kTogether); place < round_up(size, kStride); place++) weights[place] = 0;
    each(x, size, -INFINITY, [&](const float *values, int first) {
        Floats found[kVectors];
        for (int v = 0; v < kVectors; v++) {
            found[v] = power(load(values + v * kWidth) - largest, scale[0], scale[1]);
            store(weights + first + v * kWidth, found[v]);
        }
        stride.add(found);
        if ((first + kTogether) % kStride != 0 && first + kTogether < size) return;
        sums[first / kStride] = stride.total();
        stride = Sums{};
    });
}

inline double sum_exp(const float *x, int size, float largest) {
    Sums sums;
    each(x, size, -INFINITY, [&](const float *values, int) {
        Floats found[kVectors];
        for (int v = 0; v < kVectors; v++)
            found[v] = power(load(values + v * kWidth) - largest, 1.44269502f, 1.92596299e-8f); // log2(e)
        sums.add(found);
    });
    return sums.total();
}

inline Above above(const float *weights, int size, float limit) {
    Sums sums;
    Ints counts = {};
    each(weights, size, 0, [&](const float *values, int) {
        Floats found[kVectors];
        for (int v = 0; v < kVectors; v++) {
            Floats weight = load(values + v * kWidth);
            Ints over = weight > limit;
            counts -= over;
            found[v] = (Floats)((Ints)weight & over);
        }
        sums.add(found);
    });
    Above found{0, sums.total()};
    for (int lane = 0; lane < kWidth; lane++) found.count += counts[lane];
    return found;
}

inline int next_above(const float *x, int from, int size, float limit) {
    int place = from;
    for (; place + kTogether <= size; place += kTogether) {
        Ints over = {};
        for (int v = 0; v < kVectors; v++) over |= load(x + place + v * kWidth) > limit;
        uint64_t words[kWidth / 2], any = 0;
        memcpy(words, &over, sizeof words);
        for (uint64_t word : words) any |= word;
        if (any) break;
    }
    while (place < size && !(x[place] > limit)) place++;
    return place;
}

} // namespace lavra::LAVRA_ISA::sampling
