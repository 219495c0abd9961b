// The algorithm of lavra/generate/numpy_sampler.py and drawing.py, which give the reasons: a token is drawn from the
// whole distribution and kept if top-k, top-p and min-p leave it; after three refused tokens the row is cut in full and
// the token is drawn from the rest.  No row is sorted, no row depends on another, and a row costs a pass for its
// largest value, a pass for its weights and a pass for the weights over the token's.

#include "sampling.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "model.h"

namespace lavra {
namespace {

constexpr float kLeast = 1e-30f; // a divisor; below it float32 would divide by nothing
constexpr double kLog2E = 1.4426950408889634;
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr int kDraws = 3; // from the whole distribution
constexpr int kFew = 256; // largest values that a list finds faster than counting does

struct Ranked {
    float value;
    int id;
};

// A thread's own memory.
struct Scratch {
    std::vector<float> scores, weights;
    std::vector<double> sums;
    std::vector<Ranked> ranked;

    void fit(int size) {
        size_t padded = round_up(size, kStride);
        if (weights.size() >= padded) return;
        scores.resize(padded), weights.resize(padded), sums.resize(padded / kStride);
    }
};

thread_local Scratch scratch;

bool better(const Ranked &one, const Ranked &other) {
    return one.value != other.value ? one.value > other.value : one.id < other.id;
}

// The `count` largest values of a row, best first, lower places first among equals.
const std::vector<Ranked> &largest(const Kernels &kernels, const float *x, int size, int count) {
    std::vector<Ranked> &found = scratch.ranked;
    found.clear();
    if (count > kFew) {
        for (int place = 0; place < size; place++) found.push_back({x[place], place});
        std::partial_sort(found.begin(), found.begin() + count, found.end(), better);
        found.resize(count);
        return found;
    }
    float limit = -INFINITY;
    for (int place = 0; place < size; place++) {
        if ((int)found.size() == count) {
            place = kernels.next_above(x, place, size, limit);
            if (place == size) break;
            found.pop_back();
        }
        const Ranked next{x[place], place};
        found.insert(std::upper_bound(found.begin(), found.end(), next, better), next);
        limit = found.back().value;
    }
    return found;
}

uint32_t bits_of(float weight) {
    uint32_t bits;
    memcpy(&bits, &weight, sizeof bits);
    return bits;
}

// The largest value v so that values of at least v, none below `floor`, reach a mass; weights are not negative, so that
// their bits have the same order.  They are added up in 2,048 ranges of bits, then inside the range that holds v.
template <class Measure> float reaching(const float *weights, int size, float floor, double mass, Measure measure) {
    uint32_t prefix = 0, known = 0; // leading bits of v, and which these are
    double before = 0;
    for (int shift : {20, 9, 0}) {
        uint32_t mask = shift == 0 ? 511 : 2047;
        double sums[2048] = {};
        int lowest = 2048;
        for (int i = 0; i < size; i++) {
            uint32_t bits = bits_of(weights[i]);
            if (weights[i] < floor || (bits & known) != prefix) continue;
            int range = bits >> shift & mask;
            sums[range] += measure(weights[i]);
            lowest = std::min(lowest, range);
        }
        int range = mask;
        while (range > lowest && (sums[range] == 0 || before + sums[range] < mass)) before += sums[range--];
        prefix |= (uint32_t)range << shift;
        known |= mask << shift;
    }
    float value;
    memcpy(&value, &prefix, sizeof value);
    return value;
}

// One row to draw from.
class Draw {
public:
    Draw(const Kernels &kernels, const lavra_sampling &row, const float *scores, float best)
        : kernels_(kernels), row_(row), size_(row.num_tokens), weights_(scratch.weights.data()) {
        double scale = kLog2E / std::clamp(row.temperature, kLeast, 1 / kLeast);
        float parts[2] = {(float)scale, (float)(scale - (float)scale)};
        kernels.weigh(scores, size_, best, parts, weights_, scratch.sums.data());
        double total = 0;
        for (int stride = 0; stride < strides(); stride++) scratch.sums[stride] = total += scratch.sums[stride];
        total_ = total;
    }

    int token() {
        for (int draw = 0; draw < kDraws; draw++) {
            int token = drawn(row_.uniforms[draw]);
            if (keeps(weights_[token])) return token;
        }
        return drawn_from_kept(row_.uniforms[kDraws]);
    }

private:
    int strides() const { return (size_ + kStride - 1) / kStride; }
    static double below(double total) { return std::nextafter(total, 0.0); }

