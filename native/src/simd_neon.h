// Vectors of four floats: NEON (AArch64).

#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace lavra::LAVRA_ISA {

constexpr int kLanes = 4;        // floats of a register
constexpr int kAccumulators = 6; // Vecs that registers hold beside those that are read
constexpr int kTileRows = 6;     // rows of attention that share a load: 3, 6 or 12

typedef float32x4_t Part;
typedef int32x4_t Bits;

static inline Part broadcast(float x) { return vdupq_n_f32(x); }
static inline Part fma(Part a, Part b, Part c) { return vfmaq_f32(c, a, b); }
// The second argument where one of them is not a number.
static inline Part larger(Part a, Part b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline Part smaller(Part a, Part b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

static inline Part widen(const uint16_t *x) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(x), 16)); }
static inline Part widen(const int8_t *x) {
    int32_t four;
    __builtin_memcpy(&four, x, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}

// a0 b0 a1 b1 ...: the first half, the second half.
static inline void zip(Part a, Part b, Part &low, Part &high) { low = vzip1q_f32(a, b), high = vzip2q_f32(a, b); }

static inline Part nearest(Part x) { return vrndnq_f32(x); }
static inline Part times_power_of_two(Part x, Part n) {
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23)));
}

static inline float sum_of(Part x) { return (x[0] + x[2]) + (x[1] + x[3]); }
static inline float largest_of(Part x) {
    const float32x2_t y = vmax_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) > vget_lane_f32(y, 1) ? vget_lane_f32(y, 0) : vget_lane_f32(y, 1);
}

} // namespace lavra::LAVRA_ISA

#include "vec.h"
