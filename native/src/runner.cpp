#include "runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lavra {

namespace {

constexpr int kTile = 16; // tokens of a prompt whose attention is one piece
// Tokens that go through a feed-forward layer at once: its inner numbers are its widest; for a prompt's part of 512
// tokens they take 12 MB in SmolLM2, and for 128 tokens they stay in the processor's second-level cache.
constexpr int kInnerTokens = 128;

// Some of the rows of a batch.
Inputs part(Inputs inputs, int first, int rows) {
    const size_t groups = size_t(first) * (inputs.padded / kGroup);
    inputs.rows = rows;
    inputs.data = static_cast<char *>(inputs.data) + first * inputs.row_bytes();
    inputs.scales += groups, inputs.sums += groups;
    return inputs;
}

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

std::string number(int64_t value) { return std::to_string(value); }

} // namespace

void Runner::Room::reserve(size_t rows, int columns) {
    const size_t values = rows * round_up(columns, kGroup);
    memory.reserve(aligned(values * 4) + 2 * aligned(values / kGroup * 4));
}

Inputs Runner::Room::view(int rows, int columns) const {
    Inputs inputs;
    inputs.rows = rows, inputs.padded = round_up(columns, kGroup);
    const size_t values = size_t(rows) * inputs.padded;
    char *at = memory.as<char>();
    inputs.data = at;
    inputs.scales = reinterpret_cast<float *>(at + aligned(values * 4));
    inputs.sums = reinterpret_cast<int32_t *>(at + aligned(values * 4) + aligned(values / kGroup * 4));
    return inputs;
}

Runner::Runner(Model &model, int num_blocks, CacheType cache, int threads)
    : model_(model), kernels_(model.kernels), team_(threads), hidden_size_(model.config.hidden_size), channels_(model.config.head_dim) {
    if (model.config.kind != LAVRA_ENCODER) cache_ = Cache(cache_shape(cache), int(model.decoder.layers.size()), num_blocks);
}

CacheShape Runner::cache_shape(CacheType type) const { return {type, model_.config.num_kv_heads, model_.config.head_dim}; }

size_t Runner::bytes() const { return cache_.bytes() + whole_.bytes(); }

void Runner::check(const lavra_batch &batch) const {
    if (batch.num_rows < 1 || batch.rows == nullptr) throw Error("a batch has at least one row");
    if (batch.num_copies < 0 || (batch.num_copies && batch.copies == nullptr)) throw Error(number(batch.num_copies) + " copies, and " + (batch.copies ? "a list" : "no list") + " of them");
    for (int64_t i = 0; i < 2 * int64_t(batch.num_copies); ++i)
        if (batch.copies[i] < 0 || batch.copies[i] >= cache_.num_blocks()) throw Error("a copy names block " + number(batch.copies[i]) + "; there are " + number(cache_.num_blocks()));
    for (int r = 0; r < batch.num_rows; ++r) {
        const lavra_row &row = batch.rows[r];
        const int64_t end = int64_t(row.start) + row.num_tokens;
        if (row.num_tokens < 1 || row.start < 0 || row.num_logits < 0 || row.num_logits > row.num_tokens) throw Error("row " + number(r) + ": tokens, start or logits are out of range");
        if (row.num_blocks < 0 || end > int64_t(row.num_blocks) * kBlock) throw Error("row " + number(r) + " ends at position " + number(end) + " and has " + number(row.num_blocks) + " blocks of 16");
        if (row.blocks == nullptr) throw Error("row " + number(r) + " has no blocks");
        for (int b = 0; b < row.num_blocks; ++b)
            if (row.blocks[b] < 0 || row.blocks[b] >= cache_.num_blocks()) throw Error("row " + number(r) + " names block " + number(row.blocks[b]) + "; there are " + number(cache_.num_blocks()));
        check_tokens(row, r);
        if (model_.config.kind == LAVRA_ENCODER_DECODER && !sources_.count(row.source)) throw Error("row " + number(r) + " names source " + number(row.source) + ", which there is not");
        if (model_.config.kind != LAVRA_ENCODER_DECODER && row.source != -1) throw Error("row " + number(r) + " names source " + number(row.source) + "; a decoder alone looks at none");
        if (row.num_logits && !model_.config.has_head) throw Error("row " + number(r) + " wants logits; the model has no head");
    }
}

