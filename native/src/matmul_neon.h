// Until this instruction set has products of its own: portable ones, compiled for it.
#include "matmul_portable.h"
