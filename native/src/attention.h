// The cache of keys and values, and attention over it, written once over Vec.
//
// Rows are pairs of a token and a head; a tile of them shares every load of a key or a value.  Keys are taken in chunks
// of 128, from position 0.  Each chunk of a row is computed by itself: 16 scores at once, each a chain along the
// channels; their maximum; the sum of exponentials; the weighted values, each a chain along the keys.  Then the
// chunks of a row are folded from the first to the last.  No step depends on the rows beside it, so that bits
// are the same for every division of the work.

#pragma once

#include "cache_store.h"

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

// The keys that a token may attend to.
LAVRA_INLINE Range visible(const Attend &work, int token) {
    const int position = work.start + token;
    return {work.window > 0 ? at_least(position - work.window + 1, 0) : 0, work.causal ? position + 1 : work.num_keys};
}

// The buffers in which the rows of a tile are computed; memory of the thread.
struct Tile {
    const Attend &work;
    int channels;
    int first, used;         // rows of the work; a tile may be wider than the remaining rows
    float *queries;          // (C, rows), times the scale
    float *query_sums;       // (rows), for integers
    float *scores;           // (rows, kChunk); then their exponentials, times the values' scales
    float *middles;          // (rows): sum of exponentials times the values' middles
    float *parts;            // (rows, 2 + C), where nobody asks for them
    int tokens[kTileRows], heads[kTileRows];
    Range keys[kTileRows];   // that a row looks at

    Tile(const Attend &work, int channels, int first, float *scratch)
        : work(work), channels(channels), first(first),
          used(at_most(work.count * work.group - first, kTileRows)), queries(scratch),
          query_sums(queries + kTileRows * channels), scores(query_sums + kTileRows),
          middles(scores + kTileRows * kChunk), parts(middles + kTileRows) {
        for (int r = 0; r < kTileRows; r++) {
            const int row = first + at_most(r, used - 1);
            tokens[r] = row / work.group;
            heads[r] = row % work.group;
            keys[r] = visible(work, tokens[r]);
        }
    }

    // The keys that any of the rows attends to: later tokens attend to later keys.
    Range all_keys() const { return {keys[0].first, keys[used - 1].last}; }
    size_t out_at(int row) const { return tokens[row] * work.out_stride + size_t(heads[row]) * channels; }
};

// Number of floats of a thread's memory that a tile uses.
static size_t scratch_floats(int channels, int, int) {
    return size_t(kTileRows) * (channels + 1 + kChunk + 1 + 2 + channels);
}

// Blocks of a chunk; where the rows attend to none of a block, another block replaces it, for the sequence may lack it.
template <class T> struct ChunkBlocks {
    const T *keys[kChunkBlocks], *values[kChunkBlocks];
    size_t numbers[kChunkBlocks]; // of scales and middles

    ChunkBlocks(const Tile &tile, const LayerCache &cache, int chunk) {
        const Range seen = tile.all_keys();
        for (int b = 0; b < kChunkBlocks; b++) {
            const int place = at_least(chunk * kChunkBlocks + b, seen.first / kBlock);
            const int block = tile.work.blocks[at_most(place, (seen.last - 1) / kBlock)];
            numbers[b] = (size_t(block) * cache.num_kv_heads + tile.work.kv_head) * kBlock;
            keys[b] = static_cast<const T *>(cache.keys) + numbers[b] * cache.channels;
            values[b] = static_cast<const T *>(cache.values) + numbers[b] * cache.channels;
        }
    }
};

template <class T> constexpr bool kIntegers = sizeof(T) == 1;
template <class T> constexpr bool kPairs = sizeof(T) == 2; // bfloat16: two vectors are widened at once
constexpr int power_of_two_up_to(int n) { return n < 2 ? 1 : 2 * power_of_two_up_to(n / 2); }
template <int rows> constexpr int kTileBlocks = power_of_two_up_to(at_most(kAccumulators / rows, rows < 3 ? 8 : 4));
template <int rows> constexpr int kTileVecs = power_of_two_up_to(at_most(kAccumulators / rows, 4));