void Runner::check_tokens(const lavra_row &row, int r) const {
    const auto &c = model_.config;
    if (row.adapter < -1 || row.adapter >= int(model_.adapters.size())) throw Error("row " + number(r) + " names adapter " + number(row.adapter) + "; there are " + number(model_.adapters.size()));
    const int64_t end = int64_t(row.start) + row.num_tokens;
    if (row.tokens == nullptr) throw Error("row " + number(r) + " has no tokens");
    for (int t = 0; t < row.num_tokens; ++t) {
        if (row.tokens[t] < 0 || row.tokens[t] >= model_.num_ids()) throw Error("row " + number(r) + " has token " + number(row.tokens[t]) + "; the vocabulary has " + number(c.vocab_size));
        if (row.types && (row.types[t] < 0 || row.types[t] >= c.num_token_types)) throw Error("row " + number(r) + " has token type " + number(row.types[t]) + "; there are " + number(c.num_token_types));
    }
    if (c.positions == LAVRA_LEARNED && end > c.max_positions) throw Error("row " + number(r) + " ends at position " + number(end) + "; the model has learned " + number(c.max_positions));
}

void Runner::forward(const lavra_batch &batch, float *logits, uint64_t num_floats) {
    if (model_.config.kind == LAVRA_ENCODER) throw Error("the model has no decoder");
    check(batch);
    for (int i = 0; i < batch.num_copies; ++i) cache_.copy(batch.copies[2 * i], batch.copies[2 * i + 1]);
    lay_out(batch.rows, batch.num_rows);
    lay_out_blocks(batch.rows);
    if (num_floats != logit_rows_.size() * uint64_t(model_.config.vocab_size)) throw Error("room for " + number(num_floats) + " logits; the batch has " + number(logit_rows_.size()) + " rows of " + number(model_.config.vocab_size));
    if (num_floats && logits == nullptr) throw Error("there is no room for logits: the pointer is null");
    logits_ = logits, stack_ = &model_.decoder, active_ = &cache_;
    reserve();
    plan_attention(true);
    team_.run([this](int thread) { pass(thread); });
}

void Runner::encode(const lavra_row *rows, int num_rows, float *hidden, uint64_t num_floats) {
    uint64_t tokens = 0;
    for (int r = 0; r < num_rows; ++r) tokens += std::max(0, rows[r].num_tokens);
    if (num_floats != tokens * hidden_size_) throw Error("room for " + number(num_floats) + " numbers; " + number(tokens) + " tokens have " + number(hidden_size_) + " each");
    read(rows, num_rows, look_at_sources(rows, num_rows));
    std::memcpy(hidden, x_.data(), num_floats * 4);
}

// Whether rows of an encoder-decoder name sources, so that its decoder reads them: all rows must name one, or none.
bool Runner::look_at_sources(const lavra_row *rows, int num_rows) const {
    if (model_.config.kind != LAVRA_ENCODER_DECODER) return false;
    int count = 0;
    for (int r = 0; r < num_rows; ++r) {
        if (rows[r].source == -1) continue;
        if (!sources_.count(rows[r].source)) throw Error("row " + number(r) + " names source " + number(rows[r].source) + ", which there is not");
        ++count;
    }
    if (count && count < num_rows) throw Error(number(count) + " of " + number(num_rows) + " texts name a source; give one to all of them, or to none");
    return count > 0;
}

// Passes whole texts through the encoder, or through a decoder: the decoder of texts with sources, or a decoder without
// an encoder beside it.  Their hidden states are in x_.
void Runner::read(const lavra_row *rows, int num_rows, bool with_sources) {
    if (num_rows < 1 || rows == nullptr) throw Error(number(num_rows) + " texts; give at least one");
    int total = 0;
    for (int r = 0; r < num_rows; ++r) {
        if (rows[r].num_tokens < 1 || rows[r].start != 0) throw Error("row " + number(r) + " is no whole text");
        check_tokens(rows[r], r);
        total += round_up(rows[r].num_tokens, kBlock) / kBlock;
    }
    if (total > whole_.num_blocks()) whole_ = Cache(cache_shape(CacheType::f32), 1, total + total / 4);
    tables_.resize(total);
    for (int b = 0; b < total; ++b) tables_[b] = whole_.place(b);
    lay_out(rows, num_rows);
    for (int r = 0, block = 0; r < num_rows; ++r) {
        rows_[r].blocks = tables_.data() + block;
        if (!with_sources) rows_[r].source = -1;
        block += round_up(rows[r].num_tokens, kBlock) / kBlock;
    }
    logits_ = nullptr, logit_rows_.clear(), active_ = &whole_;
    stack_ = with_sources || model_.config.kind == LAVRA_DECODER ? &model_.decoder : &model_.encoder;
    reserve();
    plan_attention(stack_->causal);
    team_.run([this](int thread) { pass(thread); });
}