    // The inverse of the cumulated weights, without cuts.
    int drawn(double uniform) const {
        const std::vector<double> &cumulated = scratch.sums;
        double target = std::min(uniform * total_, below(total_));
        int stride = std::upper_bound(cumulated.begin(), cumulated.begin() + strides(), target) - cumulated.begin();
        double before = stride > 0 ? cumulated[stride - 1] : 0, sum = 0;
        int last = stride * kStride; // sums in another order may end a little lower
        for (int id = last; id < (stride + 1) * kStride; id++) {
            sum += weights_[id];
            if (weights_[id] > 0) last = id;
            if (before + sum > target) break;
        }
        return last;
    }

    // Whether the cuts leave a token of this weight.
    bool keeps(float own) {
        if (own < row_.min_p) return false;
        bool by_mass = row_.top_p < 1;
        if (own == 1 || (row_.top_k == 0 && !by_mass)) return true; // nothing is likelier; nothing is cut
        Above likelier = kernels_.above(weights_, size_, own);
        if (row_.top_k > 0 && likelier.count >= row_.top_k) return false;
        return !by_mass || likelier.mass < mass();
    }

    bool cuts_by_count() const { return row_.top_k > 0 && row_.top_k < size_; }

    // The least weight that passes top-k.
    float least_of_count() {
        if (!cuts_by_count()) return 0;
        if (least_of_count_ >= 0) return least_of_count_;
        least_of_count_ = row_.top_k <= kFew
                              ? largest(kernels_, weights_, size_, row_.top_k).back().value
                              : reaching(weights_, size_, 0, row_.top_k, [](float) { return 1.0; });
        return least_of_count_;
    }

    // top_p times the mass that top-k leaves: a token stays where the likelier tokens have less mass than this.
    double mass() {
        if (!cuts_by_count()) return row_.top_p * total_;
        if (mass_ < 0) {
            const float below_least = std::nextafter(least_of_count(), -1.0f);
            mass_ = row_.top_p * kernels_.above(weights_, size_, below_least).mass;
        }
        return mass_;
    }

    int drawn_from_kept(double uniform) {
        float least = std::max({row_.min_p, std::numeric_limits<float>::min(), least_of_count()});
        if (row_.top_p < 1) {
            float reached = reaching(weights_, size_, least_of_count(), mass(), [](float weight) { return weight; });
            least = std::max(least, reached);
        }
        double total = 0, sum = 0;
        for (int id = 0; id < size_; id++) total += weights_[id] >= least ? weights_[id] : 0;
        double target = std::min(uniform * total, below(total));
        for (int id = 0; id < size_; id++)
            if (weights_[id] >= least && (sum += weights_[id]) > target) return id;
        return 0; // unreachable: the last sum is the total
    }

