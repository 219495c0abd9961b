// The cache of keys and values, and attention over it, written once over Vec.
//
// Rows are pairs of a token and a head; a tile of them shares every load of a key or a value.  Keys are taken in chunks
// of 128, from position 0.  A chunk of a row is computed from nothing: 16 scores at once, each a chain along the
// channels; their maximum; the sum of exponentials; the weighted values, each a chain along the keys.  Then the
// chunks of a row are folded from the first to the last.  Nothing in this depends on the rows beside it, so that bits
// are the same however work is split.

#pragma once

namespace lavra::LAVRA_ISA {

constexpr int kChunkBlocks = kChunk / kBlock;
constexpr float kMinusInfinity = -__builtin_inff();

struct Range {
    int first, last;
    bool empty() const { return first >= last; }
    int size() const { return last - first; }
};

LAVRA_INLINE constexpr int at_least(int x, int least) { return x > least ? x : least; }
LAVRA_INLINE constexpr int at_most(int x, int most) { return x < most ? x : most; }
LAVRA_INLINE Range common(Range a, Range b) { return {at_least(a.first, b.first), at_most(a.last, b.last)}; }

// Keys that a token may look at.
LAVRA_INLINE Range visible(const Attend &work, int token) {
    const int position = work.start + token;
    return {work.window > 0 ? at_least(position - work.window + 1, 0) : 0, work.causal ? position + 1 : work.num_keys};
}
// ---- Storing

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

// ---- Tiles

// What the rows of a tile are computed in; memory of the thread.
struct Tile {
    const Attend &work;
    int channels;
    int first, used;         // rows of the work; a tile may be wider than what is left of them
    float *queries;          // (C, rows), times the scale
    float *query_sums;       // (rows), for integers
    float *scores;           // (rows, kChunk); then their exponentials, times the values' scales
    float *middles;          // (rows): sum of exponentials times the values' middles
    float *parts;            // (rows, 2 + C), where nobody asks for them

