// A single product from a checkpoint's tensor: for tests.

#pragma once

#include "kernels.h"
#include "lavra_native.h"

namespace lavra {

// (m, columns) times the tensor's transpose, (m, rows).  Integers that cannot be packed unchanged become `wanted`.
void linear(const Kernels &kernels, const lavra_tensor &tensor, Precision wanted, const float *x, int m, float *out);

} // namespace lavra
