#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

namespace lavra {

namespace {

constexpr int kMost = 1 << 24; // of any size: products of two of them fit 64 bits many times over

std::string shape(int rows, int columns) { return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")"; }

size_t data_bytes(const Matrix &matrix) {
    const size_t values = size_t(matrix.strips()) * kStrip * matrix.padded();
    switch (matrix.precision) {
    case Precision::f32: return values * 4;
    case Precision::bf16: return values * 2;
    case Precision::int8: return values;
    case Precision::int4: return values / 2;
    }
    return 0;
}

bool is_integer(int32_t type) { return type == LAVRA_INT8 || type == LAVRA_INT4; }

size_t row_bytes(const lavra_tensor &tensor) {
    const int group = tensor.type == LAVRA_INT4 && tensor.group < 8 ? 8 : tensor.group;
    const size_t padded = group ? round_up(tensor.columns, group) : tensor.columns;
    switch (tensor.type) {
    case LAVRA_F32: return size_t(tensor.columns) * 4;
    case LAVRA_F16:
    case LAVRA_BF16: return size_t(tensor.columns) * 2;
    case LAVRA_INT8: return padded;
    default: return padded / 2;
    }
}

float from_bfloat16(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

float from_half(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float sign = bits & 0x8000 ? -1.f : 1.f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24));
}

void copy_numbers(const lavra_tensor &tensor, float *to) {
    const size_t count = size_t(tensor.rows) * tensor.columns;
    const auto *halves = static_cast<const uint16_t *>(tensor.data);
    if (tensor.type == LAVRA_F32) std::memcpy(to, tensor.data, count * 4);
    else
        for (size_t i = 0; i < count; ++i) to[i] = tensor.type == LAVRA_BF16 ? from_bfloat16(halves[i]) : from_half(halves[i]);
}

void check_range(const char *name, int value, int least, int most) {
    if (value < least || value > most)
        throw Error(std::string(name) + " is " + std::to_string(value) + "; it must be from " + std::to_string(least) + " to " + std::to_string(most));
}

void check_config(const lavra_config &c) {
    if (c.abi != LAVRA_ABI) throw Error("the caller's interface is version " + std::to_string(c.abi) + ", this one is " + std::to_string(LAVRA_ABI));
    check_range("kind", c.kind, 0, 2), check_range("layout", c.layout, 0, 3), check_range("norm", c.norm, 0, 1);
    check_range("activation", c.activation, 0, 3), check_range("head_activation", c.head_activation, 0, 3);
    check_range("positions", c.positions, 0, 3), check_range("vocab_size", c.vocab_size, 1, kMost);
    check_range("hidden_size", c.hidden_size, 1, 1 << 16), check_range("num_layers", c.num_layers, 1, 1024);
    check_range("num_decoder_layers", c.num_decoder_layers, 0, 1024), check_range("num_heads", c.num_heads, 1, 1024);
    check_range("num_kv_heads", c.num_kv_heads, 1, c.num_heads), check_range("head_dim", c.head_dim, 1, 1024);
    check_range("feed_forward_size", c.feed_forward_size, 1, 1 << 20), check_range("max_positions", c.max_positions, 1, kMost);
    check_range("position_offset", c.position_offset, 0, kMost), check_range("num_token_types", c.num_token_types, 0, 1 << 16);
    if (c.num_heads % c.num_kv_heads) throw Error("num_heads must be a multiple of num_kv_heads");
    if (c.positions == LAVRA_ROTARY && (c.rotary == nullptr || c.head_dim % 2)) throw Error("rotary positions need their angles and an even head_dim");
    if (c.positions == LAVRA_ALIBI && c.slopes == nullptr) throw Error("ALiBi needs its slopes");
    if (c.positions == LAVRA_RELATIVE_BIAS) check_range("relative_buckets", c.relative_buckets, 4, 4096), check_range("relative_distance", c.relative_distance, 1, kMost);
}

} // namespace

void check_tensor(const std::string &name, const lavra_tensor &tensor) {
    if (tensor.type < LAVRA_F32 || tensor.type > LAVRA_INT4) throw Error(name + ": type " + std::to_string(tensor.type) + " is unknown");
    if (tensor.group < 0 || tensor.group > kMost || tensor.group % 8) throw Error(name + ": a group has " + std::to_string(tensor.group) + " columns; give a multiple of 8 up to " + std::to_string(kMost) + ", or 0");
    if (tensor.rows < 1 || tensor.columns < 1 || tensor.rows > kMost || tensor.columns > kMost) throw Error(name + " has shape " + shape(tensor.rows, tensor.columns));
    if (tensor.data == nullptr) throw Error(name + ": there is no data");
    const uint64_t wanted = uint64_t(tensor.rows) * row_bytes(tensor);
    if (tensor.num_bytes != wanted)
        throw Error(name + ": " + std::to_string(tensor.num_bytes) + " bytes; " + shape(tensor.rows, tensor.columns) + " of its type takes " + std::to_string(wanted));
    if (!is_integer(tensor.type)) return;
    const uint64_t groups = tensor.group ? (tensor.columns + tensor.group - 1) / tensor.group : 1;
    if (tensor.scales == nullptr || tensor.num_scale_bytes != tensor.rows * groups * 2)
        throw Error(name + ": " + std::to_string(tensor.num_scale_bytes) + " bytes of scales; " + std::to_string(groups) + " groups of " + std::to_string(tensor.rows) + " rows take " + std::to_string(tensor.rows * groups * 2));
}