template <class T, int rows> static void pack_queries(const Tile &tile) {
    const int channels = tile.channels;
    for (int r = 0; r < rows; r++) {
        const float *query =
            tile.work.queries + tile.tokens[r] * tile.work.query_stride + size_t(tile.heads[r]) * channels;
        for (int c = 0; c < channels; c++) tile.queries[c * rows + r] = query[c] * tile.work.scale;
    }
    if constexpr (!kIntegers<T>) return;
    for (int r = 0; r < rows; r++) tile.query_sums[r] = 0;
    for (int c = 0; c < channels; c++) {
        for (int r = 0; r < rows; r++) tile.query_sums[r] += tile.queries[c * rows + r];
    }
}

// A tile of few rows waits for memory: while it reads keys, the values at the same offset are fetched, and while it
// reads values, the next chunk's keys.
template <int rows> constexpr bool kFetches = rows <= 3;
template <class T> LAVRA_INLINE void fetch(const T *x, int offset, int count) {
    constexpr int line = 64 / sizeof(T);
    for (int i = (offset + line - 1) / line * line; i < offset + count; i += line) __builtin_prefetch(x + i, 0, 2);
}

// Scores of some blocks.
template <class T, int rows>
__attribute__((noinline)) static void score(const Tile &tile, const LayerCache &cache, const ChunkBlocks<T> &blocks,
                                            int first) {
    constexpr int count = kTileBlocks<rows>;
    Vec sums[rows][count];
    LAVRA_UNROLL for (int r = 0; r < rows; r++) {
        LAVRA_UNROLL for (int b = 0; b < count; b++) sums[r][b] = splat(0.0f);
    }
    const auto add = [&](const float *query, const Vec *keys) {
        LAVRA_UNROLL for (int r = 0; r < rows; r++) {
            const Vec by = splat(query[r]);
            LAVRA_UNROLL for (int b = 0; b < count; b++) sums[r][b] = fma(by, keys[b], sums[r][b]);
        }
    };
    int c = 0;
    if constexpr (kPairs<T>) {
        for (; c + 2 <= tile.channels; c += 2) {
            Vec keys[2][count];
            LAVRA_UNROLL for (int b = 0; b < count; b++) {
                load_pairs(blocks.keys[first + b] + size_t(c) * kBlock, keys[0][b], keys[1][b]);
                if (kFetches<rows>) fetch(blocks.values[first + b], c * kBlock, 2 * kBlock);
            }
            add(tile.queries + c * rows, keys[0]);
            add(tile.queries + (c + 1) * rows, keys[1]);
        }
    }
    for (; c < tile.channels; c++) {
        Vec keys[count];
        LAVRA_UNROLL for (int b = 0; b < count; b++) {
            keys[b] = load(blocks.keys[first + b] + size_t(c) * kBlock);
            if (kFetches<rows>) fetch(blocks.values[first + b], c * kBlock, kBlock);
        }
        add(tile.queries + c * rows, keys);
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

// Add the position's part to the scores of a row, at keys `seen` of a chunk.
static void add_position(const Tile &tile, int row, int position, Range seen, float *scores) {
    const Attend &work = tile.work;
    if (work.slopes) { // rounded as Falcon was trained (alibi_bias of lavra/model/positions.py)
        const Vec slope = splat(from_bfloat16(to_bfloat16(work.slopes[tile.heads[row]])));
        for (int key = seen.first / 16 * 16; key < seen.last; key += 16) {
            const Vec place = round_to_bfloat16(splat(float(position + key)) + lanes());
            const Vec added = round_to_bfloat16(slope * place) * splat(work.scale);
            store(scores + key, load(scores + key) + added);
        }
    }
    if (work.bias) {
        const int distance = position - (work.start + tile.tokens[row]);
        const float *table = work.bias + ptrdiff_t(tile.heads[row]) * work.bias_stride + work.bias_zero + distance;
        for (int key = seen.first; key < seen.last; key++) scores[key] += table[key];
    }
}

// Set the scores of keys of a block that the row does not attend to: minus infinity.
LAVRA_INLINE void hide(float *scores, int block, Range seen) {
    const int key = block * kBlock;
    store(scores + key, keep(load(scores + key), seen.first - key, seen.last - key, kMinusInfinity));
}

struct Softmax {
    float largest, sum, middles;
};

// Scores of blocks `first` to `last` -> their exponentials.
template <class T>
LAVRA_INLINE Softmax exponentials(const LayerCache &cache, const ChunkBlocks<T> &blocks, float *scores, Range seen,
                                  int first, int last) {
    Vec largest = splat(kMinusInfinity), sum = splat(0.0f), middles = splat(0.0f);
    LAVRA_UNROLL for (int b = first; b < last; b++) largest = larger(largest, load(scores + b * kBlock));
    const float most = largest_of(largest);
    LAVRA_UNROLL for (int b = first; b < last; b++) {
        Vec x = exp(load(scores + b * kBlock) - splat(most));
        sum = sum + x;
        if constexpr (kIntegers<T>) { // keys that the row does not look at may hold NaN
            const int from = seen.first - b * kBlock, to = seen.last - b * kBlock;
            const size_t number = blocks.numbers[b];
            middles = fma(x, keep(load(cache.value_middles + number), from, to, 0.0f), middles);
            x = x * keep(load(cache.value_scales + number), from, to, 0.0f);
        }
        store(scores + b * kBlock, x);
    }
    return {most, sum_of(sum), sum_of(middles)};
}

// Scores of a row in a chunk from `position` -> their exponentials; zero at keys that the row does not attend to.
template <class T>
static Softmax soften(const Tile &tile, const LayerCache &cache, const ChunkBlocks<T> &blocks, int row, int position) {
    float *scores = tile.scores + row * kChunk;
    const Range seen = common({tile.keys[row].first - position, tile.keys[row].last - position}, {0, kChunk});
    const int first = seen.empty() ? 0 : seen.first / kBlock, last = seen.empty() ? 0 : (seen.last - 1) / kBlock + 1;
    for (int b = 0; b < first; b++) store(scores + b * kBlock, splat(0.0f));
    for (int b = last; b < kChunkBlocks; b++) store(scores + b * kBlock, splat(0.0f));
    if (seen.empty()) return {kMinusInfinity, 0, 0};
    if (tile.work.slopes || tile.work.bias) add_position(tile, row, position, seen, scores);
    if (seen.first % kBlock) hide(scores, first, seen);
    if (seen.last % kBlock) hide(scores, last - 1, seen);
    if (seen.size() == kChunk) return exponentials<T>(cache, blocks, scores, {0, kChunk}, 0, kChunkBlocks);
    return exponentials<T>(cache, blocks, scores, seen, first, last);
}

// Weighted sums of some channels of the values at keys `seen` of a chunk; `width` channels where they fill no Vec.
template <class T, int rows, int count, bool whole>
__attribute__((noinline)) static void weigh(const Tile &tile, const ChunkBlocks<T> &blocks, Range seen, int channel,
                                            int width, const T *const *next, float *const *parts) {
    constexpr bool pairs = kPairs<T> && whole && count % 2 == 0; // a sum has every second channel of two vectors
    Vec sums[rows][count];
    LAVRA_UNROLL for (int r = 0; r < rows; r++) {
        LAVRA_UNROLL for (int v = 0; v < count; v++) sums[r][v] = splat(0.0f);
    }
    for (int key = seen.first; key < seen.last;) {
        const int block = key / kBlock, last = at_most(seen.last, (block + 1) * kBlock);
        int offset = key % kBlock * tile.channels + channel;
        for (; key < last; key++, offset += tile.channels) {
            const T *value = blocks.values[block] + offset;
            if (kFetches<rows> && next) fetch(next[block], offset, count * 16);
            Vec values[count];
            if constexpr (pairs) {
                LAVRA_UNROLL for (int v = 0; v < count; v += 2) load_pairs(value + v * 16, values[v], values[v + 1]);
            } else {
                LAVRA_UNROLL for (int v = 0; v < count; v++)
                    values[v] = whole ? load(value + v * 16) : load_first(value + v * 16, width);
            }
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
        LAVRA_UNROLL for (int v = 0; v < count; v += pairs ? 2 : 1) {
            if constexpr (pairs) store_pairs(out + v * 16, sums[r][v] + middle, sums[r][v + 1] + middle);
            else if (whole) store(out + v * 16, sums[r][v] + middle);
            else store_first(out, sums[r][v] + middle, width);
        }
    }
}

template <class T, int rows>
static void weigh_all(const Tile &tile, const ChunkBlocks<T> &blocks, Range seen, const T *const *next,
                      float *const *parts) {
    constexpr int count = kTileVecs<rows>;
    const int channels = tile.channels;
    int c = 0;
    for (; c + 16 * count <= channels; c += 16 * count)
        weigh<T, rows, count, true>(tile, blocks, seen, c, 16, next, parts);
    for (; c + 16 <= channels; c += 16) weigh<T, rows, 1, true>(tile, blocks, seen, c, 16, next, parts);
    if (c == channels) return;
    // The last channels, with some of those before them once more.
    if (channels > 16) weigh<T, rows, 1, true>(tile, blocks, seen, channels - 16, 16, next, parts);
    else weigh<T, rows, 1, false>(tile, blocks, seen, 0, channels, next, parts);
}

// One chunk of a tile's rows: the greatest score, the sum of exponentials and the weighted values of each row.  `more`:
// the next chunk belongs to the caller as well.
template <class T, int rows>
static void attend_chunk(const Tile &tile, const LayerCache &cache, int chunk, bool more, float *const *parts) {
    const int position = chunk * kChunk;
    const Range seen = common(tile.all_keys(), {position, position + kChunk});
    if (seen.empty()) {
        for (int r = 0; r < tile.used; r++) parts[r][0] = kMinusInfinity;
        return;
    }
    const ChunkBlocks<T> blocks(tile, cache, chunk), next(tile, cache, chunk + 1);
    const Range here{seen.first - position, seen.last - position};
    constexpr int step = kTileBlocks<rows>;
    for (int b = here.first / kBlock / step * step; b * kBlock < here.last; b += step)
        score<T, rows>(tile, cache, blocks, b);
    for (int r = 0; r < tile.used; r++) {
        const Softmax soft = soften<T>(tile, cache, blocks, r, position);
        tile.middles[r] = soft.middles;
        parts[r][0] = soft.largest;
        parts[r][1] = soft.sum;
    }
    more = more && tile.all_keys().last > position + kChunk;
    weigh_all<T, rows>(tile, blocks, here, more ? next.keys : nullptr, parts);
}

// ---- Folding

// Result of the chunks of a row so far.
struct Total {
    float largest = kMinusInfinity, sum = 0;
};

// Add the next chunk, where the row attends to any of its keys.
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

static void fold(const Attend &work, int channels, int num_chunks, const float *partials) {
    for (int row = 0; row < work.count * work.group; row++) {
        float *out = work.out + (row / work.group) * work.out_stride + size_t(row % work.group) * channels;
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
    pack_queries<T, rows>(tile);
    float *parts[rows], *outs[rows];
    Total totals[rows];
    for (int r = 0; r < rows; r++) outs[r] = tile.work.out + tile.out_at(r);
    for (int r = 0; r < tile.used && !partials; r++) {
        for (int c = 0; c < channels; c++) outs[r][c] = 0;
    }
    for (int chunk = chunks.first; chunk < chunks.last; chunk++) {
        for (int r = 0; r < tile.used; r++)
            parts[r] = partials ? partials + (size_t(tile.first + r) * all.size() + chunk - all.first) * size
                                : tile.parts + r * size;
        attend_chunk<T, rows>(tile, cache, chunk, chunk + 1 < chunks.last, parts);
        for (int r = 0; r < tile.used && !partials; r++) fold_in(totals[r], outs[r], parts[r], channels);
    }
    for (int r = 0; r < tile.used && !partials; r++) finish(totals[r], outs[r], channels);
}

template <class T>
static void attend_rows(const LayerCache &cache, const Attend &work, Range chunks, float *partials, float *scratch) {
    const int num_rows = work.count * work.group;
    for (int first = 0; first < num_rows; first += kTileRows) {
        const Tile tile(work, cache.channels, first, scratch);
        if (tile.used == 1) attend_tile<T, 1>(tile, cache, chunks, partials);
        else if (tile.used == 2) attend_tile<T, 2>(tile, cache, chunks, partials);
        else if (tile.used == 3) attend_tile<T, 3>(tile, cache, chunks, partials);
        else if (tile.used <= 6) attend_tile<T, at_most(6, kTileRows)>(tile, cache, chunks, partials);
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

} // namespace lavra::LAVRA_ISA
