// Kernels that are not products, one by one, for tests: attention over its own cache, norms, activations, rotation.

#include <vector>

#include "border.h"
#include "instruction_sets.h"
#include "lavra_kernel_doors.h"
#include "kernels.h"
#include "tensors.h"

namespace lavra {
namespace {

// A cache of one layer, filled with not-a-number, which no kernel may let through.
struct FilledCache {
    FilledCache(const Kernels &kernels, const lavra_attention &work, const float *keys, const float *values)
        : numbers(size_t(work.block_limit) * work.num_kv_heads * kBlock * 4, __builtin_nanf("")),
          bytes(size_t(work.block_limit) * work.num_kv_heads * kBlock * work.channels * 4 * 2, 0xff) {
        const size_t count = numbers.size() / 4;
        layer.type = static_cast<CacheType>(work.cache);
        layer.num_kv_heads = work.num_kv_heads;
        layer.channels = work.channels;
        layer.keys = bytes.data();
        layer.values = bytes.data() + bytes.size() / 2;
        layer.key_scales = numbers.data();
        layer.key_middles = numbers.data() + count;
        layer.value_scales = numbers.data() + 2 * count;
        layer.value_middles = numbers.data() + 3 * count;
        for (int key = 0; key < work.num_keys; key++)
            for (int head = 0; head < work.num_kv_heads; head++) {
                const size_t at = (size_t(key) * work.num_kv_heads + head) * work.channels;
                kernels.store(layer, work.blocks[key / kBlock], key % kBlock, head, keys + at, values + at);
            }
    }

    LayerCache layer;
    std::vector<float> numbers;
    std::vector<unsigned char> bytes;
};

// The kernel's work: tokens `first` to `last`, one key-value head.
Attend piece(const lavra_attention &work, const float *queries, float *out, int first, int last, int kv_head) {
    const int group = work.num_heads / work.num_kv_heads;
    const size_t stride = size_t(work.num_heads) * work.channels;
    const size_t at = first * stride + size_t(kv_head) * group * work.channels;
    Attend one{};
    one.queries = queries + at;
    one.out = out + at;
    one.query_stride = one.out_stride = stride;
    one.blocks = work.blocks;
    one.start = work.start + first;
    one.count = last - first;
    one.group = group;
    one.kv_head = kv_head;
    one.num_keys = work.causal ? one.start + one.count : work.num_keys;
    one.causal = work.causal != 0;
    one.window = work.window;
    one.scale = work.scale;
    one.slopes = work.slopes ? work.slopes + kv_head * group : nullptr;
    one.bias = work.bias ? work.bias + ptrdiff_t(kv_head) * group * work.bias_stride : nullptr;
    one.bias_zero = work.bias_zero;
    one.bias_stride = work.bias_stride;
    return one;
}

void attend_piece(const Kernels &kernels, const LayerCache &cache, const Attend &work, int chunks_at_once) {
    const int channels = cache.channels, first = first_chunk(work), last = last_chunk(work);
    const int num_chunks = last > first ? last - first : 0;
    std::vector<float> scratch(kernels.scratch_floats(channels, work.group, work.count));
    if (chunks_at_once == 0) return kernels.attend(cache, work, first, last, nullptr, scratch.data());
    std::vector<float> partials(size_t(work.count) * work.group * num_chunks * (2 + channels));
    for (int chunk = first; chunk < last; chunk += chunks_at_once) {
        const int end = chunk + chunks_at_once < last ? chunk + chunks_at_once : last;
        kernels.attend(cache, work, chunk, end, partials.data(), scratch.data());
    }
    kernels.fold(work, channels, num_chunks, partials.data());
}

void check_bias(const lavra_attention &work) {
    // At [key position - query position + bias_zero].
    const int oldest = work.start + work.count - 1, latest = work.causal ? 0 : work.num_keys - 1 - work.start;
    const int least = work.window > 0 && work.window <= oldest ? 1 - work.window : -oldest;
    check_range("bias_stride", work.bias_stride, 1, kMost);
    check_range("bias_zero", work.bias_zero, -least, work.bias_stride - 1 - latest);
}

void check(const lavra_attention &work) {
    check_range("cache", work.cache, LAVRA_CACHE_F32, LAVRA_CACHE_INT8);
    check_range("num_kv_heads", work.num_kv_heads, 1, 1024), check_range("channels", work.channels, 1, 1024);
    check_range("num_heads", work.num_heads, 1, 1024);
    if (work.num_heads % work.num_kv_heads) throw Error("num_heads must be a multiple of num_kv_heads");
    check_range("start", work.start, 0, kMost), check_range("count", work.count, 1, kMost);
    check_range("num_keys", work.num_keys, work.causal ? work.start + work.count : 1, kMost);
    check_range("window", work.window, 0, kMost), check_range("block_limit", work.block_limit, 1, 1 << 16);
    check_range("num_blocks", work.num_blocks, (work.num_keys + kBlock - 1) / kBlock, kMost);
    check_range("tokens_at_once", work.tokens_at_once, 1, kMost);
    check_range("chunks_at_once", work.chunks_at_once, 0, kMost);
    required(work.blocks, "block");
    for (int i = 0; i < work.num_blocks; ++i) check_range("a block", work.blocks[i], 0, work.block_limit - 1);
    if (work.bias) check_bias(work);
}

void attend_all(const Kernels &kernels, const lavra_attention &work, const float *queries, const float *keys,
                const float *values, float *out) {
    FilledCache cache(kernels, work, keys, values);
    for (int first = 0; first < work.count; first += work.tokens_at_once) {
        const int last = work.tokens_at_once < work.count - first ? first + work.tokens_at_once : work.count;
        for (int head = 0; head < work.num_kv_heads; head++)
            attend_piece(kernels, cache.layer, piece(work, queries, out, first, last, head), work.chunks_at_once);
    }
}

} // namespace
} // namespace lavra

