// Passes over a row of logits: its largest, its weights, their sums.
//
// Written in the compiler's vectors, as wide as the instruction set has them.  Sixteen lanes are added up side by side
// and folded in one order, and nothing is fused, so that every instruction set computes the same bits: a seed means the
// same text on all of them.  A row's end that does not fill sixteen lanes is filled with values that change nothing.

#include <cmath>
#include <cstring>

namespace lavra::LAVRA_ISA {

namespace lanes {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
constexpr int kLanes = 16, kParts = kLanes / kWidth;

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

// Sixteen sums in double precision.
struct Sums {
    Doubles parts[2 * kParts] = {};

    inline void add(int part, Floats x) {
        HalfFloats halves[2];
        memcpy(halves, &x, sizeof x);
        parts[2 * part] += __builtin_convertvector(halves[0], Doubles);
        parts[2 * part + 1] += __builtin_convertvector(halves[1], Doubles);
    }

    inline double total() const {
        double sums[kLanes];
        memcpy(sums, parts, sizeof sums);
        for (int half = kLanes / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
        return sums[0];
    }
};

// e^x for x <= 0, within 2 units in the last place; 0 below e^-87, where float32 ends.
// 2^n e^r with r within +-ln(2)/2, and the polynomial of Cephes' expf (Moshier 1989).
inline Floats exponential(Floats x) {
    const Floats round = Floats{} + 12582912.0f; // 1.5 * 2^23: adding it leaves whole numbers
    const Floats least = Floats{} - 87.0f;
    Floats bounded = x > least ? x : least;
    Floats shifted = bounded * 1.44269504088896341f + round;
    Floats n = shifted - round;
    Floats r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    Ints power = ((Ints)shifted - (Ints)round + 127) << 23;
    Floats out = p * (Floats)power;
    return x >= least ? out : Floats{}; // no number: infinity times 0, of an id that may not be drawn
}

// Calls visit(floats, first place) for sixteen values at a time; the end is filled with `filler`.
template <class Visit> inline void each(const float *x, int size, float filler, Visit visit) {
    int whole = size / kLanes * kLanes;
    for (int place = 0; place < whole; place += kLanes) visit(x + place, place);
    if (whole == size) return;
    float end[kLanes];
    for (int lane = 0; lane < kLanes; lane++) end[lane] = whole + lane < size ? x[whole + lane] : filler;
    visit(end, whole);
}

} // namespace lanes

inline Peak peak(const float *x, int size) {
    using namespace lanes;
    Floats best[kParts];
    Ints place[kParts] = {}, wrong = {};
    for (int part = 0; part < kParts; part++) best[part] = Floats{} - INFINITY;
    each(x, size, x[size - 1], [&](const float *values, int first) {
        for (int part = 0; part < kParts; part++) {
            Floats value = load(values + part * kWidth);
            Ints larger = value > best[part];
            best[part] = larger ? value : best[part];
            place[part] = larger ? Ints{} + first : place[part];
            wrong |= ((Ints)value & 0x7fffffff) > 0x7f7fffff;
        }
    });
    Peak found{-INFINITY, 0, true};
    for (int lane = 0; lane < kLanes; lane++) {
        float value = best[lane / kWidth][lane % kWidth];
        int at = place[lane / kWidth][lane % kWidth] + lane;
        if (value > found.value || (value == found.value && at < found.place)) found.value = value, found.place = at;
    }
    for (int lane = 0; lane < kWidth; lane++) found.finite &= wrong[lane] == 0;
    return found;
}

inline void weigh(const float *x, int size, float largest, const float *inverse, float *weights, double *sums) {
    using namespace lanes;
    Sums stride;
    int end = (size + kStride - 1) / kStride * kStride;
    for (int place = (size + kLanes - 1) / kLanes * kLanes; place < end; place++) weights[place] = 0;
    each(x, size, -INFINITY, [&](const float *values, int first) {
        for (int part = 0; part < kParts; part++) {
            Floats below = load(values + part * kWidth) - largest;
            Floats weight = exponential(below * inverse[0] + below * inverse[1]);
            store(weights + first + part * kWidth, weight);
            stride.add(part, weight);
        }
        if ((first + kLanes) % kStride != 0 && first + kLanes < size) return;
        sums[first / kStride] = stride.total();
        stride = Sums{};
    });
}

inline double sum_exp(const float *x, int size, float largest) {
    using namespace lanes;
    Sums sums;
    each(x, size, -INFINITY, [&](const float *values, int) {
        for (int part = 0; part < kParts; part++) sums.add(part, exponential(load(values + part * kWidth) - largest));
    });
    return sums.total();
}

inline Above above(const float *weights, int size, float limit) {
    using namespace lanes;
    Sums sums;
    Ints counts[kParts] = {};
    each(weights, size, 0, [&](const float *values, int) {
        for (int part = 0; part < kParts; part++) {
            Floats weight = load(values + part * kWidth);
            Ints over = weight > limit;
            counts[part] -= over;
            sums.add(part, (Floats)((Ints)weight & over));
        }
    });
    Above found{0, sums.total()};
    for (int lane = 0; lane < kLanes; lane++) found.count += counts[lane / kWidth][lane % kWidth];
    return found;
}

inline int next_above(const float *x, int from, int size, float limit) {
    using namespace lanes;
    int place = from;
    for (; place + kStride <= size; place += kStride) {
        Ints over = {};
        for (int part = 0; part < kStride; part += kWidth) over |= load(x + place + part) > limit;
        uint64_t words[kWidth / 2], any = 0;
        memcpy(words, &over, sizeof words);
        for (uint64_t word : words) any |= word;
        if (any) break;
    }
    while (place < size && !(x[place] > limit)) place++;
    return place;
}

} // namespace lavra::LAVRA_ISA
