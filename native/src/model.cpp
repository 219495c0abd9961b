#include "model.h"

#include <algorithm>

#include "tensors.h"

namespace lavra {

namespace {

constexpr size_t kSlice = 4 << 20; // bytes of a mapped tensor that are packed at once

void check_config(const lavra_config &c) {
    check_range("kind", c.kind, 0, 2);
    check_range("layout", c.layout, 0, 3);
    check_range("norm", c.norm, 0, 1);
    check_range("activation", c.activation, 0, 3);
    check_range("head_activation", c.head_activation, 0, 3);
    check_range("positions", c.positions, 0, 3);
    check_range("vocab_size", c.vocab_size, 1, kMost);
    check_range("hidden_size", c.hidden_size, 1, 1 << 16);
    check_range("num_layers", c.num_layers, 1, 1024);
    check_range("num_decoder_layers", c.num_decoder_layers, 0, 1024);
    check_range("num_heads", c.num_heads, 1, 1024);
    check_range("num_kv_heads", c.num_kv_heads, 1, c.num_heads);
    check_range("head_dim", c.head_dim, 1, 1024);
    check_range("feed_forward_size", c.feed_forward_size, 1, 1 << 20);
    check_range("max_positions", c.max_positions, 1, kMost);
    check_range("position_offset", c.position_offset, 0, kMost);
    check_range("num_token_types", c.num_token_types, 0, 1 << 16);
    if (c.num_heads % c.num_kv_heads) throw Error("num_heads must be a multiple of num_kv_heads");
    if (c.positions == LAVRA_ROTARY && (c.rotary == nullptr || c.head_dim % 2))
        throw Error("rotary positions need their angles and an even head_dim");
    if (c.positions == LAVRA_ALIBI && c.slopes == nullptr) throw Error("ALiBi needs its slopes");
    if (c.positions != LAVRA_RELATIVE_BIAS) return;
    check_range("relative_buckets", c.relative_buckets, 4, 4096);
    check_range("relative_distance", c.relative_distance, 1, kMost);
}

} // namespace

Model::Model(const lavra_config &given, const Kernels &set, Precision precision)
    : config(given), kernels(set), precision_(precision) {
    check_config(given);
    if (config.rotary) rotary.assign(config.rotary, config.rotary + config.head_dim / 2);
    if (config.slopes) slopes.assign(config.slopes, config.slopes + config.num_heads);
    const int size = config.hidden_size;
    expect("embedding.token.weight", token, 0, config.vocab_size, size);
    if (config.positions == LAVRA_LEARNED)
        expect("embedding.position.weight", position, config.max_positions + config.position_offset, size);
    if (config.num_token_types) expect("embedding.token_type.weight", token_type, config.num_token_types, size);
    if (config.embedding_norm) expect_norm("embedding.norm", embedding_norm);
    if (config.kind != LAVRA_DECODER) expect_stack("encoder", encoder, config.num_layers, false, false);
    if (config.kind == LAVRA_DECODER) expect_stack("decoder", decoder, config.num_layers, true, false);
    if (config.kind == LAVRA_ENCODER_DECODER) expect_stack("decoder", decoder, config.num_decoder_layers, true, true);
    if (config.has_pooler) expect_linear("pooler", pooler, 0, size, size, true);
    if (config.has_head) expect_head();
    config.rotary = config.slopes = nullptr; // the caller's memory
    config.windows = nullptr;
}

void Model::expect_head() {
    const int size = config.hidden_size;
    if (config.head_transform) {
        expect_linear("head.dense", head_dense, 0, size, size, true);
        expect_norm("head.norm", head_norm);
    }
    if (!config.tie_embeddings) expect("head.weight", head, 0, config.vocab_size, size);
    if (config.head_bias) {
        PackedMatrix &matrix = config.tie_embeddings ? token : head;
        matrix.biases.assign(matrix.strips() * kStrip, 0.f);
        expect("head.bias", matrix.biases, 1, config.vocab_size);
    }
}

void Model::expect_stack(const std::string &name, Stack &stack, int num_layers, bool causal, bool cross) {
    stack.causal = causal;
    stack.layers = std::vector<Layer>(num_layers);
    for (int number = 0; number < num_layers; ++number)
        expect_layer(name + ".blocks." + std::to_string(number), stack.layers[number], number, cross);
    if (config.positions == LAVRA_RELATIVE_BIAS)
        expect(name + ".relative_bias.weight", stack.relative, config.relative_buckets, config.num_heads);
    if (config.final_norm) expect_norm(name + ".norm", stack.norm);
}

void Model::expect_layer(const std::string &name, Layer &layer, int number, bool cross) {
    const int size = config.hidden_size, inner = config.feed_forward_size;
    layer.window = config.windows ? config.windows[number] : 0;
    layer.scale = config.attention_scale / (config.scale_by_layer ? number + 1 : 1);
    expect_norm(name + ".attention_norm", layer.attention_norm);
    if (config.layout != LAVRA_PARALLEL) expect_norm(name + ".feed_forward_norm", layer.feed_forward_norm);
    Attention &attention = layer.attention;
    attention.projection.rows = wide() + 2 * narrow(), attention.projection.columns = size;
    expect_linear(name + ".attention.query", attention.projection, 0, wide(), size, config.attention_bias);
    expect_linear(name + ".attention.key", attention.projection, wide(), narrow(), size, config.attention_bias);
    expect_linear(name + ".attention.value", attention.projection, wide() + narrow(), narrow(), size,
                  config.attention_bias);
    expect_linear(name + ".attention.output", attention.output, 0, size, wide(), config.attention_output_bias);
    if (cross) {
        layer.cross = std::make_unique<Cross>();
        layer.cross->keys_values.rows = 2 * narrow(), layer.cross->keys_values.columns = size;
        expect_norm(name + ".cross_norm", layer.cross_norm);
        expect_linear(name + ".cross_attention.query", layer.cross->query, 0, wide(), size, config.attention_bias);
        expect_linear(name + ".cross_attention.key", layer.cross->keys_values, 0, narrow(), size,
                      config.attention_bias);
        expect_linear(name + ".cross_attention.value", layer.cross->keys_values, narrow(), narrow(), size,
                      config.attention_bias);
        expect_linear(name + ".cross_attention.output", layer.cross->output, 0, size, wide(),
                      config.attention_output_bias);
    }
    layer.up.rows = config.gated ? 2 * inner : inner, layer.up.columns = size;
    if (config.gated) expect_linear(name + ".feed_forward.gate", layer.up, 0, inner, size, config.feed_forward_bias);
    expect_linear(name + ".feed_forward.up", layer.up, config.gated ? inner : 0, inner, size, config.feed_forward_bias);
    expect_linear(name + ".feed_forward.down", layer.down, 0, size, inner, config.feed_forward_bias);
}

void Model::expect_norm(const std::string &name, Norm &norm) {
    expect(name + ".weight", norm.weight, 1, config.hidden_size);
    if (config.norm == LAVRA_LAYER_NORM) expect(name + ".bias", norm.bias, 1, config.hidden_size);
}

void Model::expect_linear(const std::string &name, PackedMatrix &matrix, int first, int rows, int columns, bool bias) {
    expect(name + ".weight", matrix, first, rows, columns);
    if (!bias) return;
    matrix.biases.resize(matrix.strips() * kStrip);
    expect(name + ".bias", matrix.biases, 1, rows, first);
}

// A matrix of several tensors has its size already; a matrix of one tensor gets it here.
void Model::expect(const std::string &name, PackedMatrix &matrix, int first, int rows, int columns) {
    if (matrix.rows == 0) matrix.rows = rows, matrix.columns = columns;
    Place place;
    place.matrix = &matrix, place.first = first, place.rows = rows, place.columns = columns;
    places_.emplace(name, place);
}

void Model::expect(const std::string &name, std::vector<float> &numbers, int rows, int columns, size_t offset) {
    Place place;
    place.numbers = &numbers, place.offset = offset, place.rows = rows, place.columns = columns;
    places_.emplace(name, place);
}

void Model::set(const std::string &name, const lavra_tensor &tensor) {
    const auto found = places_.find(name);
    if (found == places_.end()) throw Error("the model has no tensor " + name);
    Place &place = found->second;
    if (place.filled) throw Error(name + " is given twice");
    if (tensor.rows != place.rows || tensor.columns != place.columns)
        throw Error(name + " has shape " + shape(tensor.rows, tensor.columns) + "; the model needs " +
                    shape(place.rows, place.columns));
    check_tensor(name, tensor);
    fill(place, name, tensor);
    place.filled = true;
}

void Model::fill(Place &place, const std::string &name, const lavra_tensor &tensor) {
    if (place.numbers) {
        if (is_integer(tensor.type)) throw Error(name + " holds integers; the model needs floats there");
        // Allocated only when the tensor arrives: a configuration alone may promise more than there is memory for.
        place.numbers->resize(std::max(place.numbers->size(), place.offset + size_t(tensor.rows) * tensor.columns));
        copy_numbers(tensor, place.numbers->data() + place.offset);
        return;
    }
    make(*place.matrix, name, tensor);
    pack(place, tensor);
}

// Pack a mapped file some rows at a time and then give their pages back: opening takes the packed weights and no more.
void Model::pack(const Place &place, const lavra_tensor &tensor) {
    const size_t bytes = row_bytes(tensor), groups = tensor.group ? (tensor.columns + tensor.group - 1) / tensor.group : 1;
    const int step = tensor.mapped ? int(std::max<size_t>(1, kSlice / bytes)) : tensor.rows;
    const char *data = static_cast<const char *>(tensor.data);
    const auto *scales = static_cast<const uint16_t *>(tensor.scales);
    for (int first = 0; first < tensor.rows; first += step) {
        const int rows = std::min(step, tensor.rows - first);
        const Source source{tensor.type, rows, tensor.columns, tensor.group, data + first * bytes, scales ? scales + first * groups : nullptr};
        kernels.pack(*place.matrix, place.first + first, source);
        if (tensor.mapped) release_file_pages(source.data, rows * bytes);
    }
}

void Model::make(PackedMatrix &matrix, const std::string &name, const lavra_tensor &tensor) {
    const Precision precision = precision_of(tensor.type, precision_);
    if (is_integer(tensor.type) && tensor.group % kGroup)
        throw Error(name + " has groups of " + std::to_string(tensor.group) +
                    " columns; the native runner computes multiples of 32");
    if (matrix.made) {
        if (matrix.precision != precision)
            throw Error(name + " is stored in another type than its neighbours of the same product");
        return;
    }
    allocate(matrix, precision, &weights_);
}

void Model::allocate(PackedMatrix &matrix, Precision precision, Arena *arena) {
    const auto taken = [&](size_t bytes) { return arena ? arena->take(bytes) : Memory(bytes); };
    matrix.precision = precision;
    matrix.memory = taken(data_bytes(matrix));
    matrix.data = matrix.memory.data();
    if (precision != Precision::f32 && precision != Precision::bf16) {
        matrix.scale_memory = taken(size_t(matrix.strips()) * (matrix.padded() / kGroup) * kStrip * 2);
        matrix.scales = matrix.scale_memory.as<uint16_t>();
    }
    if (!matrix.biases.empty()) matrix.bias = matrix.biases.data();
    kernels.blank(matrix);
    matrix.made = true;
}

void Model::finish() {
    std::string missing;
    int count = 0;
    for (const auto &[name, place] : places_)
        if (!place.filled && ++count <= 5) missing += (missing.empty() ? "" : ", ") + name;
    if (count) throw Error(std::to_string(count) + " tensors are missing: " + missing + (count > 5 ? ", ..." : ""));
    finished_ = true;
}

size_t Model::bytes() const {
    size_t total = virtual_rows.size() * 4;
    for (const Adapter &adapter : adapters)
        for (const auto &[matrix, changes] : adapter.changes)
            for (const auto &change : changes) total += change->down.memory.bytes() + change->up.memory.bytes();
    std::map<const PackedMatrix *, size_t> matrices;
    for (const auto &[name, place] : places_) {
        if (place.numbers)
            total += size_t(place.rows) * place.columns * 4;
        else
            matrices[place.matrix] = place.matrix->memory.bytes() + place.matrix->scale_memory.bytes();
    }
    for (const auto &[matrix, bytes] : matrices) total += bytes;
    return total;
}

} // namespace lavra
