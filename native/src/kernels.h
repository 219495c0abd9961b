// The table of an instruction set's kernels, and the layouts they read.
//
// One layout serves all instruction sets.  A matrix (N, K) lies in strips of 16 outputs; inside a strip inputs follow
// one another, so that every output is a chain of additions along K in the order of K, for any number of rows of a
// batch, and a strip's weights are one stream through memory:
//
//     f32   [strip][K][16]                            float
//     bf16  [strip][K / 2][16][2]                     bfloat16
//     int8  [strip][K / 4][16][4]                     byte: value + int8_offset of the instruction set
//     int4  [strip][K / 8][16][4]                     byte: inputs 8j + i (low half) and 8j + 4 + i (high half), 8 added
//           scales [strip][K / 32][16]                bfloat16, of int8 and int4
//
// K is padded with zeros to a multiple of 32, N to a multiple of 16.  Products of integers are exact: int8 and int4
// take their inputs rounded to 8 bits, each 32 inputs of a token with a scale of their own, so that
//
//     out[n] = sum over groups g of  (float) (sum of integers)  *  (scale[n, g] * input_scale[g])
//
// in the order of g, by fused multiply-adds.  Bits do not depend on the rows computed together.

#pragma once

#include <cstddef>
#include <cstdint>

namespace lavra {

constexpr int kStrip = 16;  // outputs side by side
constexpr int kGroup = 32;  // inputs of an integer product with one scale
constexpr int kBlock = 16;  // tokens in a block of the cache
constexpr int kChunk = 128; // keys whose softmax is computed at once; partial results are folded in their order

// int8_a16 holds int8's integers; its inputs are rounded to 16 bits ("a": activations), where the instruction set can.
enum class Precision : int32_t { f32, bf16, int8, int4, int8_a16 };
enum class CacheType : int32_t { f32, bf16, int8 };
enum class Activation : int32_t { relu, gelu, gelu_tanh, silu };

// Every isa_*.cpp includes this header, each compiled for its own processor.  A function that is not always inlined
// would be one symbol of all these files, and the linker keeps any one of its copies, perhaps for another processor.
#define LAVRA_SHARED inline __attribute__((always_inline))

LAVRA_SHARED constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

struct Matrix {
    Precision precision{};
    int rows = 0, columns = 0;     // N, K
    void *data = nullptr;          // 64-byte aligned
    uint16_t *scales = nullptr;    // bfloat16
    const float *bias = nullptr;   // (strips * 16), or none
    LAVRA_SHARED int strips() const { return (rows + kStrip - 1) / kStrip; }
    LAVRA_SHARED int padded() const { return round_up(columns, kGroup); }
};

// Rows of a matrix in the form of a checkpoint (lavra_tensor of the interface).
struct Source {
    int32_t type;               // lavra_type
    int rows, columns, group;   // group 0: the whole row
    const void *data;
    const uint16_t *scales;
};

// M rows of inputs of a product, in the form for its precision and instruction set.  Rows are `padded` values apart,
// groups `padded / 32`.  `data` holds 4 * padded bytes for each row, 64-byte aligned; the instruction set chooses how
// many of them it uses (integers may be wider than their values, bf16 may be stored as floats).
struct Inputs {
    int rows = 0, padded = 0;
    void *data = nullptr;
    float *scales = nullptr; // of each group; int8, int4
    int32_t *sums = nullptr; // of each group's integers, times minus the offset of the weights
    LAVRA_SHARED size_t row_bytes() const { return 4 * static_cast<size_t>(padded); }
};

// Keys and values of one layer.  Keys of a block lie channel by channel, so that 16 scores are one chain of additions
// along the channels; values token by token.
//
//     keys    [block][kv_head][C][16]      values  [block][kv_head][16][C]
//             of bf16 [C / 2][16][2], an odd last channel [16]: two vectors are widened by a shift and a mask
//     scales, middles of int8: [block][kv_head][16] float each, of keys and of values: value = integer * scale + middle
struct LayerCache {
    CacheType type{};
    int num_kv_heads = 0, channels = 0;
    void *keys = nullptr, *values = nullptr;
    float *key_scales = nullptr, *key_middles = nullptr, *value_scales = nullptr, *value_middles = nullptr;
};

// Queries of one sequence that attend to one key-value head: `count` tokens from position `start`, `group` heads each.
struct Attend {
    const float *queries;     // of the first token and first head; the next head's is C on, the next token's query_stride
    float *out;               // likewise, out_stride
    size_t query_stride, out_stride;
    const int32_t *blocks;    // of the sequence
    int start, count, group, kv_head;
    int num_keys;             // keys there are, for attention that is not causal; else start + count
    bool causal;
    int window;               // latest keys a token may look at; 0: all
    float scale;
    const float *slopes;      // (group), added to scores times the key's position; or none
    const float *bias;        // (group, distances): added to scores, at [key position - query position + bias_zero]
    int bias_zero, bias_stride;
};

// The precision in which a tensor of a lavra_type is computed: that of floats is given, integers have their own.
Precision precision_of(int32_t type, Precision of_floats);
// Whether rows of a source can be packed in a precision without a change of type.  Integers keep their type, and need a
// scale that is shared by a multiple of 32 columns or by the whole row; any source can become f32 or bf16.
bool packs(const Source &source, Precision precision);
size_t data_bytes(const Matrix &matrix); // of its values; scales are extra

// The chunks of keys that any token of the work attends to: partial results hold these of each head, in their order.
static inline int first_chunk(const Attend &work) {
    const int oldest = work.start - work.window + 1;
    return work.window > 0 && oldest > 0 ? oldest / kChunk : 0;
}
static inline int last_chunk(const Attend &work) {
    return ((work.causal ? work.start + work.count : work.num_keys) + kChunk - 1) / kChunk;
}

// The largest value of a row of logits: the first among equals.
struct Peak {
    float value;
    int place;
    bool finite; // whether all values are numbers, and none infinite
};

// Weights over a limit: their number and their sum.
struct Above {
    int count;
    double mass;
};

constexpr int kStride = 256; // weights of a row that are added up together

struct Kernels {
    const char *name;
    int int8_offset; // added to a packed int8 (0 or 128)

