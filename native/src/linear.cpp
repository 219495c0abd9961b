#include "linear.h"

#include "memory.h"

namespace lavra {

namespace {

struct Holder {
    Matrix matrix;
    Memory data, scales;
};

struct Prepared {
    Inputs inputs;
    Memory data, scales, sums;
};

size_t values_of(const Matrix &matrix) { return size_t(matrix.strips()) * kStrip * matrix.padded(); }

Holder packed(const Kernels &kernels, const Source &source, Precision precision) {
    Holder made;
    made.matrix.precision = precision;
    made.matrix.rows = source.rows, made.matrix.columns = source.columns;
    made.data = Memory(data_bytes(made.matrix));
    made.scales = Memory(values_of(made.matrix) / kGroup * sizeof(uint16_t));
    made.matrix.data = made.data.data();
    made.matrix.scales = made.scales.as<uint16_t>();
    kernels.blank(made.matrix);
    kernels.pack(made.matrix, 0, source);
    return made;
}

Prepared prepared(const Kernels &kernels, const Matrix &matrix, const float *x, int m) {
    Prepared made;
    made.inputs.rows = m, made.inputs.padded = matrix.padded();
    const size_t groups = size_t(m) * (matrix.padded() / kGroup);
    made.data = Memory(m * made.inputs.row_bytes());
    made.scales = Memory(groups * sizeof(float)), made.sums = Memory(groups * sizeof(int32_t));
    made.inputs.data = made.data.data();
    made.inputs.scales = made.scales.as<float>(), made.inputs.sums = made.sums.as<int32_t>();
    for (int row = 0; row < m; ++row)
        kernels.prepare(matrix.precision, x + size_t(row) * matrix.columns, matrix.columns, made.inputs, row);
    return made;
}

} // namespace

void linear(const Kernels &kernels, const lavra_tensor &tensor, Precision wanted, const float *x, int m, float *out) {
    const Source source{tensor.type,  tensor.rows, tensor.columns,
                        tensor.group, tensor.data, static_cast<const uint16_t *>(tensor.scales)};
    const Precision own = precision_of(tensor.type, wanted);
    const Holder holder = packed(kernels, source, packs(source, own) ? own : wanted);
    const Prepared inputs = prepared(kernels, holder.matrix, x, m);
    kernels.multiply(holder.matrix, inputs.inputs, out, tensor.rows, false, 0, holder.matrix.strips());
}

} // namespace lavra