int Runner::add_source(const lavra_row &row) {
    if (model_.config.kind != LAVRA_ENCODER_DECODER) throw Error("the model has no decoder that looks at a source");
    read(&row, 1, false);
    const int length = row.num_tokens, blocks = round_up(length, kBlock) / kBlock;
    Source source{Cache(cache_shape(CacheType::f32), int(model_.decoder.layers.size()), blocks), std::vector<int32_t>(blocks), length};
    for (int b = 0; b < blocks; ++b) source.table[b] = source.cache.place(b);
    team_.run([&](int thread) {
        const int narrow = model_.narrow();
        for (size_t l = 0; l < model_.decoder.layers.size(); ++l) {
            const PackedMatrix &matrix = model_.decoder.layers[l].cross->keys_values;
            Inputs inputs = inputs_.view(length, hidden_size_);
            each_row(length, [&](int t) { kernels_.prepare(matrix.precision, x_.as<float>() + size_t(t) * hidden_size_, hidden_size_, inputs, t); });
            multiply(matrix, inputs, projected_.as<float>(), 2 * narrow, false);
            adapt(matrix, x_.as<float>(), hidden_size_, projected_.as<float>(), 2 * narrow, thread);
            each_row(length, [&](int t) {
                const float *keys = projected_.as<float>() + size_t(t) * 2 * narrow;
                for (int head = 0; head < model_.config.num_kv_heads; ++head)
                    kernels_.store(source.cache.layer(int(l)), source.table[t / kBlock], t % kBlock, head, keys + head * channels_, keys + narrow + head * channels_);
            });
        }
    });
    sources_.emplace(next_source_, std::move(source));
    return next_source_++;
}

void Runner::forget_source(int number) {
    if (!sources_.erase(number)) throw Error("there is no source " + std::to_string(number));
}

void Runner::lay_out(const lavra_row *rows, int num_rows) {
    rows_.clear(), owners_.clear(), logit_rows_.clear(), adapted_.clear();
    num_tokens_ = 0;
    for (int r = 0; r < num_rows; ++r) {
        const lavra_row &row = rows[r];
        rows_.push_back({row.tokens, row.blocks, row.num_tokens, row.start, row.num_logits, row.types, num_tokens_, row.adapter, row.source});
        if (row.adapter >= 0)
            for (int t = 0; t < row.num_tokens; ++t) adapted_.push_back({num_tokens_ + t, &model_.adapters[row.adapter]});
        num_tokens_ += row.num_tokens;
        owners_.resize(num_tokens_, r);
        for (int n = row.num_logits; n > 0; --n) logit_rows_.push_back(num_tokens_ - n);
    }
}

// The blocks of the rows, numbered for the kernels.
void Runner::lay_out_blocks(const lavra_row *rows) {
    size_t total = 0;
    for (size_t r = 0; r < rows_.size(); ++r) total += rows[r].num_blocks;
    tables_.resize(total);
    int32_t *table = tables_.data();
    for (size_t r = 0; r < rows_.size(); ++r) {
        rows_[r].blocks = table;
        for (int b = 0; b < rows[r].num_blocks; ++b) *table++ = cache_.place(rows[r].blocks[b]);
    }
}