    // Pack rows `first` to `first + source.rows` of a matrix from those of a source.  Its memory starts as zeros
    // (as the offset, for integers: `blank` fills it).
    void (*blank)(Matrix &matrix);
    void (*pack)(Matrix &matrix, int first, const Source &source);
    // Make row `row` of inputs for products with matrices of a precision from (columns) floats.
    void (*prepare)(Precision precision, const float *x, int columns, Inputs &inputs, int row);
    // out[m, n] (+)= inputs[m] . matrix[n] + bias[n], for outputs of strips `first` to `last`; outputs past N are not
    // written.  `stride` floats between rows of out.
    void (*multiply)(const Matrix &matrix, const Inputs &inputs, float *out, size_t stride, bool add, int first,
                     int last);
    // One row of a packed matrix in floats: an embedding.
    void (*lookup)(const Matrix &matrix, int row, float *out);

    void (*rms_norm)(const float *x, const float *weight, float eps, int size, float *out);
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, int size, float *out);
    // x[i] = act(x[i]) * up[i]; without `up`, act alone.
    void (*activate)(Activation activation, float *x, const float *up, int size);
    void (*add)(float *x, const float *y, int size);
    void (*scale)(float *x, float by, int size);
    // Turn one head (C) by cosines and sines (C / 2): halves are the coordinates of a pair.
    void (*rotate)(float *head, const float *cosines, const float *sines, int channels);
    // Keys and values (C each) of one token and key-value head into a slot of a block.
    void (*store)(LayerCache &cache, int block, int slot, int kv_head, const float *key, const float *value);

    // Chunks `first` to `last` of the keys of a sequence, counted from position 0; chunks that no token attends to may
    // be among them.  Where they are all the chunks, `partials` is null and `out` is written; else each (token, head,
    // chunk) leaves max, sum, (C) weighted values in `partials`, 2 + C floats, chunk by chunk inside a head inside a
    // token, max -inf where the token attends to none of the chunk's keys; `fold` computes `out` from all chunks.  Each
    // call gets the beginning of the same `partials`, of at least num_chunks = last_chunk(work) -
    // first_chunk(work) chunks of each head.  `scratch` is the thread's own.
    void (*attend)(const LayerCache &cache, const Attend &work, int first, int last, float *partials, float *scratch);
    void (*fold)(const Attend &work, int channels, int num_chunks, const float *partials);
    size_t (*scratch_floats)(int channels, int group, int count);

    // Sampling (sampling_kernels.h); the same bits on every instruction set.
    Peak (*peak)(const float *x, int size);
    // weights[i] = 2^((x[i] - largest) * (scale[0] + scale[1])), 0 below 2^-126, and zeros up to a multiple of kStride;
    // sums[i]: of stride i.
    void (*weigh)(const float *x, int size, float largest, const float *scale, float *weights, double *sums);
    double (*sum_exp)(const float *x, int size, float largest); // of exp(x - largest)
    Above (*above)(const float *weights, int size, float limit);
    int (*next_above)(const float *x, int from, int size, float limit); // the first place whose value is; or size
};

extern const Kernels portable_kernels, avx2_kernels, avxvnni_kernels, avx512_kernels, neon_kernels; // those built

} // namespace lavra
