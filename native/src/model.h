// A model's weights, packed for the kernels of one instruction set.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "kernels.h"
#include "lavra_native.h"
#include "memory.h"

namespace lavra {

struct Norm {
    std::vector<float> weight, bias; // the bias is empty where there is none
};

struct PackedMatrix : Matrix {
    Memory memory, scale_memory;
    std::vector<float> biases;
    bool made = false;
};

struct Attention {
    PackedMatrix projection; // queries, keys and values, one below the other
    PackedMatrix output;
};

struct Cross {
    PackedMatrix query, keys_values, output;
};

struct Layer {
    Norm attention_norm, cross_norm, feed_forward_norm;
    Attention attention;
    std::unique_ptr<Cross> cross;
    PackedMatrix up, down; // up: the gate, where there is one, above it
    int window = 0;
    float scale = 1;
};

struct Stack {
    std::vector<Layer> layers;
    Norm norm;
    std::vector<float> relative; // (buckets, heads)
    bool causal = true;
};

// A low-rank change of some outputs of a matrix (Hu et al. 2021, LoRA, arXiv:2106.09685).
struct LowRank {
    PackedMatrix down, up;
    float scale;
    int first; // output of the matrix that it begins with
};

struct Adapter {
    std::map<const PackedMatrix *, std::vector<std::unique_ptr<LowRank>>> changes;
    int rank = 0; // the largest
};

// Learned keys and values of virtual tokens (Li & Liang 2021, arXiv:2101.00190).
struct Prefix {
    int first, count;         // ids
    std::vector<float> pairs; // (layers, count, 2, kv heads * head_dim)
};

class Model {
public:
    Model(const lavra_config &config, const Kernels &kernels, Precision precision);
    Model(const Model &) = delete;

    void set(const std::string &name, const lavra_tensor &tensor);
    void finish();
    int add_adapter();
    void adapt(int adapter, const std::string &name, const lavra_tensor &down, const lavra_tensor &up, float scale);
    void add_virtual(const lavra_tensor &rows);
    void add_prefix(const lavra_tensor &pairs);
    size_t bytes() const;
    bool finished() const { return finished_; }

    lavra_config config;
    const Kernels &kernels;
    std::vector<float> rotary, slopes;
    Stack decoder, encoder;
    PackedMatrix token, head;
    PackedMatrix head_dense, pooler;
    Norm embedding_norm, head_norm;
    std::vector<float> position, token_type; // rows of hidden_size
    std::vector<float> virtual_rows;         // of tokens behind the vocabulary
    std::vector<Adapter> adapters;
    std::vector<Prefix> prefixes;

    int num_ids() const { return config.vocab_size + int(virtual_rows.size() / config.hidden_size); }

    const Matrix &head_matrix() const { return config.tie_embeddings ? token : head; }
    int wide() const { return config.num_heads * config.head_dim; }
    int narrow() const { return config.num_kv_heads * config.head_dim; }

private:
    // The place for a tensor: rows of a matrix, or numbers.
    struct Place {
        PackedMatrix *matrix = nullptr;
        int first = 0;
        std::vector<float> *numbers = nullptr;
        size_t offset = 0;
        int rows = 0, columns = 0;
        bool filled = false;
    };

    void expect(const std::string &name, PackedMatrix &matrix, int first, int rows, int columns);
    void expect(const std::string &name, std::vector<float> &numbers, int rows, int columns, size_t offset = 0);
    void expect_norm(const std::string &name, Norm &norm);
    void expect_linear(const std::string &name, PackedMatrix &matrix, int first, int rows, int columns, bool bias);
    void expect_stack(const std::string &name, Stack &stack, int num_layers, bool causal, bool cross);
    void expect_layer(const std::string &name, Layer &layer, int number, bool cross);
    void expect_head();
    void fill(Place &place, const std::string &name, const lavra_tensor &tensor);
    void pack(const Place &place, const lavra_tensor &tensor);
    void make(PackedMatrix &matrix, const std::string &name, const lavra_tensor &tensor);
    // Allocate the memory of a matrix, in an arena where one is given.
    void allocate(PackedMatrix &matrix, Precision precision, Arena *arena = nullptr);
    void pack_floats(PackedMatrix &matrix, const std::string &name, const lavra_tensor &tensor, int rows, int columns);

    Precision precision_;
    bool finished_ = false;
    Arena weights_;
    std::map<std::string, Place> places_;
};

} // namespace lavra
