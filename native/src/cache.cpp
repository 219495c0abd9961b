#include "cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "error.h"

namespace lavra {

namespace {

size_t width(CacheType type) { return type == CacheType::f32 ? 4 : type == CacheType::bf16 ? 2 : 1; }

} // namespace

Cache::Cache(const CacheShape &shape, int num_layers, int num_blocks) : num_blocks_(num_blocks), pieces_(2 * num_layers) {
    // The kernels number pieces in 32 bits.
    if (const int most = std::numeric_limits<int32_t>::max() / std::max(1, pieces_); num_blocks > most)
        throw Error("a cache of " + std::to_string(num_blocks) + " blocks; this model's has at most " + std::to_string(most));
    const size_t tokens = size_t(shape.num_kv_heads) * kBlock, pieces = size_t(num_blocks) * pieces_;
    piece_bytes_ = tokens * shape.channels * width(shape.type);
    piece_scales_ = shape.type == CacheType::int8 ? tokens : 0;
    memory_ = Memory(pieces * piece_bytes_);
    scales_ = Memory(pieces * piece_scales_ * 4), middles_ = Memory(pieces * piece_scales_ * 4);
    for (int number = 0; number < num_layers; ++number) {
        LayerCache layer{shape.type, shape.num_kv_heads, shape.channels};
        layer.keys = memory_.as<char>() + size_t(2 * number) * piece_bytes_;
        layer.values = static_cast<char *>(layer.keys) + piece_bytes_;
        if (piece_scales_) {
            const size_t first = size_t(2 * number) * piece_scales_;
            layer.key_scales = scales_.as<float>() + first, layer.value_scales = layer.key_scales + piece_scales_;
            layer.key_middles = middles_.as<float>() + first, layer.value_middles = layer.key_middles + piece_scales_;
        }
        layers_.push_back(layer);
    }
}

void Cache::copy(int from, int to) {
    const auto copied = [&](const Memory &memory, size_t piece) {
        const size_t bytes = piece * pieces_;
        if (bytes) std::memmove(memory.as<char>() + to * bytes, memory.as<char>() + from * bytes, bytes);
    };
    copied(memory_, piece_bytes_);
    copied(scales_, piece_scales_ * 4), copied(middles_, piece_scales_ * 4);
}

} // namespace lavra
