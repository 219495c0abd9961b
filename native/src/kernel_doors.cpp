// Kernels that are no product, one by one, for tests: attention over a cache of its own, norms, activations, rotation.

#include <vector>

#include "lavra_kernel_doors.h"
#include "model.h"

namespace lavra {
namespace {

// A cache of one layer, full of what no kernel may let through: not-a-number.
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

// What the kernel is asked: tokens `first` to `last`, one key-value head.
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

const Kernels *found(const char *isa) {
    try {
        return find_kernels(isa);
    } catch (const std::exception &) {
        return nullptr;
    }
}

} // namespace
} // namespace lavra

using lavra::found;

#pragma GCC visibility push(default)

int lavra_attend(const char *isa, const lavra_attention *work, const float *queries, const float *keys,
                            const float *values, float *out) {
    const lavra::Kernels *kernels = found(isa);
    if (!kernels) return 1;
    lavra::FilledCache cache(*kernels, *work, keys, values);
    for (int first = 0; first < work->count; first += work->tokens_at_once) {
        const int end = first + work->tokens_at_once, last = end < work->count ? end : work->count;
        for (int head = 0; head < work->num_kv_heads; head++)
            lavra::attend_piece(*kernels, cache.layer, lavra::piece(*work, queries, out, first, last, head),
                                work->chunks_at_once);
    }
    return 0;
}

int lavra_normalize(const char *isa, int32_t norm, const float *x, const float *weight, const float *bias,
                               float eps, int32_t size, float *out) {
    const lavra::Kernels *kernels = found(isa);
    if (!kernels) return 1;
    if (norm == LAVRA_RMS_NORM) kernels->rms_norm(x, weight, eps, size, out);
    else kernels->layer_norm(x, weight, bias, eps, size, out);
    return 0;
}

int lavra_activate(const char *isa, int32_t activation, float *x, const float *up, int32_t size) {
    const lavra::Kernels *kernels = found(isa);
    if (!kernels) return 1;
    kernels->activate(static_cast<lavra::Activation>(activation), x, up, size);
    return 0;
}

int lavra_rotate(const char *isa, float *head, const float *cosines, const float *sines, int32_t channels) {
    const lavra::Kernels *kernels = found(isa);
    if (!kernels) return 1;
    kernels->rotate(head, cosines, sines, channels);
    return 0;
}

#pragma GCC visibility pop
