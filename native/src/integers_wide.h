// Sums of products of int8 weights and inputs of 16 bits, in registers of eight outputs.
//
// Weights with 128 added lie four inputs to a word, so that a mask gives inputs 0 and 2 and a shift inputs 1 and 3, once
// for all rows of a tile; inputs are stored as such pairs (put_wide).  32 products of 255 and 32,767 fit a sum of 32 bits.
// The file that includes this file has defined add_pairs.

namespace lavra::LAVRA_ISA {

// Hides a sum from the compiler, which would otherwise add products to one another first and run out of registers.
static inline void settle(__m256i &sum) { asm("" : "+x"(sum)); }

// A group's sums of one tile: `weights` of the first strip's group, strips `strip_bytes` apart.
struct WideGroup {
    static constexpr int kBytes = kGroup * kStrip, kInputBytes = 2 * kGroup, kRows = 5;

    template <int Rows, int Halves, class Fetch>
    static inline void add(const char *weights, size_t strip_bytes, const char *inputs, size_t row_bytes,
                           const int32_t *starts, int groups, const Fetch &fetch, __m256i (&sums)[Rows][Halves]) {
        const __m256i low = _mm256_set1_epi16(0xff);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < Halves; ++h) sums[r][h] = _mm256_set1_epi32(starts[r * groups]);
#pragma GCC unroll 1
        for (int step = 0; step < 8; ++step, weights += 64, inputs += 8) {
#pragma GCC unroll 2
            for (int odd = 0; odd < 2; ++odd) {
                __m256i w[Halves];
#pragma GCC unroll 8
                for (int h = 0; h < Halves; ++h) {
                    w[h] = load_bytes(weights + h / 2 * strip_bytes + h % 2 * 32);
                    w[h] = odd ? _mm256_srli_epi16(w[h], 8) : _mm256_and_si256(w[h], low);
                    if (!odd && h % 2 == 0) fetch.near(weights + h / 2 * strip_bytes);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m256i x = spread_word(inputs + r * row_bytes + odd * 4);
#pragma GCC unroll 8
                    for (int h = 0; h < Halves; ++h) {
                        sums[r][h] = add_pairs(sums[r][h], w[h], x);
                        settle(sums[r][h]);
                    }
                }
            }
        }
    }
};

} // namespace lavra::LAVRA_ISA
