// Small models through the C interface, for sanitizers and for processors that are emulated.
//
//     driver [THREADS]
//
// For each instruction set, kind of model, type of weights and of cache: texts of odd lengths are read alone and at once,
// then again in one batch, in parts, with copied blocks.  The bits must be equal; 1 is returned where they are not.
// Each model's first logits are printed, for whoever compares instruction sets:  ISA MODEL TYPE CACHE LOGIT...

#include "lavra_native.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Floats = std::vector<float>;
using Ints = std::vector<int32_t>;

constexpr int kBlocks = 40, kVocabulary = 43, kMostTokens = 150;
int num_threads = 2;

void require(bool holds, const std::string &what) {
    if (holds) return;
    std::printf("%s: %s\n", what.c_str(), lavra_error());
    std::exit(1);
}

// The same numbers on every machine (Numerical Recipes' generator).
struct Random {
    uint32_t state;
    uint32_t next() { return state = state * 1664525u + 1013904223u; }
    float number() { return float(next() >> 8) / float(1 << 23) - 1.f; }
};

int round_up(int n, int to) { return (n + to - 1) / to * to; }

uint16_t upper_half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return uint16_t(bits >> 16);
}

// A tensor of random numbers, and the memory it points into.
struct Weights {
    lavra_tensor tensor{};
    Floats floats;
    std::vector<uint16_t> halves, scales;
    std::vector<uint8_t> bytes;

    Weights(int type, int rows, int columns, float size, Random &random) {
        const size_t count = size_t(rows) * columns;
        tensor.type = type, tensor.rows = rows, tensor.columns = columns;
        if (type == LAVRA_F32) {
            for (size_t i = 0; i < count; ++i) floats.push_back(random.number() * size);
            tensor.data = floats.data(), tensor.num_bytes = count * 4;
        } else if (type == LAVRA_BF16 || type == LAVRA_F16) {
            for (size_t i = 0; i < count; ++i) halves.push_back(type == LAVRA_BF16 ? upper_half(random.number() * size) : uint16_t(random.next() >> 16 & 0xafff));
            tensor.data = halves.data(), tensor.num_bytes = count * 2;
        } else {
            pack(type, rows, columns, size, random);
        }
    }

    void pack(int type, int rows, int columns, float size, Random &random) {
        const int group = 32, padded = round_up(columns, group), values = type == LAVRA_INT4 ? 2 : 1;
        for (int i = 0; i < rows * padded / values; ++i) bytes.push_back(uint8_t(random.next() >> 24));
        const float scale = size / (type == LAVRA_INT4 ? 8 : 128);
        for (int i = 0; i < rows * padded / group; ++i) scales.push_back(upper_half(scale * (1 + random.number() / 2)));
        tensor.group = group;
        tensor.data = bytes.data(), tensor.num_bytes = bytes.size();
        tensor.scales = scales.data(), tensor.num_scale_bytes = scales.size() * 2;
    }
};

// A model and how it is named.
struct Shape {
    const char *name;
    lavra_config config;
};

lavra_config base(int hidden, int heads, int kv_heads, int channels, int inner) {
    lavra_config c{};
    c.kind = LAVRA_DECODER;
    c.vocab_size = kVocabulary, c.hidden_size = hidden, c.num_layers = 2, c.feed_forward_size = inner;
    c.num_heads = heads, c.num_kv_heads = kv_heads, c.head_dim = channels, c.max_positions = 512;
    c.final_norm = c.has_head = 1;
    c.norm_eps = 1e-5f, c.attention_scale = 1 / std::sqrt(float(channels)), c.head_scale = c.rotary_factor = 1;
    return c;
}

const float kAngles[16] = {1, .5f, .25f, .125f, .06f, .03f, .015f, .007f, .004f, .002f, .001f, 5e-4f, 2e-4f, 1e-4f, 5e-5f, 1e-5f};
const float kSlopes[4] = {.5f, .25f, .125f, .0625f};
const int32_t kWindows[2] = {0, 20};

std::vector<Shape> shapes() {
    std::vector<Shape> made;
    lavra_config llama = base(72, 6, 2, 12, 100); // sizes that fill no vector
    llama.layout = LAVRA_PRE_NORM, llama.norm = LAVRA_RMS_NORM, llama.activation = LAVRA_SILU, llama.gated = 1;
    llama.positions = LAVRA_ROTARY, llama.rotary = kAngles, llama.tie_embeddings = 1, llama.windows = kWindows;
    made.push_back({"llama", llama});
    lavra_config gpt2 = base(64, 4, 4, 16, 256);
    gpt2.layout = LAVRA_PRE_NORM, gpt2.norm = LAVRA_LAYER_NORM, gpt2.activation = LAVRA_GELU_TANH;
    gpt2.positions = LAVRA_LEARNED, gpt2.position_offset = 2;
    gpt2.attention_bias = gpt2.attention_output_bias = gpt2.feed_forward_bias = gpt2.head_bias = gpt2.scale_by_layer = 1;
    made.push_back({"gpt2", gpt2});
    lavra_config falcon = base(48, 4, 1, 12, 96);
    falcon.layout = LAVRA_PARALLEL, falcon.norm = LAVRA_LAYER_NORM, falcon.activation = LAVRA_GELU;
    falcon.positions = LAVRA_ALIBI, falcon.slopes = kSlopes;
    made.push_back({"falcon", falcon});
    return made;
}

