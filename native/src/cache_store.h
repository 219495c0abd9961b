// Writing keys and values into the cache: as floats, as bfloat16, or as integers with a scale and a middle of each head
// and token, rounded as the torch runner's (lavra/engine/runners/stores.py).

#pragma once

namespace lavra::LAVRA_ISA {

// Numbers of a cache, one after another `step` apart.
LAVRA_INLINE void put(float *out, size_t step, const float *x, int channels) {
    for (int c = 0; c < channels; c++) out[c * step] = x[c];
}
LAVRA_INLINE void put(uint16_t *out, size_t step, const float *x, int channels) {
    for (int c = 0; c < channels; c++) out[c * step] = to_bfloat16(x[c]);
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
    const size_t key_at = head * kBlock * channels + slot, value_at = number * channels;
    switch (cache.type) {
    case CacheType::f32:
        put(static_cast<float *>(cache.keys) + key_at, kBlock, key, channels);
        return put(static_cast<float *>(cache.values) + value_at, 1, value, channels);
    case CacheType::bf16:
        put(static_cast<uint16_t *>(cache.keys) + key_at, kBlock, key, channels);
        return put(static_cast<uint16_t *>(cache.values) + value_at, 1, value, channels);
    case CacheType::int8:
        put(static_cast<int8_t *>(cache.keys) + key_at, kBlock, cache.key_scales + number, cache.key_middles + number,
            key, channels);
        put(static_cast<int8_t *>(cache.values) + value_at, 1, cache.value_scales + number,
            cache.value_middles + number, value, channels);
    }
}

} // namespace lavra::LAVRA_ISA
