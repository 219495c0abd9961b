#include "kernels.h"
#include "lavra_native.h"

namespace lavra {

Precision precision_of(int32_t type, Precision of_floats) {
    switch (type) {
    case LAVRA_INT8: return Precision::int8;
    case LAVRA_INT4: return Precision::int4;
    case LAVRA_INT8_A16: return Precision::int8_a16;
    default: return of_floats;
    }
}

bool packs(const Source &source, Precision precision) {
    if (precision == Precision::f32 || precision == Precision::bf16) return true;
    return precision_of(source.type, Precision::f32) == precision && source.group % kGroup == 0;
}

size_t data_bytes(const Matrix &matrix) {
    const size_t values = size_t(matrix.strips()) * kStrip * matrix.padded();
    switch (matrix.precision) {
    case Precision::f32: return values * 4;
    case Precision::bf16: return values * 2;
    case Precision::int8:
    case Precision::int8_a16: return values;
    case Precision::int4: return values / 2;
    }
    return 0;
}

} // namespace lavra