using lavra::check_range;
using lavra::find_kernels;
using lavra::guarded;
using lavra::required;

#pragma GCC visibility push(default)

int lavra_attend(const char *isa, const lavra_attention *work, const float *queries, const float *keys,
                 const float *values, float *out) {
    return guarded([&] {
        lavra::check(required(work, "work"));
        required(queries, "query"), required(keys, "key"), required(values, "value"), required(out, "room");
        lavra::attend_all(find_kernels(isa), *work, queries, keys, values, out);
    });
}

int lavra_normalize(const char *isa, int32_t norm, const float *x, const float *weight, const float *bias, float eps,
                    int32_t size, float *out) {
    return guarded([&] {
        check_range("norm", norm, LAVRA_LAYER_NORM, LAVRA_RMS_NORM), check_range("size", size, 1, lavra::kMost);
        required(x, "input"), required(weight, "weight"), required(out, "room");
        if (norm == LAVRA_RMS_NORM) find_kernels(isa).rms_norm(x, weight, eps, size, out);
        else find_kernels(isa).layer_norm(x, weight, bias, eps, size, out);
    });
}

int lavra_activate(const char *isa, int32_t activation, float *x, const float *up, int32_t size) {
    return guarded([&] {
        check_range("activation", activation, LAVRA_RELU, LAVRA_SILU), check_range("size", size, 1, lavra::kMost);
        find_kernels(isa).activate(static_cast<lavra::Activation>(activation), &required(x, "input"), up, size);
    });
}

int lavra_rotate(const char *isa, float *head, const float *cosines, const float *sines, int32_t channels) {
    return guarded([&] {
        check_range("channels", channels, 2, 1024);
        if (channels % 2) throw lavra::Error(std::to_string(channels) + " channels; pairs of halves are turned");
        find_kernels(isa).rotate(&required(head, "head"), &required(cosines, "cosine"), &required(sines, "sine"),
                                 channels);
    });
}

#pragma GCC visibility pop
