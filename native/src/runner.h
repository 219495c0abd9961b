// A model's forward pass over a paged cache, by a team of threads.

#pragma once

#include <map>
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
    int source;           // -1: none
};

class Runner {
public:
    Runner(Model &model, int num_blocks, CacheType cache, int threads);
    void forward(const lavra_batch &batch, float *logits, uint64_t num_floats);
    // (sum of tokens, D) hidden states of whole texts, each read by an encoder.
    void encode(const lavra_row *rows, int num_rows, float *hidden, uint64_t num_floats);
    // (count, D) hidden states -> (count, V).
    void logits(const float *hidden, int count, float *logits, uint64_t num_floats);
    // Reads a source of an encoder-decoder; its number, for rows.
    int add_source(const lavra_row &row);
    void forget_source(int number);
    size_t bytes() const;

private:
    // What a decoder looks at of a source, in every layer.
    struct Source {
        Cache cache;
        std::vector<int32_t> table;
        int length;
    };
    // A piece of attention: queries of one sequence and key-value head, over some of the chunks of their keys.
    struct Piece {
        Attend work;
        Source *source; // whose keys and values they look at; null: the sequence's own
        int first_chunk, last_chunk;
        bool split;      // whether it has only some of its queries' chunks, so that they are folded afterwards
        size_t partials; // where the partial results of all of them begin, in floats
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
    void plan(const Rows &row, int head, bool causal, Source *source, int parts, std::vector<Piece> &pieces);
    void plan_bias(int span);
    void read(const lavra_row *rows, int num_rows);
    void pass(int thread); // what every thread runs
    void embed();
    LayerCache &own_cache(int number);
    void run_layer(Layer &layer, int number, int thread);
    void store_keys(int number);
    void exchange(int number, int token, float *keys, float *values) const;
    void attend(Layer &layer, int number, const std::vector<Piece> &pieces, int thread);
    void attend_source(Layer &layer, int number, int thread);
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
    std::vector<int> owners_; // the row of each token
    std::vector<int> logit_rows_;
    std::vector<std::pair<int, const Adapter *>> adapted_; // tokens of the pass that an adapter acts on
    int num_tokens_ = 0;
    Stack *stack_ = nullptr;
    Cache *active_ = nullptr;
    float *logits_ = nullptr;
    std::vector<Piece> pieces_, source_pieces_;
    std::map<int, Source> sources_;
    int next_source_ = 0;
    std::vector<float> biases_; // (heads, 2 span - 1) of distances from 1 - span on, of `bias_stack_`
    int bias_span_ = 0;
    const Stack *bias_stack_ = nullptr;
    size_t partial_floats_ = 0;
    std::vector<int32_t> tables_;

    Memory x_, projected_, mixed_, inner_, angles_, partials_, scratch_, picked_, transformed_, normed_, more_normed_;
    size_t scratch_floats_ = 0;
    Room inputs_, inner_inputs_, more_inputs_; // of attention, of the feed-forward layer's second product, of its first
};

} // namespace lavra