void Runner::reserve() {
    const size_t tokens = num_tokens_;
    const auto &c = model_.config;
    x_.reserve(tokens * hidden_size_ * 4);
    projected_.reserve(tokens * (model_.wide() + 2 * model_.narrow()) * 4);
    mixed_.reserve(tokens * model_.wide() * 4);
    inner_.reserve(size_t(inner_tokens()) * c.feed_forward_size * (c.gated ? 2 : 1) * 4);
    if (!adapted_.empty()) normed_.reserve(tokens * hidden_size_ * 4), more_normed_.reserve(tokens * hidden_size_ * 4);
    angles_.reserve(tokens * channels_ * 4);
    inputs_.reserve(tokens, std::max(hidden_size_, model_.wide()));
    more_inputs_.reserve(tokens, hidden_size_), inner_inputs_.reserve(inner_tokens(), c.feed_forward_size);
    picked_.reserve(std::max<size_t>(1, logit_rows_.size()) * hidden_size_ * 4);
    transformed_.reserve(picked_.bytes());
    reserve_scratch();
}

void Runner::reserve_scratch() {
    const auto &c = model_.config;
    int rank = 0;
    for (const Adapter &adapter : model_.adapters) rank = std::max(rank, round_up(adapter.rank, kGroup));
    const int widest = round_up(std::max({hidden_size_, c.feed_forward_size, model_.wide()}), kGroup);
    scratch_floats_ = std::max<size_t>(kernels_.scratch_floats(channels_, c.num_heads / c.num_kv_heads, kTile), size_t(widest) + rank) + 64;
    scratch_.reserve(scratch_floats_ * team_.size() * 4);
}

// Pieces of attention: a tile of queries each; where the tiles are too few for the threads, and attend to many keys, a
// piece is one chunk of keys.  Bits do not depend on the choice.
void Runner::plan_attention(bool causal) {
    pieces_.clear(), source_pieces_.clear();
    const auto &c = model_.config;
    size_t tiles = 0;
    int longest = 0;
    for (const Rows &row : rows_) {
        tiles += size_t(c.num_kv_heads) * ((row.num_tokens + kTile - 1) / kTile);
        longest = std::max(longest, row.start + row.num_tokens);
    }
    if (c.positions == LAVRA_RELATIVE_BIAS) plan_bias(longest);
    // Chunks in a row, where a piece has several: attention fetches the next one's keys ahead of time.
    const size_t wanted = tiles < size_t(4 * team_.size()) && team_.size() > 1 ? 6 * team_.size() : 1;
    const int parts = int((wanted + tiles - 1) / tiles);
    partial_floats_ = 0;
    for (const Rows &row : rows_)
        for (int head = 0; head < c.num_kv_heads; ++head) {
            plan(row, head, causal, nullptr, parts, pieces_);
            if (row.source >= 0) plan(row, head, false, &sources_.at(row.source), parts, source_pieces_);
        }
    partials_.reserve(partial_floats_ * 4);
}

// The queries of a sequence for one key-value head.
void Runner::plan(const Rows &row, int head, bool causal, Source *source, int parts, std::vector<Piece> &pieces) {
    const auto &c = model_.config;
    const int group = c.num_heads / c.num_kv_heads;
    const size_t stride = source ? model_.wide() : model_.wide() + 2 * model_.narrow();
    for (int t = 0; t < row.num_tokens; t += kTile) {
        Attend work{};
        work.count = std::min(kTile, row.num_tokens - t);
        work.queries = projected_.as<float>() + (row.first + t) * stride + size_t(head) * group * channels_;
        work.out = mixed_.as<float>() + size_t(row.first + t) * model_.wide() + size_t(head) * group * channels_;
        work.query_stride = stride, work.out_stride = model_.wide();
        work.blocks = source ? source->table.data() : row.blocks;
        work.start = row.start + t, work.group = group, work.kv_head = head, work.causal = causal;
        work.num_keys = source ? source->length : causal ? work.start + work.count : row.start + row.num_tokens;
        if (!source && !model_.slopes.empty()) work.slopes = model_.slopes.data() + head * group;
        if (!source && c.positions == LAVRA_RELATIVE_BIAS) {
            work.bias_zero = bias_span_ - 1, work.bias_stride = 2 * bias_span_ - 1;
            work.bias = biases_.data() + size_t(head) * group * work.bias_stride;
        }
        const int chunks = (work.num_keys + kChunk - 1) / kChunk;
        const int run = (chunks + parts - 1) / parts;
        const bool split = run < chunks;
        for (int first = 0; first < chunks; first += run) pieces.push_back({work, source, first, std::min(first + run, chunks), split, partial_floats_});
        if (split) partial_floats_ += size_t(chunks) * work.count * group * (2 + channels_);
    }
}