struct Maker {
    lavra_model *model;
    int type;
    Random random{7};

    void set(const std::string &name, const Weights &weights) {
        require(!lavra_model_set(model, name.c_str(), &weights.tensor), name);
    }
    void matrix(const std::string &name, int rows, int columns) {
        set(name, Weights(type, rows, columns, 1.7f / std::sqrt(float(columns)), random));
    }
    void linear(const std::string &name, int rows, int columns, bool bias) {
        matrix(name + ".weight", rows, columns);
        if (bias) set(name + ".bias", Weights(LAVRA_F32, 1, rows, .1f, random));
    }
    void norm(const std::string &name, const lavra_config &c) {
        set(name + ".weight", Weights(LAVRA_F32, 1, c.hidden_size, 1.f, random));
        if (c.norm == LAVRA_LAYER_NORM) set(name + ".bias", Weights(LAVRA_F32, 1, c.hidden_size, .1f, random));
    }
    void block(const std::string &name, const lavra_config &c) {
        const int wide = c.num_heads * c.head_dim, narrow = c.num_kv_heads * c.head_dim;
        norm(name + ".attention_norm", c);
        if (c.layout != LAVRA_PARALLEL) norm(name + ".feed_forward_norm", c);
        linear(name + ".attention.query", wide, c.hidden_size, c.attention_bias);
        linear(name + ".attention.key", narrow, c.hidden_size, c.attention_bias);
        linear(name + ".attention.value", narrow, c.hidden_size, c.attention_bias);
        linear(name + ".attention.output", c.hidden_size, wide, c.attention_output_bias);
        if (c.gated) linear(name + ".feed_forward.gate", c.feed_forward_size, c.hidden_size, c.feed_forward_bias);
        linear(name + ".feed_forward.up", c.feed_forward_size, c.hidden_size, c.feed_forward_bias);
        linear(name + ".feed_forward.down", c.hidden_size, c.feed_forward_size, c.feed_forward_bias);
    }
};

lavra_model *made_model(const char *isa, const lavra_config &c, int type, int precision) {
    Maker maker{lavra_model_new(&c, isa, precision), type};
    require(maker.model != nullptr, "lavra_model_new");
    maker.matrix("embedding.token.weight", c.vocab_size, c.hidden_size);
    if (c.positions == LAVRA_LEARNED)
        maker.set("embedding.position.weight", Weights(LAVRA_F32, c.max_positions + c.position_offset, c.hidden_size, .5f, maker.random));
    for (int layer = 0; layer < c.num_layers; ++layer) maker.block("decoder.blocks." + std::to_string(layer), c);
    maker.norm("decoder.norm", c);
    if (!c.tie_embeddings) maker.matrix("head.weight", c.vocab_size, c.hidden_size);
    if (c.head_bias) maker.set("head.bias", Weights(LAVRA_F32, 1, c.vocab_size, .1f, maker.random));
    require(!lavra_model_finish(maker.model), "lavra_model_finish");
    return maker.model;
}

// A text and the blocks it lies in.
struct Text {
    Ints tokens, blocks;
    lavra_row row(int start, int end) const {
        lavra_row made{};
        made.tokens = tokens.data() + start, made.num_tokens = end - start, made.start = start;
        made.blocks = blocks.data(), made.num_blocks = int(blocks.size()), made.num_logits = end - start;
        made.adapter = made.source = -1;
        return made;
    }
};

std::vector<Text> texts() {
    std::vector<Text> made;
    Random random{99};
    int block = kBlocks;
    for (int length : {1, 15, 16, 17, 33, kMostTokens}) {
        Text text;
        for (int t = 0; t < length; ++t) text.tokens.push_back(int32_t(random.next() >> 16) % kVocabulary);
        for (int b = 0; b < (length + 15) / 16; ++b) text.blocks.push_back(--block); // from the last block on
        made.push_back(text);
    }
    return made;
}

Floats forward(lavra_runner *runner, const std::vector<lavra_row> &rows, const Ints &copies = {}) {
    size_t count = 0;
    for (const lavra_row &row : rows) count += row.num_logits;
    Floats logits(count * kVocabulary);
    const lavra_batch batch{rows.data(), int32_t(rows.size()), int32_t(copies.size() / 2), copies.data()};
    require(!lavra_runner_forward(runner, &batch, logits.data(), logits.size()), "lavra_runner_forward");
    return logits;
}