    const Kernels &kernels_;
    const lavra_sampling &row_;
    int size_;
    float *weights_;
    double total_ = 0, mass_ = -1;
    float least_of_count_ = -1;
};

bool penalizes(const lavra_sampling &row) {
    return row.repetition_penalty != 1 || row.presence_penalty != 0 || row.frequency_penalty != 0;
}

void penalize(const lavra_sampling &row, float *scores) {
    float factor = std::max(row.repetition_penalty, kLeast);
    for (int i = 0; i < row.num_seen; i++) {
        float &score = scores[row.seen[i]];
        if (factor != 1) score = std::min(score > 0 ? score / factor : score * factor, kLargest);
        if (row.counts[i] > 0) score -= row.presence_penalty + row.frequency_penalty * (float)row.counts[i];
    }
}

void restrict_to_allowed(const lavra_sampling &row, float *scores) {
    for (int id = 0; id < row.num_tokens; id += 8) {
        uint8_t bits = (uint64_t)id / 8 < row.num_allowed_bytes ? row.allowed[id / 8] : 0;
        if (bits == 255) continue;
        for (int bit = 0; bit < 8; bit++) // scores are padded to a multiple of 8
            if (!(bits >> bit & 1)) scores[id + bit] = -INFINITY;
    }
}

// Logits with bias and penalties, -inf at forbidden ids; the logits themselves where nothing changes them.
const float *scores_of(const lavra_sampling &row, const float *logits, int size) {
    if (!row.num_biases && !row.num_forbidden && !row.allowed && !(penalizes(row) && row.num_seen)) return logits;
    float *scores = scratch.scores.data();
    memcpy(scores, logits, sizeof(float) * size);
    for (int i = 0; i < row.num_biases; i++) scores[row.bias_ids[i]] += row.biases[i];
    for (int i = 0; i < row.num_forbidden; i++) scores[row.forbidden[i]] = -INFINITY;
    if (penalizes(row)) penalize(row, scores);
    if (row.allowed) restrict_to_allowed(row, scores);
    return scores;
}

void tell_logprobs(const Kernels &kernels, const lavra_sampling &row, const float *logits, int size, float best,
                   lavra_choice &choice, int32_t *top_ids, float *top_logprobs) {
    double norm = best + std::log(kernels.sum_exp(logits, size, best));
    choice.logprob = logits[choice.token] - norm;
    if (!row.num_top) return;
    const std::vector<Ranked> &top = largest(kernels, logits, size, row.num_top);
    for (int i = 0; i < row.num_top; i++) top_ids[i] = top[i].id, top_logprobs[i] = top[i].value - norm;
}

void require(bool sound, int row, const char *reason) {
    if (!sound) throw Error("row " + std::to_string(row) + ": " + reason);
}

void check_ids(int row, const char *name, const int32_t *ids, const void *values, int count, int size) {
    const bool there = count >= 0 && (count == 0 || (ids && values));
    if (there && std::all_of(ids, ids + count, [&](int id) { return id >= 0 && id < size; })) return;
    throw Error("row " + std::to_string(row) + ": " + name + " has an id outside the vocabulary, or is missing");
}

void check(int number, const lavra_sampling &row, int size, int most_top) {
    require(row.num_tokens >= 1 && row.num_tokens <= size, number, "num_tokens is not in 1 to the vocabulary's size");
    require(row.num_top >= 0 && row.num_top <= std::min(most_top, size), number, "there is no room for num_top ids");
    check_ids(number, "seen", row.seen, row.counts, row.num_seen, size);
    check_ids(number, "bias_ids", row.bias_ids, row.biases, row.num_biases, size);
    check_ids(number, "forbidden", row.forbidden, row.forbidden, row.num_forbidden, size);
    if (!(row.temperature > 0)) return;
    require(row.uniforms, number, "uniforms are missing");
    const auto within = [](double uniform) { return uniform >= 0 && uniform < 1; };
    require(std::all_of(row.uniforms, row.uniforms + kDraws + 1, within), number, "uniforms are not in [0, 1)");
}

// Whether the logits are numbers.
bool choose(const Kernels &kernels, const lavra_sampling &row, const float *logits, int size, lavra_choice &choice,
            int32_t *top_ids, float *top_logprobs) {
    scratch.fit(size);
    Peak all = kernels.peak(logits, size), peak = all;
    if (!all.finite) return false;
    const float *scores = scores_of(row, logits, size);
    if (scores != logits || all.place >= row.num_tokens) peak = kernels.peak(scores, row.num_tokens);
    choice = {peak.place, peak.value == -INFINITY, 0};
    if (choice.refused) return true;
    if (row.temperature > 0) choice.token = Draw(kernels, row, scores, peak.value).token();
    if (row.logprob) tell_logprobs(kernels, row, logits, size, all.value, choice, top_ids, top_logprobs);
    return true;
}

// Process every row of 0 .. count, by all threads of a team; a single row needs no team.
template <class Body> void each_row(Team *team, int count, Body &&body) {
    if (!team || count < 2) {
        for (int row = 0; row < count; row++) body(row);
        return;
    }
    team->run([&](int) { team->each(count, 1, [&](int row, int) { body(row); }); });
}

} // namespace

void sample(const Kernels &kernels, Team *team, const float *logits, int num_rows, int vocab_size,
            const lavra_sampling *const *rows, lavra_choice *choices, int most_top, int32_t *top_ids,
            float *top_logprobs) {
    if (num_rows < 0 || vocab_size < 1 || most_top < 0) throw Error("rows, vocabulary or most_top is under its least");
    if (num_rows && (!logits || !rows || !choices)) throw Error("logits, rows or choices is missing");
    if (num_rows && most_top && (!top_ids || !top_logprobs)) throw Error("there is no room for the likeliest ids");
    for (int i = 0; i < num_rows; i++) {
        if (!rows[i]) throw Error("row " + std::to_string(i) + " is missing");
        check(i, *rows[i], vocab_size, most_top);
    }
    std::atomic<bool> numbers = true, memory = true; // no exception may leave a thread of the team
    each_row(team, num_rows, [&](int i) {
        const size_t top = (size_t)i * most_top;
        try {
            if (!choose(kernels, *rows[i], logits + (size_t)i * vocab_size, vocab_size, choices[i], top_ids + top,
                        top_logprobs + top))
                numbers = false;
        } catch (const std::bad_alloc &) {
            memory = false;
        }
    });
    if (!memory) throw std::bad_alloc();
    if (!numbers)
        throw Error("the model's logits are NaN or infinite: its weights are damaged or overflow in this dtype; "
                    "try dtype='float32'");
}

} // namespace lavra
