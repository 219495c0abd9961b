// Sums of products of integers with AVX2 alone.
//
// AVX2 has no exact product of bytes (vpmaddubsw saturates at 16 bits), and vpsignb, vpmaddubsw, vpmaddwd, vpaddd are
// four instructions for 32 products.  So int8 is multiplied as 16 bits, by vpmaddwd and vpaddd for 16 products, whose
// additions go to other ports; and inputs are rounded to 16 bits, not to 8, at no cost.
// int4 stays in bytes: 15 * 127 * 2 eight times fits 16 bits, so that a group is summed in them.

namespace lavra::LAVRA_ISA {

constexpr bool kWideInt8 = true, kWideA16 = true;

static inline __m256i add_pairs(__m256i sum, __m256i w, __m256i x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
}

} // namespace lavra::LAVRA_ISA

#include "integers_wide.h"

namespace lavra::LAVRA_ISA {

using Int8Group = WideGroup;

struct Int4Group {
    static constexpr int kBytes = kGroup * kStrip / 2, kInputBytes = kGroup, kRows = 5;

    template <int Rows, int Halves, class Fetch>
    static inline void add(const char *weights, size_t strip_bytes, const char *inputs, size_t row_bytes,
                           const int32_t *starts, int groups, const Fetch &fetch, __m256i (&sums)[Rows][Halves]) {
        const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < Halves; ++h) sums[r][h] = _mm256_setzero_si256();
#pragma GCC unroll 1
        for (int step = 0; step < 4; ++step, weights += 64, inputs += 8) {
#pragma GCC unroll 2
            for (int high = 0; high < 2; ++high) {
                __m256i w[Halves];
#pragma GCC unroll 8
                for (int h = 0; h < Halves; ++h) {
                    w[h] = load_bytes(weights + h / 2 * strip_bytes + h % 2 * 32);
                    w[h] = _mm256_and_si256(high ? _mm256_srli_epi16(w[h], 4) : w[h], low);
                    if (!high && h % 2 == 0) fetch.near(weights + h / 2 * strip_bytes);
                }
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) {
                    const __m256i x = spread_word(inputs + r * row_bytes + high * 4);
#pragma GCC unroll 8
                    for (int h = 0; h < Halves; ++h) {
                        sums[r][h] = _mm256_add_epi16(sums[r][h], _mm256_maddubs_epi16(w[h], x));
                        settle(sums[r][h]);
                    }
                }
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < Halves; ++h) {
                const __m256i pairs = _mm256_madd_epi16(sums[r][h], _mm256_set1_epi16(1));
                sums[r][h] = _mm256_add_epi32(pairs, _mm256_set1_epi32(starts[r * groups]));
            }
    }
};

} // namespace lavra::LAVRA_ISA
