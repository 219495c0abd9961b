// The kernels of one instruction set; only this file is compiled for it (native/build.py), so no function here may be
// inlined elsewhere: no standard containers, everything in a namespace of its own.

#include "kernels.h"

#define LAVRA_ISA avxvnni
#include "simd_avx2.h"
#include "vector_ops.h"
#include "attention.h"
#include "integers_avxvnni.h"
#include "matmul_avx2.h"
#include "sampling_kernels.h"
#include "table.h"
