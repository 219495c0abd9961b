/* lavra's native runner: a Transformer's forward pass over a paged cache, on a CPU.

   A plain C interface, loaded by ctypes (lavra/engine/runners/native.py).  Every function that can fail returns 0 on
   success and another number on failure; lavra_error() then returns the reason, for the calling thread.
   Nothing here is thread-safe except lavra_error(): a model, and everything that runs over it, belong to one thread at
   a time.  */

#ifndef LAVRA_NATIVE_H
#define LAVRA_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lavra_model lavra_model;
typedef struct lavra_runner lavra_runner;

enum lavra_kind { LAVRA_DECODER, LAVRA_ENCODER, LAVRA_ENCODER_DECODER };
enum lavra_layout { LAVRA_PRE_NORM, LAVRA_POST_NORM, LAVRA_PARALLEL, LAVRA_PARALLEL_TWO_NORMS };
enum lavra_norm { LAVRA_LAYER_NORM, LAVRA_RMS_NORM };
enum lavra_activation { LAVRA_RELU, LAVRA_GELU, LAVRA_GELU_TANH, LAVRA_SILU };
enum lavra_positions { LAVRA_LEARNED, LAVRA_ROTARY, LAVRA_RELATIVE_BIAS, LAVRA_ALIBI };
enum lavra_type { LAVRA_F32, LAVRA_F16, LAVRA_BF16, LAVRA_INT8, LAVRA_INT4, LAVRA_INT8_A16 };
enum lavra_cache { LAVRA_CACHE_F32, LAVRA_CACHE_BF16, LAVRA_CACHE_INT8 };

/* The fields of lavra.model.config.ModelConfig, as numbers. */
typedef struct {
    int32_t kind, layout, norm, activation, head_activation, positions;
    int32_t vocab_size, hidden_size, num_layers, num_decoder_layers, num_heads, num_kv_heads, head_dim;
    int32_t feed_forward_size, max_positions, position_offset, num_token_types;
    int32_t gated, embedding_norm, final_norm, has_head, tie_embeddings, head_transform, has_pooler;
    int32_t attention_bias, attention_output_bias, feed_forward_bias, head_bias;
    int32_t scale_by_layer; /* scores are divided by the layer's number, from 1, as well */
    int32_t relative_buckets, relative_distance;
    float norm_eps, attention_scale, head_scale, rotary_factor;
    const float *rotary;    /* (head_dim / 2) angles of one step, in radians; rotary positions */
    const float *slopes;    /* (num_heads); ALiBi */
    const int32_t *windows; /* (num_layers), 0 for all tokens; or NULL */
} lavra_config;

/* A tensor in the form of a checkpoint, in rows.
   F32, F16, BF16: values row by row.  INT8: a byte for each value, with 128 added.  INT4: two values in each byte, the
   first in the low half, with 8 added.  For integers, scales holds a bfloat16 for each group of `group` neighbouring
   columns of a row; group 0 is the whole row.  INT8_A16 lies as INT8: what is multiplied by it is rounded to 16 bits, not
   to 8, where the instruction set has that product (x86's have).  Rows of INT4 are padded to a multiple of 8 columns, rows with groups to
   a multiple of the group. */
typedef struct {
    int32_t type, rows, columns, group;
    const void *data;
    uint64_t num_bytes;
    const void *scales;
    uint64_t num_scale_bytes;
    int32_t mapped; /* 1: data is a file's pages, mapped to be read; each is given back when it has been */
} lavra_tensor;

/* One row of a batch: tokens of one sequence for the model to read. */
typedef struct {
    const int32_t *tokens;
    const int32_t *blocks; /* block i holds positions 16 i to 16 i + 15 */
    int32_t num_tokens, num_blocks, start, num_logits;
    int32_t adapter; /* -1 for none */
    int32_t source;  /* of an encoder-decoder; -1 for none */
    const int32_t *types; /* token types, of an encoder; or NULL: all 0 */
} lavra_row;

typedef struct {
    const lavra_row *rows;
    int32_t num_rows, num_copies;
    const int32_t *copies; /* (num_copies, 2): from, to */
} lavra_batch;

const char *lavra_error(void);
/* CRC-32 of this file at the library's build (native/build.py): a library with another header is refused. */
uint32_t lavra_abi(void);

/* Names of the instruction sets that were built and that this processor has, best first, separated by commas. */
const char *lavra_isas(void);

/* isa is one of lavra_isas(), or NULL for the best.  precision is a lavra_type: the type in which F32, F16 and BF16
   matrices are computed (LAVRA_F32 or LAVRA_BF16); integers keep their type. */
lavra_model *lavra_model_new(const lavra_config *config, const char *isa, int32_t precision);
/* Copies a tensor into the model, under lavra's own name ("decoder.blocks.0.attention.query.weight"). */
int lavra_model_set(lavra_model *model, const char *name, const lavra_tensor *tensor);
/* Call this after the last tensor: it refuses a model that lacks a tensor. */
int lavra_model_finish(lavra_model *model);
/* Adapters, after lavra_model_finish.  lavra_model_adapter makes an adapter and returns its number, or -1.
   lavra_model_adapt gives it a low-rank change of a matrix (LoRA): scale * up (down x) is added to the outputs of rows
   that name the adapter.
   down is (rank, columns), up (rows, rank) of the matrix; both F32, F16 or BF16, computed in float32. */
