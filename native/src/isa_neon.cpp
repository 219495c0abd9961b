// The kernels of one instruction set; only this file is compiled for it (native/build.py), so no function here may be
// inlined elsewhere: no standard containers, everything in a namespace of its own.

#include "kernels.h"

#define LAVRA_ISA neon
#include "simd_neon.h"
#include "vector_ops.h"
#include "attention.h"
#include "matmul_neon.h"
#include "sampling_kernels.h"
#include "table.h"