// The learned bias of every distance between a query and a key (Raffel et al. 2020, section 2.1).
void Runner::plan_bias(int span) {
    if (span <= bias_span_ && stack_ == bias_stack_) return;
    bias_span_ = std::max(span, bias_span_), bias_stack_ = stack_;
    const auto &c = model_.config;
    const int stride = 2 * bias_span_ - 1;
    biases_.resize(size_t(c.num_heads) * stride);
    for (int i = 0; i < stride; ++i) {
        const int distance = i - bias_span_ + 1; // the key's position less the query's
        const int buckets = stack_->causal ? c.relative_buckets : c.relative_buckets / 2, exact = buckets / 2;
        const int apart = stack_->causal ? std::max(-distance, 0) : std::abs(distance);
        int bucket = apart;
        if (apart >= exact) {
            const float ratio = std::log(float(apart) / exact) / float(std::log(double(c.relative_distance) / exact));
            bucket = std::min(exact + int(ratio * (buckets - exact)), buckets - 1);
        }
        if (!stack_->causal && distance > 0) bucket += buckets;
        for (int head = 0; head < c.num_heads; ++head) biases_[size_t(head) * stride + i] = stack_->relative[size_t(bucket) * c.num_heads + head];
    }
}

void Runner::pass(int thread) {
    embed();
    for (size_t number = 0; number < stack_->layers.size(); ++number)
        run_layer(stack_->layers[number], int(number), thread);
    if (active_ == &whole_) {
        if (model_.config.final_norm)
            each_row(num_tokens_, [&](int t) { normalize(stack_->norm, x_.as<float>() + size_t(t) * hidden_size_, x_.as<float>() + size_t(t) * hidden_size_); });
        return;
    }
    if (!logit_rows_.empty() && model_.config.has_head) read_logits(thread);
}

template <class Body> void Runner::each_row(int rows, Body &&body) {
    team_.each(rows, std::max(1, rows / (4 * team_.size())), [&](int first, int last) {
        for (int row = first; row < last; ++row) body(row);
    });
}

void Runner::multiply(const Matrix &matrix, const Inputs &inputs, float *out, size_t stride, bool add) {
    const int strips = matrix.strips(), pieces = team_.size() * (strips >= 256 ? 8 : 3);
    team_.each(strips, std::max(2, (strips + pieces - 1) / pieces), [&](int first, int last) { kernels_.multiply(matrix, inputs, out, stride, add, first, last); });
}

void Runner::normalize(const Norm &norm, const float *x, float *out) const {
    const float eps = model_.config.norm_eps;
    if (model_.config.norm == LAVRA_RMS_NORM) kernels_.rms_norm(x, norm.weight.data(), eps, hidden_size_, out);
    else kernels_.layer_norm(x, norm.weight.data(), norm.bias.data(), eps, hidden_size_, out);
}

// Add the adapters of rows to a product; one row at a time, so that its bits do not depend on other rows.
void Runner::adapt(const PackedMatrix &matrix, const float *x, size_t x_stride, float *out, size_t stride, int thread) {
    if (adapted_.empty()) return;
    float *inputs = scratch_.as<float>() + thread * scratch_floats_, *ranks = inputs + round_up(matrix.columns, kGroup);
    each_row(int(adapted_.size()), [&](int i) {
        const auto [token, adapter] = adapted_[i];
        const auto found = adapter->changes.find(&matrix);
        if (found == adapter->changes.end()) return;
        for (const auto &change : found->second) {
            Inputs given{1, change->down.padded()}, middle{1, change->up.padded()};
            given.data = inputs, middle.data = ranks;
            kernels_.prepare(Precision::f32, x + token * x_stride, matrix.columns, given, 0);
            std::fill_n(ranks, middle.padded, 0.f);
            kernels_.multiply(change->down, given, ranks, middle.padded, false, 0, change->down.strips());
            kernels_.scale(ranks, change->scale, change->down.rows);
            kernels_.multiply(change->up, middle, out + token * stride + change->first, stride, true, 0, change->up.strips());
        }
    });
}

