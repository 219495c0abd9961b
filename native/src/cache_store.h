// Write keys and values into the cache: as floats, as bfloat16, or as integers with a scale and a middle for each head
// and token, rounded as in the torch runner (lavra/engine/runners/stores.py).

#pragma once

namespace lavra::LAVRA_ISA {

// Numbers of a cache, one after another `step` apart.
LAVRA_INLINE void put(float *out, size_t step, const float *x, int channels) {
    for (int c = 0; c < channels; c++) out[c * step] = x[c];
}
LAVRA_INLINE void put(uint16_t *out, const float *x, int channels) {
    for (int c = 0; c < channels; c++) out[c] = to_bfloat16(x[c]);
}
// A key's pairs of channels, beside those of the block's other keys; an odd last channel stands alone.
LAVRA_INLINE void put_pairs(uint16_t *out, int slot, const float *x, int channels) {
    int c = 0;
    for (; c + 2 <= channels; c += 2) {
        out[c * kBlock + 2 * slot] = to_bfloat16(x[c]);
        out[c * kBlock + 2 * slot + 1] = to_bfloat16(x[c + 1]);
    }
    if (c < channels) out[c * kBlock + slot] = to_bfloat16(x[c]);
}

// Steps between the least and the largest channel, as Int8Store (lavra/engine/runners/stores.py).
LAVRA_INLINE void put(int8_t *out, size_t step, float *scale, float *middle, const float *x, int channels) {
    float low = x[0], high = x[0];
    for (int c = 1; c < channels; c++) {
        low = x[c] < low ? x[c] : low;
        high = x[c] > high ? x[c] : high;
    }
    *middle = from_bfloat16(to_bfloat16((high + low) / 2));
    const float above = high - *middle, below = *middle - low;
    *scale = from_bfloat16(to_bfloat16((above > below ? above : below) / 127));
    if (*scale == 0) *scale = 1;
    for (int c = 0; c < channels; c++) {
        const float steps = __builtin_nearbyintf((x[c] - *middle) / *scale);
        out[c * step] = int8_t(steps > -127 ? (steps < 127 ? steps : 127) : -127);
    }
}

static void store(LayerCache &cache, int block, int slot, int kv_head, const float *key, const float *value) {
    const int channels = cache.channels;
    const size_t head = size_t(block) * cache.num_kv_heads + kv_head, number = head * kBlock + slot;
    const size_t keys_at = head * kBlock * channels, value_at = number * channels;
    switch (cache.type) {
    case CacheType::f32:
        put(static_cast<float *>(cache.keys) + keys_at + slot, kBlock, key, channels);
        return put(static_cast<float *>(cache.values) + value_at, 1, value, channels);
    case CacheType::bf16:
        put_pairs(static_cast<uint16_t *>(cache.keys) + keys_at, slot, key, channels);
        return put(static_cast<uint16_t *>(cache.values) + value_at, value, channels);
    case CacheType::int8:
        put(static_cast<int8_t *>(cache.keys) + keys_at + slot, kBlock, cache.key_scales + number, cache.key_middles + number,
            key, channels);
        put(static_cast<int8_t *>(cache.values) + value_at, 1, cache.value_scales + number,
            cache.value_middles + number, value, channels);
    }
}

} // namespace lavra::LAVRA_ISA