int32_t lavra_model_adapter(lavra_model *model);
int lavra_model_adapt(lavra_model *model, int32_t adapter, const char *name, const lavra_tensor *down,
                      const lavra_tensor *up, float scale);
/* (count, hidden_size) embeddings of virtual tokens, whose ids follow those of the vocabulary and of earlier calls. */
int lavra_model_virtual(lavra_model *model, const lavra_tensor *rows);
/* Virtual tokens that have keys and values of their own in every layer (a prefix): their ids come next, likewise.
   pairs: (layers * count * 2, kv heads * head_dim), layer by layer and token by token, a token's keys and then its
   values, already rotated. */
int lavra_model_prefix(lavra_model *model, const lavra_tensor *pairs);
uint64_t lavra_model_bytes(const lavra_model *model);
const char *lavra_model_isa(const lavra_model *model);
void lavra_model_free(lavra_model *model);

lavra_runner *lavra_runner_new(lavra_model *model, int32_t num_blocks, int32_t cache, int32_t num_threads);
uint64_t lavra_runner_bytes(const lavra_runner *runner);
/* logits: (sum of num_logits, vocab_size), or NULL where no row asks for logits. */
int lavra_runner_forward(lavra_runner *runner, const lavra_batch *batch, float *logits, uint64_t num_floats);
/* Reads whole texts through the encoder, or through a decoder where there is no encoder, or where all rows name a
   source of an encoder-decoder.  Rows need no blocks.  hidden: (sum of num_tokens, hidden_size) after the final norm,
   row after row. */
int lavra_runner_encode(lavra_runner *runner, const lavra_row *rows, int32_t num_rows, float *hidden, uint64_t num_floats);
/* Turns (count, hidden_size) hidden states into (count, vocab_size) logits. */
int lavra_runner_logits(lavra_runner *runner, const float *hidden, int32_t count, float *logits, uint64_t num_floats);
/* For an encoder-decoder: reads a source and keeps the keys and values that its decoder attends to.  Returns the number
   that rows give as their source, or -1; the row's adapter applies.  lavra_runner_forget drops the source. */
int32_t lavra_runner_source(lavra_runner *runner, const lavra_row *row);
int lavra_runner_forget(lavra_runner *runner, int32_t source);
void lavra_runner_free(lavra_runner *runner);

/* The rule that chooses the next token of one row: lavra.base.types.SamplingConfig, with the sequence's additions. */
typedef struct {
    int32_t num_tokens;         /* only ids below it may be chosen */
    int32_t top_k;              /* 0: all */
    float temperature;          /* 0: the likeliest token */
    float top_p, min_p;
    float repetition_penalty, presence_penalty, frequency_penalty;
    int32_t num_seen, num_biases, num_forbidden;
    int32_t logprob, num_top;   /* whether the log-probability is wanted; how many of the likeliest */
    const int32_t *seen;        /* (num_seen) ids of the prompt and of the text, each once */
    const int32_t *counts;      /* (num_seen) occurrences in the text */
    const int32_t *bias_ids;    /* (num_biases) each once */
    const float *biases;        /* (num_biases), added to logits */
    const int32_t *forbidden;   /* (num_forbidden) ids that may not be chosen */
    const uint8_t *allowed;     /* bit token % 8 of byte token / 8 is set where a token may be chosen; or NULL */
    uint64_t num_allowed_bytes; /* ids beyond them may not be chosen */
    const double *uniforms;     /* (4) in [0, 1): the randomness behind this token; where the temperature is over 0 */
} lavra_sampling;

typedef struct {
    int32_t token;
    int32_t refused; /* 1 where no id may be chosen; then the rest means nothing */
    float logprob;   /* natural logarithm, under the model's own distribution; 0 where it is not wanted */
} lavra_choice;

/* The next token of each row of logits (num_rows, vocab_size).  top_ids and top_logprobs: (num_rows, most_top); a row
   fills its first num_top entries, best first, lower ids first among equals; NULL where most_top is 0.  Fails where a
   logit is NaN or infinite.  The bits are the same on every instruction set.  The threads of `helper` share the rows,
   between its passes; with NULL the caller works alone, and then several threads may call at once. */
int lavra_sample(const char *isa, lavra_runner *helper, const float *logits, int32_t num_rows, int32_t vocab_size,
                 const lavra_sampling *const *rows, lavra_choice *choices, int32_t most_top, int32_t *top_ids,
                 float *top_logprobs);

/* One product: (m, columns) inputs times a tensor's transpose, (m, rows), as the runner computes it.  For tests. */
int lavra_linear(const char *isa, const lavra_tensor *tensor, int32_t precision, const float *inputs, int32_t m,
                 float *outputs);

#ifdef __cplusplus
}
#endif
#endif
