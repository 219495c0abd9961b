// Tensors from a caller: checks of a tensor, and its numbers.

#pragma once

#include <string>

#include "error.h"
#include "lavra_native.h"

namespace lavra {

constexpr int kMost = 1 << 24; // of any size: products of two of them fit 64 bits many times over

std::string shape(int rows, int columns); // in words
size_t row_bytes(const lavra_tensor &tensor);
inline bool is_integer(int32_t type) { return type == LAVRA_INT8 || type == LAVRA_INT4 || type == LAVRA_INT8_A16; }

// Both throw Error: for a number out of its bounds; for a tensor whose bytes or scales do not fit its shape and type.
void check_range(const char *name, int value, int least, int most);
void check_tensor(const std::string &name, const lavra_tensor &tensor);

// (rows * columns) floats of a tensor that holds no integers.
void copy_numbers(const lavra_tensor &tensor, float *to);

} // namespace lavra