    int token(int row) const { return (first + row) / work.group; }
    int head(int row) const { return (first + row) % work.group; }
    Range keys(int row) const { return visible(work, token(row)); }
    // Keys that any of the rows looks at: later tokens look at later ones.
    Range keys() const { return {keys(0).first, keys(used - 1).last}; }
};

// Blocks of a chunk, by their places in the sequence; those that no row looks at may not exist, another stands in.
template <class T> struct ChunkBlocks {
    const T *keys[kChunkBlocks], *values[kChunkBlocks];
    size_t numbers[kChunkBlocks]; // of scales and middles

    ChunkBlocks(const LayerCache &cache, const Attend &work, int chunk, Range seen) {
        const int lowest = seen.first / kBlock, highest = (seen.last - 1) / kBlock;
        for (int b = 0; b < kChunkBlocks; b++) {
            const int place = at_most(at_least(chunk * kChunkBlocks + b, lowest), highest);
            const size_t head = size_t(work.blocks[place]) * cache.num_kv_heads + work.kv_head;
            keys[b] = static_cast<const T *>(cache.keys) + head * kBlock * cache.channels;
            values[b] = static_cast<const T *>(cache.values) + head * kBlock * cache.channels;
            numbers[b] = head * kBlock;
        }
    }
};

template <class T> constexpr bool kIntegers = sizeof(T) == 1;
constexpr int power_of_two_up_to(int n) { return n < 2 ? 1 : 2 * power_of_two_up_to(n / 2); }
template <int rows> constexpr int kTileBlocks = power_of_two_up_to(kAccumulators / rows < 8 ? kAccumulators / rows : 8);
template <int rows> constexpr int kTileVecs = power_of_two_up_to(kAccumulators / rows < 4 ? kAccumulators / rows : 4);

template <int rows> static void pack_queries(const Tile &tile) {
    const int channels = tile.channels;
    for (int r = 0; r < rows; r++) {
        const int row = at_most(r, tile.used - 1);
        const float *query =
            tile.work.queries + tile.token(row) * tile.work.query_stride + size_t(tile.head(row)) * channels;
        float sum = 0;
        for (int c = 0; c < channels; c++) {
            const float x = query[c] * tile.work.scale;
            tile.queries[c * rows + r] = x;
            sum += x;
        }
        tile.query_sums[r] = sum;
    }
}

// Scores of some blocks.
template <class T, int rows>
static void score(const Tile &tile, const LayerCache &cache, const ChunkBlocks<T> &blocks, int first) {
    constexpr int count = kTileBlocks<rows>;
    Vec sums[rows][count];
    LAVRA_UNROLL for (int r = 0; r < rows; r++) {
        LAVRA_UNROLL for (int b = 0; b < count; b++) sums[r][b] = splat(0.0f);
    }
    const float *query = tile.queries;
    for (int c = 0; c < tile.channels; c++, query += rows) {
        Vec keys[count];
        LAVRA_UNROLL for (int b = 0; b < count; b++) keys[b] = load(blocks.keys[first + b] + size_t(c) * kBlock);
        LAVRA_UNROLL for (int r = 0; r < rows; r++) {
            const Vec by = splat(query[r]);
            LAVRA_UNROLL for (int b = 0; b < count; b++) sums[r][b] = fma(by, keys[b], sums[r][b]);
        }
    }
    LAVRA_UNROLL for (int b = 0; b < count; b++) {
        LAVRA_UNROLL for (int r = 0; r < rows; r++) {
            Vec all = sums[r][b];
            if constexpr (kIntegers<T>) {
                const size_t number = blocks.numbers[first + b];
                const Vec middle = load(cache.key_middles + number) * splat(tile.query_sums[r]);
                all = fma(all, load(cache.key_scales + number), middle);
            }
            store(tile.scores + r * kChunk + (first + b) * kBlock, all);
        }
    }
}

// What is added to the scores of a block by position: `keys` are the block's lanes that the row looks at.
LAVRA_INLINE Vec position_bias(const Tile &tile, int row, int position, Range lanes_seen) {
    const Attend &work = tile.work;
    Vec out = splat(0.0f);
    if (work.slopes) { // rounded as Falcon was trained (alibi_bias of lavra/model/positions.py)
        const Vec slope = splat(from_bfloat16(to_bfloat16(work.slopes[tile.head(row)])));
        const Vec place = round_to_bfloat16(splat(float(position)) + lanes());
        out = round_to_bfloat16(slope * place) * splat(work.scale);
    }
    if (work.bias) {
        const float *table = work.bias + ptrdiff_t(tile.head(row)) * work.bias_stride + work.bias_zero + position -
                             (work.start + tile.token(row));
        float near[16] = {};
        for (int i = lanes_seen.first; i < lanes_seen.last; i++) near[i] = table[i];
        out = out + load(near);
    }
    return out;
}

struct Softmax {
    float largest, sum, middles;
};

// Scores of a row in a chunk -> their exponentials; zero at keys that the row does not look at.
template <class T>
static Softmax soften(const Tile &tile, const LayerCache &cache, const ChunkBlocks<T> &blocks, int row, int chunk) {
    const Range seen = common(tile.keys(row), {chunk * kChunk, (chunk + 1) * kChunk});
    float *scores = tile.scores + row * kChunk;
    const auto lanes_of = [&](int b) {
        const int position = chunk * kChunk + b * kBlock;
        return common({seen.first - position, seen.last - position}, {0, kBlock});
    };
    const bool biased = tile.work.slopes || tile.work.bias;
    Vec largest = splat(kMinusInfinity);
    for (int b = 0; b < kChunkBlocks; b++) {
        const Range mine = lanes_of(b);
        if (mine.empty()) continue;
        Vec x = load(scores + b * kBlock);
        if (biased) x = x + position_bias(tile, row, chunk * kChunk + b * kBlock, mine);
        if (mine.size() < kBlock) x = keep(x, mine.first, mine.last, kMinusInfinity);
        if (biased || mine.size() < kBlock) store(scores + b * kBlock, x);
        largest = larger(largest, x);
    }
    Softmax out{largest_of(largest), 0, 0};
    const Vec shift = splat(out.largest);
    Vec sum = splat(0.0f), middles = splat(0.0f);
    for (int b = 0; b < kChunkBlocks; b++) {
        const Range mine = lanes_of(b);
        Vec x = splat(0.0f);
        if (!mine.empty()) {
            x = exp(load(scores + b * kBlock) - shift);
            sum = sum + x;
            if constexpr (kIntegers<T>) {
                const size_t number = blocks.numbers[b];
                const Vec middle = keep(load(cache.value_middles + number), mine.first, mine.last, 0.0f);
                middles = fma(x, middle, middles);
                x = x * keep(load(cache.value_scales + number), mine.first, mine.last, 0.0f);
            }
        }
        store(scores + b * kBlock, x);
    }
    out.sum = sum_of(sum);
    out.middles = sum_of(middles);
    return out;
}

// Weighted sums of some channels of the values at keys `seen` of a chunk; `width` channels where they fill no Vec.
template <class T, int rows, int count, bool whole>
static void weigh(const Tile &tile, const ChunkBlocks<T> &blocks, Range seen, int channel, int width, float *const *parts) {
    const auto read = [&](const T *x) { return whole ? load(x) : load_first(x, width); };
    Vec sums[rows][count];
    LAVRA_UNROLL for (int r = 0; r < rows; r++) {
        LAVRA_UNROLL for (int v = 0; v < count; v++) sums[r][v] = splat(0.0f);
    }
    for (int key = seen.first; key < seen.last;) {
        const int block = key / kBlock, last = at_most(seen.last, (block + 1) * kBlock);
        const T *value = blocks.values[block] + size_t(key % kBlock) * tile.channels + channel;
        for (; key < last; key++, value += tile.channels) {
            Vec values[count];
            LAVRA_UNROLL for (int v = 0; v < count; v++) values[v] = read(value + v * 16);
            LAVRA_UNROLL for (int r = 0; r < rows; r++) {
                const Vec by = splat(tile.scores[r * kChunk + key]);
                LAVRA_UNROLL for (int v = 0; v < count; v++) sums[r][v] = fma(by, values[v], sums[r][v]);
            }
        }
    }
    LAVRA_UNROLL for (int r = 0; r < rows; r++) {
        if (r >= tile.used) break;
        float *out = parts[r] + 2 + channel;
        const Vec middle = splat(tile.middles[r]);
        LAVRA_UNROLL for (int v = 0; v < count; v++) {
            if (whole) store(out + v * 16, sums[r][v] + middle);
            else store_first(out, sums[r][v] + middle, width);
        }
    }
}

template <class T, int rows>
static void weigh_all(const Tile &tile, const ChunkBlocks<T> &blocks, Range seen, float *const *parts) {
    constexpr int count = kTileVecs<rows>;
    const int channels = tile.channels;
    int c = 0;
    for (; c + 16 * count <= channels; c += 16 * count) weigh<T, rows, count, true>(tile, blocks, seen, c, 16, parts);
    for (; c + 16 <= channels; c += 16) weigh<T, rows, 1, true>(tile, blocks, seen, c, 16, parts);
    if (c == channels) return;
    // The last channels, with some of those before them once more.
    if (channels > 16) weigh<T, rows, 1, true>(tile, blocks, seen, channels - 16, 16, parts);
    else weigh<T, rows, 1, false>(tile, blocks, seen, 0, channels, parts);
}

// One chunk of a tile's rows: the greatest score, the sum of exponentials and the weighted values of each.
template <class T, int rows>
static void attend_chunk(const Tile &tile, const LayerCache &cache, int chunk, float *const *parts) {
    const int position = chunk * kChunk;
    const Range seen = common(tile.keys(), {position, position + kChunk});
    if (seen.empty()) {
        for (int r = 0; r < tile.used; r++) parts[r][0] = kMinusInfinity;
        return;
    }
    const ChunkBlocks<T> blocks(cache, tile.work, chunk, seen);
    const Range here{seen.first - position, seen.last - position};
    constexpr int step = kTileBlocks<rows>;
    for (int b = here.first / kBlock / step * step; b * kBlock < here.last; b += step)
        score<T, rows>(tile, cache, blocks, b);
    for (int r = 0; r < tile.used; r++) {
        const Softmax soft = soften<T>(tile, cache, blocks, r, chunk);
        tile.middles[r] = soft.middles;
        parts[r][0] = soft.largest;
        parts[r][1] = soft.sum;
    }
    weigh_all<T, rows>(tile, blocks, here, parts);
}

// ---- Folding

// Result of the chunks of a row so far.
struct Total {
    float largest = kMinusInfinity, sum = 0;
};

// Add the next chunk, where the row looks at any of its keys.
LAVRA_INLINE void fold_in(Total &total, float *__restrict out, const float *__restrict part, int channels) {
    if (part[0] == kMinusInfinity) return;
    const float largest = total.largest > part[0] ? total.largest : part[0];
    float both[16];
    store(both, exp(keep(splat(total.largest), 0, 1, part[0]) - splat(largest)));
    const float old = both[0], added = both[1];
    total = {largest, total.sum * old + part[1] * added};
    for (int c = 0; c < channels; c++) out[c] = out[c] * old + part[2 + c] * added;
}

LAVRA_INLINE void finish(const Total &total, float *out, int channels) {
    const float factor = total.sum > 0 ? 1 / total.sum : 0;
    for (int c = 0; c < channels; c++) out[c] *= factor;
}

LAVRA_INLINE float *row_out(const Attend &work, int row, int channels) {
    return work.out + (row / work.group) * work.out_stride + size_t(row % work.group) * channels;
}

static void fold(const Attend &work, int channels, int num_chunks, const float *partials) {
    for (int row = 0; row < work.count * work.group; row++) {
        float *out = row_out(work, row, channels);
        for (int c = 0; c < channels; c++) out[c] = 0;
        Total total;
        for (int chunk = 0; chunk < num_chunks; chunk++, partials += 2 + channels)
            fold_in(total, out, partials, channels);
        finish(total, out, channels);
    }
}

// ---- The work

// Chunks of a tile into `partials`, or folded into the output.
template <class T, int rows>
static void attend_tile(const Tile &tile, const LayerCache &cache, Range chunks, float *partials) {
    const int channels = tile.channels, size = 2 + channels;
    const Range all{first_chunk(tile.work), last_chunk(tile.work)};
    chunks = common(chunks, all);
    pack_queries<rows>(tile);
    float *parts[rows], *outs[rows];
    Total totals[rows];
    for (int r = 0; r < rows; r++) outs[r] = row_out(tile.work, tile.first + at_most(r, tile.used - 1), channels);
    for (int r = 0; r < tile.used && !partials; r++) {
        for (int c = 0; c < channels; c++) outs[r][c] = 0;
    }
    for (int chunk = chunks.first; chunk < chunks.last; chunk++) {
        for (int r = 0; r < tile.used; r++)
            parts[r] = partials ? partials + (size_t(tile.first + r) * all.size() + chunk - all.first) * size
                                : tile.parts + r * size;
        attend_chunk<T, rows>(tile, cache, chunk, parts);
        for (int r = 0; r < tile.used && !partials; r++) fold_in(totals[r], outs[r], parts[r], channels);
    }
    for (int r = 0; r < tile.used && !partials; r++) finish(totals[r], outs[r], channels);
}

template <class T>
static void attend_rows(const LayerCache &cache, const Attend &work, Range chunks, float *partials, float *scratch) {
    const int channels = cache.channels, num_rows = work.count * work.group;
    for (int first = 0; first < num_rows; first += kTileRows) {
        const int used = at_most(num_rows - first, kTileRows);
        float *const queries = scratch, *const sums = queries + kTileRows * channels;
        float *const scores = sums + kTileRows, *const middles = scores + kTileRows * kChunk;
        const Tile tile{work, channels, first, used, queries, sums, scores, middles, middles + kTileRows};
        if (used == 1) attend_tile<T, 1>(tile, cache, chunks, partials);
        else if (used == 2) attend_tile<T, 2>(tile, cache, chunks, partials);
        else if (used <= 3) attend_tile<T, 3>(tile, cache, chunks, partials);
        else if (used <= 6 && kTileRows >= 6) attend_tile<T, at_most(6, kTileRows)>(tile, cache, chunks, partials);
        else attend_tile<T, kTileRows>(tile, cache, chunks, partials);
    }
}

static void attend(const LayerCache &cache, const Attend &work, int first, int last, float *partials, float *scratch) {
    switch (cache.type) {
    case CacheType::f32: return attend_rows<float>(cache, work, {first, last}, partials, scratch);
    case CacheType::bf16: return attend_rows<uint16_t>(cache, work, {first, last}, partials, scratch);
    case CacheType::int8: return attend_rows<int8_t>(cache, work, {first, last}, partials, scratch);
    }
}

static size_t scratch_floats(int channels, int, int) {
    return size_t(kTileRows) * (channels + 1 + kChunk + 1 + 2 + channels);
}

} // namespace lavra::LAVRA_ISA
