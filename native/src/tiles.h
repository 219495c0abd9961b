// How a product is cut into tiles, rows by strips, whose sums stay in registers.
//
// A tile computes each of its outputs by one chain along K, so its size changes no bit: it is chosen for speed alone.
// Strips are the outer loop: their weights stay in the nearest cache while tiles of rows pass by.
//
// A kernel has kRows and kStrips, the size of a full tile, kStripsOfOne and kStripsOfFew, for products of one row and of
// up to kFew rows, which leave registers for more strips (their chains hide one another's latency), and
//     template <int Rows, int Strips> static void run(const Product &, int row, int strip).

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

template <class Kernel, int Strips, int Most>
static inline void run_tile(const Product &product, int rows, int row, int strip) {
    if (rows == Most) return Kernel::template run<Most, Strips>(product, row, strip);
    if constexpr (Most > 1) run_tile<Kernel, Strips, Most - 1>(product, rows, row, strip);
}

// All rows of some strips, in tiles of nearly equal height.
template <class Kernel, int Strips, int Most> static inline void run_rows(const Product &product, int strip) {
    int left = product.inputs.rows, tiles = (left + Most - 1) / Most;
    for (int row = 0; tiles > 0; --tiles) {
        const int rows = (left + tiles - 1) / tiles;
        run_tile<Kernel, Strips, Most>(product, rows, row, strip);
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
    if (product.inputs.rows <= Kernel::kFew)
        return run_strips<Kernel, Kernel::kStripsOfFew, Kernel::kFew>(product, first, last);
    run_strips<Kernel, Kernel::kStrips, Kernel::kRows>(product, first, last);
}

} // namespace lavra::LAVRA_ISA