void append(Floats &to, const Floats &from) { to.insert(to.end(), from.begin(), from.end()); }

void require_equal(const Floats &a, const Floats &b, const std::string &what) {
    require(a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * 4), what + ": bits differ");
}

// Each text alone at once; then all in one batch; then in parts beside one another; then after a copied block.
Floats compare_company(lavra_runner *runner, const std::string &what) {
    const std::vector<Text> all = texts();
    Floats alone, last;
    std::vector<lavra_row> whole;
    for (const Text &text : all) {
        whole.push_back(text.row(0, int(text.tokens.size())));
        last = forward(runner, {whole.back()});
        append(alone, last);
    }
    require_equal(alone, forward(runner, whole), what + ", one batch");
    std::vector<Floats> parts(all.size());
    for (int start = 0; start < kMostTokens; start += 7) {
        std::vector<lavra_row> rows;
        for (const Text &text : all)
            if (int length = int(text.tokens.size()); start < length) rows.push_back(text.row(start, start + 7 < length ? start + 7 : length));
        const Floats read = forward(runner, rows);
        size_t at = 0, row = 0;
        for (size_t t = 0; t < all.size(); ++t) {
            if (start >= int(all[t].tokens.size())) continue;
            const size_t count = size_t(rows[row++].num_tokens) * kVocabulary;
            append(parts[t], Floats(read.begin() + at, read.begin() + at + count));
            at += count;
        }
    }
    Floats joined;
    for (const Floats &part : parts) append(joined, part);
    require_equal(alone, joined, what + ", in parts");
    Text copied = all.back();
    const int32_t from = copied.blocks[0];
    copied.blocks[0] = 0;
    const int length = int(copied.tokens.size());
    const Floats end = forward(runner, {copied.row(length - 1, length)}, {from, 0});
    require_equal(Floats(last.end() - kVocabulary, last.end()), end, what + ", after a copy");
    return last;
}

void run_model(const char *isa, const Shape &shape, const char *type_name, int type, int precision) {
    lavra_model *model = made_model(isa, shape.config, type, precision);
    const char *caches[] = {"f32", "bf16", "int8"};
    const int first = type == LAVRA_F32 ? 0 : type % 3, last = type == LAVRA_F32 ? 3 : first + 1; // all, or one of them
    for (int cache = first; cache < last; ++cache) {
        lavra_runner *runner = lavra_runner_new(model, kBlocks, cache, num_threads);
        require(runner != nullptr, "lavra_runner_new");
        const std::string what = std::string(isa) + " " + shape.name + " " + type_name + " " + caches[cache];
        const Floats logits = compare_company(runner, what);
        std::printf("%s", what.c_str());
        for (int i = 0; i < kVocabulary; ++i) std::printf(" %.6g", logits[logits.size() - kVocabulary + i]);
        std::printf("\n");
        lavra_runner_free(runner);
    }
    lavra_model_free(model);
}

// Products of odd sizes beside sums in double precision.
void run_linear(const char *isa) {
    Random random{3};
    for (int rows : {1, 16, 37})
        for (int columns : {1, 31, 32, 70})
            for (int m : {1, 3, 9, 33}) {
                const Weights weights(LAVRA_F32, rows, columns, 1.f, random);
                Floats inputs, outputs(size_t(m) * rows);
                for (int i = 0; i < m * columns; ++i) inputs.push_back(random.number());
                require(!lavra_linear(isa, &weights.tensor, LAVRA_F32, inputs.data(), m, outputs.data()), "lavra_linear");
                for (int i = 0; i < m * rows; ++i) {
                    double sum = 0;
                    for (int k = 0; k < columns; ++k) sum += double(inputs[i / rows * columns + k]) * weights.floats[i % rows * columns + k];
                    require(std::fabs(sum - outputs[i]) < 1e-4, std::string(isa) + ": a product is wrong");
                }
            }
}

} // namespace

int main(int count, char **arguments) {
    if (count > 1) num_threads = std::atoi(arguments[1]);
    const std::string isas = std::string(lavra_isas()) + ",";
    for (size_t at = 0; at < isas.size(); at = isas.find(',', at) + 1) {
        const std::string isa = isas.substr(at, isas.find(',', at) - at);
        run_linear(isa.c_str());
        for (const Shape &shape : shapes()) {
            run_model(isa.c_str(), shape, "f32", LAVRA_F32, LAVRA_F32);
            run_model(isa.c_str(), shape, "f16", LAVRA_F16, LAVRA_BF16);
            run_model(isa.c_str(), shape, "bf16", LAVRA_BF16, LAVRA_BF16);
            run_model(isa.c_str(), shape, "int8", LAVRA_INT8, LAVRA_F32);
            run_model(isa.c_str(), shape, "int8_a16", LAVRA_INT8_A16, LAVRA_F32);
            run_model(isa.c_str(), shape, "int4", LAVRA_INT4, LAVRA_F32);
        }
    }
    return 0;
}
