// Products of int4 with many rows: strips are widened to bytes once, and all tiles of rows read them as int8's.
//
// A tile of few rows takes halves of bytes apart as it reads them, which costs it a sixth of its time when memory is
// not the limit (llvm-mca: 7.6 instead of 6.5 cycles for 32 inputs of 16 outputs, 6 rows by 2 strips, Ice Lake).  Sums
// of integers are exact and begin at int4's starting value (inputs.h), so the bits are the same either way.

namespace lavra::LAVRA_ISA {

constexpr int kManyRows = 32;           // from which on strips are widened; more than any batch's: never
constexpr int kMostWidened = 128 << 10; // bytes, on the stack; longer strips are read as they are

// `count` bytes, 64 at a time: low halves, then high ones.
static inline void widen_int4(const char *from, size_t count, char *to) {
    for (size_t i = 0; i < count; i += 64, to += 128)
        for (int j = 0; j < 64; ++j) {
            const auto byte = static_cast<uint8_t>(from[i + j]);
            to[j] = static_cast<char>(byte & 15), to[64 + j] = static_cast<char>(byte >> 4);
        }
}

// Some strips, widened to a matrix of their own.
static inline Matrix part_of(const Product &product, int strip, void *data) {
    Matrix part = product.matrix;
    part.precision = Precision::int8;
    part.rows -= strip * kStrip;
    part.data = data;
    part.scales += static_cast<size_t>(strip) * product.groups() * kStrip;
    if (part.bias) part.bias += strip * kStrip;
    return part;
}

template <class Bytes> __attribute__((noinline)) static void run_widened(const Product &product, int first, int last) {
    alignas(64) char bytes[kMostWidened];
    const size_t strip_bytes = static_cast<size_t>(product.inputs.padded) * kStrip / 2;
    for (int strip = first; strip < last; strip += Bytes::kStrips) {
        const int count = last - strip < Bytes::kStrips ? last - strip : Bytes::kStrips;
        widen_int4(product.weights(strip, kGroup * kStrip / 2), count * strip_bytes, bytes);
        const Matrix part = part_of(product, strip, bytes);
        run_product<Bytes>(Product{part, product.inputs, product.out + strip * kStrip, product.stride, product.add}, 0,
                           count);
    }
}

template <class Halves, class Bytes> static inline void run_int4(const Product &product, int first, int last) {
    const bool fits = static_cast<size_t>(product.inputs.padded) * kStrip * Bytes::kStrips <= kMostWidened;
    if (product.inputs.rows >= kManyRows && fits)
        run_widened<Bytes>(product, first, last);
    else
        run_product<Halves>(product, first, last);
}

} // namespace lavra::LAVRA_ISA
