/* Kernels that are not products, one by one, for tests: attention over its own cache, norms, activations, rotation.

   isa is one of lavra_isas(), or NULL for the best.  A function returns 0 on success and another number on failure;
   lavra_error() then returns the reason.  The sizes give the lengths of the arrays.  */

#ifndef LAVRA_KERNEL_DOORS_H
#define LAVRA_KERNEL_DOORS_H

#include "lavra_native.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Attention of one sequence over a cache that the call fills. */
typedef struct {
    int32_t cache; /* lavra_cache */
    int32_t num_heads, num_kv_heads, channels;
    int32_t start, count, num_keys; /* tokens that ask: start to start + count; keys: of positions 0 to num_keys */
    int32_t causal, window;
    int32_t num_blocks, block_limit; /* blocks: (num_blocks) numbers below the limit */
    int32_t tokens_at_once;          /* tokens of a call of the kernel */
    int32_t chunks_at_once;          /* chunks of a call, folded afterwards; 0: all chunks, without folding */
    float scale;
    int32_t bias_zero, bias_stride;
    const int32_t *blocks;
    const float *slopes; /* (num_heads) or NULL */
    const float *bias;   /* (num_heads, bias_stride) or NULL: at [key position - query position + bias_zero] */
} lavra_attention;

/* queries and out: (count, num_heads, channels); keys and values: (num_keys, num_kv_heads, channels). */
int lavra_attend(const char *isa, const lavra_attention *work, const float *queries, const float *keys,
                 const float *values, float *out);
/* bias may be NULL.  norm is a lavra_norm. */
int lavra_normalize(const char *isa, int32_t norm, const float *x, const float *weight, const float *bias, float eps,
                    int32_t size, float *out);
/* x = activation(x) * up; up may be NULL.  activation is a lavra_activation. */
int lavra_activate(const char *isa, int32_t activation, float *x, const float *up, int32_t size);
int lavra_rotate(const char *isa, float *head, const float *cosines, const float *sines, int32_t channels);

#ifdef __cplusplus
}
#endif
#endif