// One row, normalized where a norm is given, in the form of a product's inputs.
void Runner::prepare(const Norm *norm, const float *x, Precision precision, Inputs &inputs, int row, float *scratch, Memory &kept) {
    if (norm) normalize(*norm, x, scratch), x = scratch;
    kernels_.prepare(precision, x, hidden_size_, inputs, row);
    if (!adapted_.empty()) std::memcpy(kept.as<float>() + size_t(row) * hidden_size_, x, hidden_size_ * 4);
}

void Runner::embed() {
    const auto &c = model_.config;
    each_row(num_tokens_, [&](int place) {
        const Rows &row = rows_[owners_[place]];
        const int t = place - row.first;
        float *x = x_.as<float>() + size_t(place) * hidden_size_;
        if (row.tokens[t] < c.vocab_size) kernels_.lookup(model_.token, row.tokens[t], x);
        else std::memcpy(x, model_.virtual_rows.data() + size_t(row.tokens[t] - c.vocab_size) * hidden_size_, hidden_size_ * 4);
        if (c.num_token_types) kernels_.add(x, model_.token_type.data() + size_t(row.types ? row.types[t] : 0) * hidden_size_, hidden_size_);
        if (c.positions == LAVRA_LEARNED) kernels_.add(x, model_.position.data() + size_t(row.start + t + c.position_offset) * hidden_size_, hidden_size_);
        if (c.embedding_norm) normalize(model_.embedding_norm, x, x);
        if (c.positions != LAVRA_ROTARY) return;
        float *cosines = angles_.as<float>() + size_t(place) * channels_, *sines = cosines + channels_ / 2;
        for (int i = 0; i < channels_ / 2; ++i) {
            const float angle = float(row.start + t) * model_.rotary[i];
            cosines[i] = std::cos(angle) * c.rotary_factor, sines[i] = std::sin(angle) * c.rotary_factor;
        }
    });
}

// Keys and values of a pass's own tokens; those of whole texts are kept for one layer only.
LayerCache &Runner::own_cache(int number) { return active_->layer(active_ == &whole_ ? 0 : number); }

void Runner::run_layer(Layer &layer, int number, int thread) {
    const auto layout = model_.config.layout;
    const bool post = layout == LAVRA_POST_NORM, parallel = layout == LAVRA_PARALLEL || layout == LAVRA_PARALLEL_TWO_NORMS;
    float *x = x_.as<float>(), *scratch = scratch_.as<float>() + thread * scratch_floats_;
    const auto row = [&](int t) { return x + size_t(t) * hidden_size_; };
    const PackedMatrix &projection = layer.attention.projection, &output = layer.attention.output;
    const Norm *second = layout == LAVRA_PARALLEL ? &layer.attention_norm : &layer.feed_forward_norm;
    Inputs inputs = inputs_.view(num_tokens_, hidden_size_);
    Inputs more = more_inputs_.view(num_tokens_, hidden_size_);
    each_row(num_tokens_, [&](int t) {
        prepare(post ? nullptr : &layer.attention_norm, row(t), projection.precision, inputs, t, scratch, normed_);
        if (parallel) prepare(second, row(t), layer.up.precision, more, t, scratch, more_normed_);
    });
    multiply(projection, inputs, projected_.as<float>(), projection.rows, false);
    adapt(projection, normed_.as<float>(), hidden_size_, projected_.as<float>(), projection.rows, thread);
    store_keys(number);
    attend(layer, number, pieces_, thread);
    inputs = inputs_.view(num_tokens_, model_.wide());
    each_row(num_tokens_, [&](int t) { kernels_.prepare(output.precision, mixed_.as<float>() + size_t(t) * model_.wide(), model_.wide(), inputs, t); });
    multiply(output, inputs, x, hidden_size_, true);
    adapt(output, mixed_.as<float>(), model_.wide(), x, hidden_size_, thread);
    if (post) each_row(num_tokens_, [&](int t) { normalize(layer.attention_norm, row(t), row(t)); });
    if (!source_pieces_.empty()) attend_source(layer, number, thread);
    if (!parallel)
        each_row(num_tokens_, [&](int t) {
            prepare(post ? nullptr : second, row(t), layer.up.precision, more, t, scratch, more_normed_);
        });
    feed_forward(layer, more, thread);
    if (post) each_row(num_tokens_, [&](int t) { normalize(layer.feed_forward_norm, row(t), row(t)); });
}

