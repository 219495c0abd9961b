// The instruction sets that were built and that this processor has.

#pragma once

#include <string>

#include "kernels.h"

namespace lavra {

// The kernels of the set of this name, or of the best set where the name is empty.  Throws Error where it is missing.
const Kernels &find_kernels(const char *name);
std::string kernel_names(); // best first, with commas

} // namespace lavra