namespace {

// Best first; null where the processor lacks one.
const Kernels *built(int number) {
    const Kernels *(*const all[])() = {
#ifdef LAVRA_HAS_AVX512
        avx512_kernels,
#endif
#ifdef LAVRA_HAS_AVX2
        avx2_kernels,
#endif
#ifdef LAVRA_HAS_NEON
        neon_kernels,
#endif
        portable_kernels};
    return number < int(std::size(all)) ? all[number]() : nullptr;
}

constexpr int kMostSets = 4;

} // namespace

const Kernels *find_kernels(const char *isa) {
    for (int number = 0; number < kMostSets; ++number)
        if (const Kernels *kernels = built(number); kernels && (isa == nullptr || !std::strcmp(isa, kernels->name))) return kernels;
    throw Error(std::string("instruction set '") + isa + "' is not in this build or not in this processor; there are " + kernel_names());
}

std::string kernel_names() {
    std::string names;
    for (int number = 0; number < kMostSets; ++number)
        if (const Kernels *kernels = built(number)) {
            if (!names.empty()) names += ',';
            names += kernels->name;
        }
    return names;
}

Model::Model(const lavra_config &given, const Kernels &set, Precision precision)
    : config(given), kernels(set), precision_(precision) {
    check_config(given);
    if (config.rotary) rotary.assign(config.rotary, config.rotary + config.head_dim / 2);
    if (config.slopes) slopes.assign(config.slopes, config.slopes + config.num_heads);
    const int size = config.hidden_size;
    expect("embedding.token.weight", token, 0, config.vocab_size, size);
    if (config.positions == LAVRA_LEARNED) expect("embedding.position.weight", position, config.max_positions + config.position_offset, size);
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
    if (config.positions == LAVRA_RELATIVE_BIAS) expect(name + ".relative_bias.weight", stack.relative, config.relative_buckets, config.num_heads);
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
    expect_linear(name + ".attention.value", attention.projection, wide() + narrow(), narrow(), size, config.attention_bias);
    expect_linear(name + ".attention.output", attention.output, 0, size, wide(), config.attention_output_bias);
    if (cross) {
        layer.cross = std::make_unique<Cross>();
        layer.cross->keys_values.rows = 2 * narrow(), layer.cross->keys_values.columns = size;
        expect_norm(name + ".cross_norm", layer.cross_norm);
        expect_linear(name + ".cross_attention.query", layer.cross->query, 0, wide(), size, config.attention_bias);
        expect_linear(name + ".cross_attention.key", layer.cross->keys_values, 0, narrow(), size, config.attention_bias);
        expect_linear(name + ".cross_attention.value", layer.cross->keys_values, narrow(), narrow(), size, config.attention_bias);
        expect_linear(name + ".cross_attention.output", layer.cross->output, 0, size, wide(), config.attention_output_bias);
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

// A matrix of several tensors has its size before; one of its own gets it here.
void Model::expect(const std::string &name, PackedMatrix &matrix, int first, int rows, int columns) {
    if (matrix.rows == 0) matrix.rows = rows, matrix.columns = columns;
    Place place;
    place.matrix = &matrix, place.first = first, place.rows = rows, place.columns = columns;
    places_.emplace(name, place);
}

void Model::expect(const std::string &name, std::vector<float> &numbers, int rows, int columns, size_t offset) {
    if (numbers.empty()) numbers.resize(size_t(rows) * columns);
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
        throw Error(name + " has shape " + shape(tensor.rows, tensor.columns) + "; the model needs " + shape(place.rows, place.columns));
    check_tensor(name, tensor);
    fill(place, name, tensor);
    place.filled = true;
}

void Model::fill(Place &place, const std::string &name, const lavra_tensor &tensor) {
    if (place.numbers) {
        if (is_integer(tensor.type)) throw Error(name + " holds integers; the model needs floats there");
        copy_numbers(tensor, place.numbers->data() + place.offset);
        return;
    }
    make(*place.matrix, name, tensor);
    const Source source{tensor.type, tensor.rows, tensor.columns, tensor.group, tensor.data, static_cast<const uint16_t *>(tensor.scales)};
    kernels.pack(*place.matrix, place.first, source);
}

void Model::make(PackedMatrix &matrix, const std::string &name, const lavra_tensor &tensor) {
    const Precision precision = tensor.type == LAVRA_INT8 ? Precision::int8 : tensor.type == LAVRA_INT4 ? Precision::int4 : precision_;
    if (is_integer(tensor.type) && tensor.group % kGroup)
        throw Error(name + " has groups of " + std::to_string(tensor.group) + " columns; the native runner computes multiples of 32");
    if (matrix.made) {
        if (matrix.precision != precision) throw Error(name + " is stored in another type than its neighbours of the same product");
        return;
    }
    allocate(matrix, precision);
}

void Model::allocate(PackedMatrix &matrix, Precision precision) {
    matrix.precision = precision;
    matrix.memory = Memory(data_bytes(matrix));
    matrix.data = matrix.memory.data();
    if (precision == Precision::int8 || precision == Precision::int4) {
        matrix.scale_memory = Memory(size_t(matrix.strips()) * (matrix.padded() / kGroup) * kStrip * 2);
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

int Model::add_adapter() {
    adapters.emplace_back();
    return int(adapters.size()) - 1;
}

void Model::adapt(int number, const std::string &name, const lavra_tensor &down, const lavra_tensor &up, float scale) {
    const auto found = places_.find(name);
    if (found == places_.end() || !found->second.matrix) throw Error("the model has no matrix " + name);
    if (number < 0 || number >= int(adapters.size())) throw Error("there is no adapter " + std::to_string(number));
    const Place &place = found->second;
    check_range("the rank", down.rows, 1, 1 << 16);
    auto change = std::make_unique<LowRank>();
    change->scale = scale, change->first = place.first;
    pack_floats(change->down, name + ", down", down, down.rows, place.columns);
    pack_floats(change->up, name + ", up", up, place.rows, down.rows);
    adapters[number].rank = std::max(adapters[number].rank, int(down.rows));
    adapters[number].changes[place.matrix].push_back(std::move(change));
}

void Model::pack_floats(PackedMatrix &matrix, const std::string &name, const lavra_tensor &tensor, int rows, int columns) {
    if (tensor.rows != rows || tensor.columns != columns) throw Error(name + " has shape " + shape(tensor.rows, tensor.columns) + "; it must be " + shape(rows, columns));
    if (is_integer(tensor.type)) throw Error(name + " holds integers; give floats");
    check_tensor(name, tensor);
    matrix.rows = rows, matrix.columns = columns;
    allocate(matrix, Precision::f32);
    kernels.pack(matrix, 0, Source{tensor.type, rows, columns, 0, tensor.data, nullptr});
}

void Model::add_virtual(const lavra_tensor &rows) {
    if (rows.columns != config.hidden_size || rows.rows < 1) throw Error("virtual tokens have shape " + shape(rows.rows, rows.columns) + "; they need " + std::to_string(config.hidden_size) + " columns");
    if (is_integer(rows.type)) throw Error("virtual tokens hold integers; give floats");
    check_tensor("virtual tokens", rows);
    const size_t before = virtual_rows.size();
    virtual_rows.resize(before + size_t(rows.rows) * rows.columns);
    copy_numbers(rows, virtual_rows.data() + before);
}

void Model::add_prefix(const lavra_tensor &pairs) {
    const int layers = int(decoder.layers.size());
    if (layers == 0) throw Error("an encoder keeps no keys and values, so it has no prefix");
    if (pairs.columns != narrow() || pairs.rows < 1 || pairs.rows % (2 * layers)) throw Error("a prefix's pairs have shape " + shape(pairs.rows, pairs.columns) + "; they need a multiple of " + std::to_string(2 * layers) + " rows of " + std::to_string(narrow()));
    if (is_integer(pairs.type)) throw Error("a prefix's pairs hold integers; give floats");
    check_tensor("a prefix's pairs", pairs);
    Prefix prefix{num_ids(), pairs.rows / (2 * layers), std::vector<float>(size_t(pairs.rows) * pairs.columns)};
    copy_numbers(pairs, prefix.pairs.data());
    virtual_rows.resize(virtual_rows.size() + size_t(prefix.count) * config.hidden_size);
    prefixes.push_back(std::move(prefix));
}

size_t Model::bytes() const {
    size_t total = virtual_rows.size() * 4;
    for (const Adapter &adapter : adapters)
        for (const auto &[matrix, changes] : adapter.changes)
            for (const auto &change : changes) total += change->down.memory.bytes() + change->up.memory.bytes();
    std::map<const PackedMatrix *, size_t> matrices;
    for (const auto &[name, place] : places_) {
        if (place.numbers) total += size_t(place.rows) * place.columns * 4;
        else matrices[place.matrix] = place.matrix->memory.bytes() + place.matrix->scale_memory.bytes();
    }
    for (const auto &[matrix, bytes] : matrices) total += bytes;
    return total;
}

} // namespace lavra
