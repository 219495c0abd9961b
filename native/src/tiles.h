// Divide a product into tiles, rows by strips, whose sums stay in registers.
//
// A tile computes each of its outputs by one chain along K, so its size changes no bit: the size is chosen for speed.
// Strips are the outer loop: their weights stay in the nearest cache while tiles of rows pass by.
//
// A kernel has kRows and kStrips, the size of a full tile; kStripsOfOne and kStripsOfFew, for products of one row and of
// up to kFewRows, which leave registers for more strips (their chains hide one another's latency); and
//     template <int Rows, int Strips> static void run(const Product &, int row, int strip, Share).

namespace lavra::LAVRA_ISA {

struct Product {
    const Matrix &matrix;
    const Inputs &inputs;
    float *out;
    size_t stride;
    bool add;

    const char *row(int number) const { return static_cast<const char *>(inputs.data) + number * inputs.row_bytes(); }
    // Of a strip: its weights, `bytes` of each 32 inputs of 16 outputs, and its scales.
    const char *weights(int strip, int bytes) const {
        return static_cast<const char *>(matrix.data) + static_cast<size_t>(strip) * groups() * bytes;
    }
    const uint16_t *scales(int strip) const { return matrix.scales + static_cast<size_t>(strip) * groups() * kStrip; }
    int groups() const { return inputs.padded / kGroup; }
};

// A tile's share in fetching the next strips from memory, which all tiles of these strips do while they multiply: tile
// `number` of `count`, a power of two at most 8; any tile beyond `count` fetches nothing.
struct Share {
    int number, count;
};

// Weights are fetched before they are used.  Tiles of few rows are as fast as memory: they fetch the weights a little
// ahead in their strips, at the end those of the next strips.  Tiles of many rows fetch a share of the next strips in
// every group, which the tiles after them find in the cache.
template <int Rows, int Strips, int GroupBytes> struct Fetch {
    static constexpr bool kFew = Rows <= kFewRows;
    static constexpr size_t kAhead = 1024;
    const char *next;
    size_t strip_bytes, ahead = kAhead, left;
    int lines = 0;

    Fetch(const char *weights, size_t bytes, Share share) : next(weights), strip_bytes(bytes), left(bytes) {
        if (kFew || share.number >= share.count) return;
        lines = GroupBytes / 64 >= share.count ? GroupBytes / 64 / share.count : share.number == 0;
        next += Strips * bytes + share.number * (bytes / share.count) / 64 * 64;
    }

    inline void near(const char *weights) const {
        if constexpr (kFew) __builtin_prefetch(weights + ahead, 0, 3);
    }

    // Once in a group.
    inline void group() {
        if constexpr (kFew) {
            if (left <= kAhead) ahead = kAhead + (Strips - 1) * strip_bytes;
            left -= GroupBytes;
            return;
        }
        for (int line = 0; line < lines; ++line, next += 64)
#pragma GCC unroll 8
            for (int s = 0; s < Strips; ++s) __builtin_prefetch(next + s * strip_bytes, 0, 2);
    }
};

template <class Kernel, int Strips, int Most>
static inline void run_tile(const Product &product, int rows, int row, int strip, Share share) {
    if (rows == Most) return Kernel::template run<Most, Strips>(product, row, strip, share);
    if constexpr (Most > 1) run_tile<Kernel, Strips, Most - 1>(product, rows, row, strip, share);
}

// All rows of some strips, in tiles of nearly equal height.
template <class Kernel, int Strips, int Most> static inline void run_rows(const Product &product, int strip) {
    int left = product.inputs.rows, tiles = (left + Most - 1) / Most;
    Share share{0, tiles >= 8 ? 8 : tiles >= 4 ? 4 : tiles >= 2 ? 2 : 1};
    for (int row = 0; tiles > 0; --tiles, ++share.number) {
        const int rows = (left + tiles - 1) / tiles;
        run_tile<Kernel, Strips, Most>(product, rows, row, strip, share);
        row += rows, left -= rows;
    }
}

template <class Kernel, int Strips, int Most>
static inline void run_strips(const Product &product, int first, int last) {
    int strip = first;
    for (; strip + Strips <= last; strip += Strips) run_rows<Kernel, Strips, Most>(product, strip);
    if constexpr (Strips > 1) run_strips<Kernel, Strips / 2, Most>(product, strip, last);
}

template <class Kernel> static inline void run_product(const Product &product, int first, int last) {
    if (product.inputs.rows == 1) return run_strips<Kernel, Kernel::kStripsOfOne, 1>(product, first, last);
    if (product.inputs.rows <= kFewRows)
        return run_strips<Kernel, Kernel::kStripsOfFew, kFewRows>(product, first, last);
    run_strips<Kernel, Kernel::kStrips, Kernel::kRows>(product, first, last);
}

} // namespace lavra::LAVRA_ISA
