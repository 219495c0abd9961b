#include "tensors.h"

#include <cmath>
#include <cstring>

#include "kernels.h"

namespace lavra {
namespace {

float from_bfloat16(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

float from_half(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float sign = bits & 0x8000 ? -1.f : 1.f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24));
}

} // namespace

size_t row_bytes(const lavra_tensor &tensor) {
    const int group = tensor.type == LAVRA_INT4 && tensor.group < 8 ? 8 : tensor.group;
    const size_t padded = group ? round_up(tensor.columns, group) : tensor.columns;
    switch (tensor.type) {
    case LAVRA_F32: return size_t(tensor.columns) * 4;
    case LAVRA_F16:
    case LAVRA_BF16: return size_t(tensor.columns) * 2;
    case LAVRA_INT8:
    case LAVRA_INT8_A16: return padded;
    default: return padded / 2;
    }
}

std::string shape(int rows, int columns) { return '(' + std::to_string(rows) + ", " + std::to_string(columns) + ")"; }

void check_range(const char *name, int value, int least, int most) {
    if (value < least || value > most)
        throw Error(std::string(name) + " is " + std::to_string(value) + "; it must be from " + std::to_string(least) +
                    " to " + std::to_string(most));
}

void check_tensor(const std::string &name, const lavra_tensor &tensor) {
    if (tensor.type < LAVRA_F32 || tensor.type > LAVRA_INT8_A16)
        throw Error(name + ": type " + std::to_string(tensor.type) + " is unknown");
    if (tensor.group < 0 || tensor.group > kMost || tensor.group % 8)
        throw Error(name + ": a group has " + std::to_string(tensor.group) + " columns; give a multiple of 8 up to " +
                    std::to_string(kMost) + ", or 0");
    if (tensor.rows < 1 || tensor.columns < 1 || tensor.rows > kMost || tensor.columns > kMost)
        throw Error(name + " has shape " + shape(tensor.rows, tensor.columns));
    if (tensor.data == nullptr) throw Error(name + ": there is no data");
    const uint64_t wanted = uint64_t(tensor.rows) * row_bytes(tensor);
    if (tensor.num_bytes != wanted)
        throw Error(name + ": " + std::to_string(tensor.num_bytes) + " bytes; " + shape(tensor.rows, tensor.columns) +
                    " of its type takes " + std::to_string(wanted));
    if (!is_integer(tensor.type)) return;
    const uint64_t groups = tensor.group ? (tensor.columns + tensor.group - 1) / tensor.group : 1;
    if (tensor.scales == nullptr || tensor.num_scale_bytes != tensor.rows * groups * 2)
        throw Error(name + ": " + std::to_string(tensor.num_scale_bytes) + " bytes of scales; " +
                    std::to_string(groups) + " groups of " + std::to_string(tensor.rows) + " rows take " +
                    std::to_string(tensor.rows * groups * 2));
}

void copy_numbers(const lavra_tensor &tensor, float *to) {
    const size_t count = size_t(tensor.rows) * tensor.columns;
    const auto *halves = static_cast<const uint16_t *>(tensor.data);
    if (tensor.type == LAVRA_F32) {
        std::memcpy(to, tensor.data, count * 4);
        return;
    }
    for (size_t i = 0; i < count; ++i)
        to[i] = tensor.type == LAVRA_BF16 ? from_bfloat16(halves[i]) : from_half(halves[i]);
}

} // namespace lavra
