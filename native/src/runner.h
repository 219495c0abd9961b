// A model's forward pass over a paged cache, by a team of threads.

#pragma once

#include <vector>

#include "model.h"
#include "threads.h"

namespace lavra {

// Keys and values of a stack's layers, in blocks.
class Cache {
public:
    Cache() = default;
    Cache(const Model &model, int num_layers, int num_blocks, CacheType type);
    LayerCache &layer(int number) { return layers_[number]; }
    int num_blocks() const { return num_blocks_; }
    void copy(int from, int to);
    size_t bytes() const;

private:
    int num_blocks_ = 0;
    size_t block_bytes_ = 0, block_scales_ = 0; // of keys or values; floats of scales
    std::vector<Memory> memory_;
    std::vector<LayerCache> layers_;
};

// Tokens of one sequence in a pass, as the graph sees them.
struct Rows {
    const int32_t *tokens, *blocks;
    int num_tokens, start, num_logits;
    const int32_t *types; // token types; null: 0
    int first;            // of its tokens among all of the pass
    int adapter;          // -1: none
};

class Runner {
public:
    Runner(Model &model, int num_blocks, CacheType cache, int threads);
    void forward(const lavra_batch &batch, float *logits, uint64_t num_floats);
    // (sum of tokens, D) hidden states of whole texts, each read by an encoder.
    void encode(const lavra_row *rows, int num_rows, float *hidden, uint64_t num_floats);
    // (count, D) hidden states -> (count, V).
    void logits(const float *hidden, int count, float *logits, uint64_t num_floats);
    size_t bytes() const;

private:
    // A piece of attention: queries of one sequence and key-value head, over some of the chunks of their keys.
    struct Piece {
        Attend work;
        int first_chunk, last_chunk;
        float *partials; // of all its queries' chunks; null where the piece has them all
    };
    // Memory for inputs of products, in any precision.
    struct Room {
        Memory memory;
        void reserve(size_t rows, int columns);
        Inputs view(int rows, int columns) const;
    };

    void check(const lavra_batch &batch) const;
    void check_tokens(const lavra_row &row, int number) const;
    void lay_out(const lavra_row *rows, int num_rows);
    void reserve();
    void reserve_scratch();
    void plan_attention(bool causal);
    void pass(int thread); // what every thread runs
    void embed();
    void run_layer(Layer &layer, LayerCache &cache, int thread);
    void attend(Layer &layer, LayerCache &cache, int thread);
    void feed_forward(Layer &layer, const Inputs &inputs, int thread);
    void read_logits(int thread);
    void project(const float *hidden, int count, int thread);

    template <class Body> void each_row(int rows, Body &&body);
    void adapt(const PackedMatrix &matrix, const float *x, size_t x_stride, float *out, size_t stride, int thread);
    void multiply(const Matrix &matrix, const Inputs &inputs, float *out, size_t stride, bool add);
    void prepare(const Norm *norm, const float *x, Precision precision, Inputs &inputs, int row, float *scratch, Memory &kept);
    void normalize(const Norm &norm, const float *x, float *out) const;

    Model &model_;
    const Kernels &kernels_;
    Team team_;
    Cache cache_, whole_; // `whole_`: one layer's, of texts that an encoder reads
    int hidden_size_, channels_;

    std::vector<Rows> rows_;
    std::vector<int> logit_rows_;
    std::vector<std::pair<int, const Adapter *>> adapted_; // tokens of the pass that an adapter acts on
    int num_tokens_ = 0;
    Stack *stack_ = nullptr;
    Cache *active_ = nullptr;
    float *logits_ = nullptr;
    const float *given_ = nullptr; // hidden states whose logits are wanted
    int num_given_ = 0;
    std::vector<Piece> pieces_;
    std::vector<int> fold_pieces_; // one of each queries whose chunks are apart
    std::vector<int32_t> tables_;

    Memory x_, projected_, mixed_, inner_, angles_, partials_, scratch_, picked_, transformed_, normed_, more_normed_;
    size_t scratch_floats_ = 0;
    Room inputs_, inner_inputs_, more_inputs_; // of attention, of the feed-forward layer's second product, of its first
};

} // namespace lavra
