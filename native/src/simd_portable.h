// Vectors of four floats in plain C++ (GNU vectors): every processor can run them.

#pragma once

#include <cstddef>
#include <cstdint>

namespace lavra::LAVRA_ISA {

constexpr int kLanes = 4;        // floats of a register
constexpr int kAccumulators = 3; // Vecs that registers hold beside those that are read
constexpr int kTileRows = 3;     // rows of attention that share a load: 3, 6 or 12

typedef float Part __attribute__((vector_size(16)));
typedef int32_t Bits __attribute__((vector_size(16)));

static inline Part broadcast(float x) { return Part{x, x, x, x}; }
// Two roundings: a fused multiply-add would be a call into a library here.
static inline Part fma(Part a, Part b, Part c) { return a * b + c; }
// The second argument where one of them is not a number.
static inline Part larger(Part a, Part b) { return a > b ? a : b; }
static inline Part smaller(Part a, Part b) { return a < b ? a : b; }

static inline Part widen(const uint16_t *x) {
    typedef uint16_t Halves __attribute__((vector_size(8)));
    Halves halves;
    __builtin_memcpy(&halves, x, sizeof(halves));
    return (Part)(__builtin_convertvector(halves, Bits) << 16);
}
static inline Part widen(const int8_t *x) {
    typedef int8_t Bytes __attribute__((vector_size(4)));
    Bytes bytes;
    __builtin_memcpy(&bytes, x, sizeof(bytes));
    return __builtin_convertvector(__builtin_convertvector(bytes, Bits), Part);
}

// To the nearest whole number, of numbers below 2^22.
// a0 b0 a1 b1 ...: the first half, the second half.
static inline void zip(Part a, Part b, Part &low, Part &high) {
    low = Part{a[0], b[0], a[1], b[1]}, high = Part{a[2], b[2], a[3], b[3]};
}

static inline Part nearest(Part x) {
    const float shift = 12582912.0f; // 1.5 * 2^23: whole numbers are one apart there
    return (x + shift) - shift;
}
static inline Part times_power_of_two(Part x, Part n) {
    return x * (Part)((__builtin_convertvector(n, Bits) + 127) << 23);
}

static inline float sum_of(Part x) { return (x[0] + x[2]) + (x[1] + x[3]); }
static inline float largest_of(Part x) {
    const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
}

} // namespace lavra::LAVRA_ISA

#include "vec.h"
