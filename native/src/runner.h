// A model's forward pass over a paged cache, by a team of threads.

#pragma once

#include <map>
#include <vector>

#include "cache.h"
#include "model.h"
#include "threads.h"

namespace lavra {

// Tokens of one sequence in a pass, in the graph's form.
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
    // (sum of tokens, D) hidden states of whole texts, each read by the encoder, or by a decoder where it has a source or
    // there is no encoder.
    void encode(const lavra_row *rows, int num_rows, float *hidden, uint64_t num_floats);
    // (count, D) hidden states -> (count, V).
    void logits(const float *hidden, int count, float *logits, uint64_t num_floats);
    // Reads a source of an encoder-decoder; returns its number, for rows.
    int add_source(const lavra_row &row);
    void forget_source(int number);
    size_t bytes() const;
    Team &team() { return team_; }

private:
    // The keys and values of a source that a decoder attends to, in every layer.
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
    CacheShape cache_shape(CacheType type) const;
    void lay_out(const lavra_row *rows, int num_rows);
    void lay_out_blocks(const lavra_row *rows);
    void reserve();
    void reserve_scratch();
    void plan_attention(bool causal);
    void plan(const Rows &row, int head, bool causal, Source *source, int parts, std::vector<Piece> &pieces);
    void plan_bias(int span);
    bool look_at_sources(const lavra_row *rows, int num_rows) const;
    void read(const lavra_row *rows, int num_rows, bool with_sources);
    void pass(int thread); // every thread runs it
    void embed();
    LayerCache &own_cache(int number);
    void run_layer(Layer &layer, int number, int thread);
    void store_keys(int number);
    void exchange(int number, int token, float *keys, float *values) const;
    void attend(Layer &layer, int number, const std::vector<Piece> &pieces, int thread);
    void attend_source(Layer &layer, int number, int thread);
    void feed_forward(Layer &layer, const Inputs &inputs, int thread);
    void feed_forward(Layer &layer, const Inputs &inputs, float *x, int thread);
    int inner_tokens() const;
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
    Cache cache_, whole_; // `whole_`: one layer's, of whole texts
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
    std::vector<int32_t> tables_; // of all rows: where the kernels find their blocks

    Memory x_, projected_, mixed_, inner_, angles_, partials_, scratch_, picked_, transformed_, normed_, more_normed_;
    size_t scratch_floats_ = 0;
    Room inputs_, inner_inputs_, more_inputs_; // of attention, of the feed-forward layer's second product, of its first
};

} // namespace lavra
