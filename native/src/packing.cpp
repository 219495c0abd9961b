#include "kernels.h"
#include "lavra_native.h"

namespace lavra {

bool packs(const Source &source, Precision precision) {
    if (precision == Precision::f32 || precision == Precision::bf16) return true;
    const int32_t own = precision == Precision::int8 ? LAVRA_INT8 : LAVRA_INT4;
    return source.type == own && source.group % kGroup == 0;
}

} // namespace lavra