// Rotate queries and keys by their positions, and put keys and values into the cache.
void Runner::store_keys(int number) {
    const auto &c = model_.config;
    const size_t stride = model_.wide() + 2 * model_.narrow();
    LayerCache &cache = own_cache(number);
    each_row(num_tokens_, [&](int place) {
        const Rows &row = rows_[owners_[place]];
        const int t = place - row.first, position = row.start + t;
        float *heads = projected_.as<float>() + place * stride;
        float *keys = heads + model_.wide(), *values = keys + model_.narrow();
        const float *cosines = angles_.as<float>() + size_t(place) * channels_;
        if (c.positions == LAVRA_ROTARY)
            for (int head = 0; head < c.num_heads + c.num_kv_heads; ++head) kernels_.rotate(heads + head * channels_, cosines, cosines + channels_ / 2, channels_);
        if (row.tokens[t] >= c.vocab_size) exchange(number, row.tokens[t], keys, values);
        for (int head = 0; head < c.num_kv_heads; ++head)
            kernels_.store(cache, row.blocks[position / kBlock], position % kBlock, head, keys + head * channels_, values + head * channels_);
    });
}

// A prefix's token has learned keys and values instead of computed ones.
void Runner::exchange(int number, int token, float *keys, float *values) const {
    const size_t size = model_.narrow();
    for (const Prefix &prefix : model_.prefixes) {
        if (token < prefix.first || token >= prefix.first + prefix.count) continue;
        const float *pair = prefix.pairs.data() + (size_t(number) * prefix.count + token - prefix.first) * 2 * size;
        std::memcpy(keys, pair, size * 4), std::memcpy(values, pair + size, size * 4);
    }
}

void Runner::attend(Layer &layer, int number, const std::vector<Piece> &pieces, int thread) {
    float *scratch = scratch_.as<float>() + thread * scratch_floats_;
    const auto work_of = [&](const Piece &piece) {
        Attend work = piece.work;
        work.scale = layer.scale, work.window = piece.source ? 0 : layer.window;
        return work;
    };
    team_.each(int(pieces.size()), 1, [&](int i, int) {
        const Piece &piece = pieces[i];
        const LayerCache &cache = piece.source ? piece.source->cache.layer(number) : own_cache(number);
        kernels_.attend(cache, work_of(piece), piece.first_chunk, piece.last_chunk, piece.split ? partials_.as<float>() + piece.partials : nullptr, scratch);
    });
    if (partial_floats_ == 0) return;
    team_.each(int(pieces.size()), 1, [&](int i, int) {
        if (!pieces[i].split || pieces[i].first_chunk) return; // the first of a tile's pieces folds them all
        const Attend work = work_of(pieces[i]);
        kernels_.fold(work, channels_, last_chunk(work) - first_chunk(work), partials_.as<float>() + pieces[i].partials);
    });
}

void Runner::attend_source(Layer &layer, int number, int thread) {
    float *x = x_.as<float>(), *scratch = scratch_.as<float>() + thread * scratch_floats_;
    const bool post = model_.config.layout == LAVRA_POST_NORM;
    const auto row = [&](int t) { return x + size_t(t) * hidden_size_; };
    const Cross &cross = *layer.cross;
    Inputs inputs = inputs_.view(num_tokens_, hidden_size_);
    each_row(num_tokens_, [&](int t) { prepare(post ? nullptr : &layer.cross_norm, row(t), cross.query.precision, inputs, t, scratch, normed_); });
    multiply(cross.query, inputs, projected_.as<float>(), model_.wide(), false);
    adapt(cross.query, normed_.as<float>(), hidden_size_, projected_.as<float>(), model_.wide(), thread);
    attend(layer, number, source_pieces_, thread);
    inputs = inputs_.view(num_tokens_, model_.wide());
    each_row(num_tokens_, [&](int t) { kernels_.prepare(cross.output.precision, mixed_.as<float>() + size_t(t) * model_.wide(), model_.wide(), inputs, t); });
    multiply(cross.output, inputs, x, hidden_size_, true);
    adapt(cross.output, mixed_.as<float>(), model_.wide(), x, hidden_size_, thread);
    if (post) each_row(num_tokens_, [&](int t) { normalize(layer.cross_norm, row(t), row(t)); });
}

