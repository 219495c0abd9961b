// Sums of products of bytes with AVX-VNNI: vpdpbusd adds four products of an unsigned and a signed byte to each of eight
// sums, in 32 bits.  It never saturates, so these are the sums of AVX-512.
//
// Both weights are unsigned: int8 has 128 added, int4 has 8.  The starting value of a group's sum undoes it (inputs.h).

namespace lavra::LAVRA_ISA {

constexpr bool kWideInt8 = false, kWideA16 = true;

static inline __m256i add_pairs(__m256i sum, __m256i w, __m256i x) { return _mm256_dpwssd_avx_epi32(sum, w, x); }

} // namespace lavra::LAVRA_ISA

#include "integers_wide.h"

namespace lavra::LAVRA_ISA {

// Registers of four inputs of eight outputs each; a byte of int4 holds two of them.
struct Int8Weights {
    static constexpr int kBytes = kGroup * kStrip, kHalvesOfByte = 1;
    static inline __m256i take(__m256i bytes, int) { return bytes; }
};
struct Int4Weights {
    static constexpr int kBytes = kGroup * kStrip / 2, kHalvesOfByte = 2;
    static inline __m256i take(__m256i bytes, int high) {
        return _mm256_and_si256(high ? _mm256_srli_epi16(bytes, 4) : bytes, _mm256_set1_epi8(15));
    }
};

// A group's sums of one tile: `weights` of the first strip's group, strips `strip_bytes` apart.
template <class Weights> struct ByteGroup {
    static constexpr int kBytes = Weights::kBytes, kInputBytes = kGroup, kRows = 6;

    template <int Rows, int Halves, class Fetch>
    static inline void add(const char *weights, size_t strip_bytes, const char *inputs, size_t row_bytes,
                           const int32_t *starts, int groups, const Fetch &fetch, __m256i (&sums)[Rows][Halves]) {
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < Halves; ++h) sums[r][h] = _mm256_set1_epi32(starts[r * groups]);
#pragma GCC unroll 8
        for (int step = 0; step < kBytes / 64; ++step, weights += 64) {
#pragma GCC unroll 2
            for (int half = 0; half < Weights::kHalvesOfByte; ++half, inputs += 4) {
                __m256i w[Halves];
#pragma GCC unroll 8
                for (int h = 0; h < Halves; ++h) {
                    w[h] = Weights::take(load_bytes(weights + h / 2 * strip_bytes + h % 2 * 32), half);
                    if (half == 0 && h % 2 == 0) fetch.near(weights + h / 2 * strip_bytes);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m256i x = spread_word(inputs + r * row_bytes);
#pragma GCC unroll 8
                    for (int h = 0; h < Halves; ++h) sums[r][h] = _mm256_dpbusd_avx_epi32(sums[r][h], w[h], x);
                }
            }
        }
    }
};

using Int8Group = ByteGroup<Int8Weights>;
using Int4Group = ByteGroup<Int4Weights>;

} // namespace lavra::LAVRA_ISA