void Runner::feed_forward(Layer &layer, const Inputs &inputs, int thread) {
    const int most = inner_tokens();
    for (int first = 0; first < num_tokens_; first += most) {
        const int count = std::min(most, num_tokens_ - first);
        feed_forward(layer, part(inputs, first, count), x_.as<float>() + size_t(first) * hidden_size_, thread);
    }
}

// Adapters name tokens by their place in the pass, so a pass with adapters goes through at once.
int Runner::inner_tokens() const { return adapted_.empty() ? std::min(num_tokens_, kInnerTokens) : num_tokens_; }

void Runner::feed_forward(Layer &layer, const Inputs &inputs, float *x, int thread) {
    const auto &c = model_.config;
    const int inner = c.feed_forward_size;
    const size_t stride = layer.up.rows;
    Inputs activated = inner_inputs_.view(inputs.rows, inner);
    multiply(layer.up, inputs, inner_.as<float>(), stride, false);
    adapt(layer.up, more_normed_.as<float>(), hidden_size_, inner_.as<float>(), stride, thread);
    each_row(inputs.rows, [&](int t) {
        float *row = inner_.as<float>() + t * stride;
        kernels_.activate(Activation(c.activation), row, c.gated ? row + inner : nullptr, inner);
        kernels_.prepare(layer.down.precision, row, inner, activated, t);
    });
    multiply(layer.down, activated, x, hidden_size_, true);
    adapt(layer.down, inner_.as<float>(), stride, x, hidden_size_, thread);
}

void Runner::read_logits(int thread) {
    const int rows = int(logit_rows_.size());
    if (model_.config.final_norm)
        each_row(rows, [&](int r) { normalize(stack_->norm, x_.as<float>() + size_t(logit_rows_[r]) * hidden_size_, picked_.as<float>() + size_t(r) * hidden_size_); });
    else
        each_row(rows, [&](int r) { std::memcpy(picked_.as<float>() + size_t(r) * hidden_size_, x_.as<float>() + size_t(logit_rows_[r]) * hidden_size_, hidden_size_ * 4); });
    project(picked_.as<float>(), rows, thread);
}

// (count, D) hidden states -> (count, V) in `logits_`.
void Runner::project(const float *hidden, int count, int thread) {
    const auto &c = model_.config;
    const Matrix &head = model_.head_matrix();
    float *scratch = scratch_.as<float>() + thread * scratch_floats_;
    if (c.head_transform) {
        Inputs inputs = more_inputs_.view(count, hidden_size_);
        each_row(count, [&](int r) { kernels_.prepare(model_.head_dense.precision, hidden + size_t(r) * hidden_size_, hidden_size_, inputs, r); });
        multiply(model_.head_dense, inputs, transformed_.as<float>(), hidden_size_, false);
        each_row(count, [&](int r) {
            float *row = transformed_.as<float>() + size_t(r) * hidden_size_;
            kernels_.activate(Activation(c.head_activation), row, nullptr, hidden_size_);
            normalize(model_.head_norm, row, row);
        });
        hidden = transformed_.as<float>();
    }
    Inputs inputs = inputs_.view(count, hidden_size_);
    each_row(count, [&](int r) {
        std::memcpy(scratch, hidden + size_t(r) * hidden_size_, hidden_size_ * 4);
        if (c.head_scale != 1) kernels_.scale(scratch, c.head_scale, hidden_size_);
        kernels_.prepare(head.precision, scratch, hidden_size_, inputs, r);
    });
    multiply(head, inputs, logits_, c.vocab_size, false);
}

void Runner::logits(const float *hidden, int count, float *logits, uint64_t num_floats) {
    if (!model_.config.has_head) throw Error("the model has no head");
    if (count < 1 || num_floats != uint64_t(count) * model_.config.vocab_size) throw Error("room for " + number(num_floats) + " logits of " + number(count) + " states");
    inputs_.reserve(count, hidden_size_), more_inputs_.reserve(count, hidden_size_);
    transformed_.reserve(size_t(count) * hidden_size_ * 4);
    reserve_scratch();
    logits_ = logits;
    team_.run([&](int thread) { project(hidden, count, thread); });
}

} // namespace lavra
