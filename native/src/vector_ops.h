// Norms, activations and rotary positions of one token, over Vec.
//
// Sums go over lanes and then across them in an order that depends on the size alone.

#pragma once

namespace lavra::LAVRA_ISA {

// Calls step(offset, count) for sixteen values at a time; the last time for fewer.
template <class Step> LAVRA_INLINE void sixteens(int size, Step step) {
    int i = 0;
    for (; i + 16 <= size; i += 16) step(i, 16);
    if (i < size) step(i, size - i);
}
LAVRA_INLINE Vec load_up_to(const float *x, int count) { return count == 16 ? load(x) : load_first(x, count); }
LAVRA_INLINE void store_up_to(float *out, Vec x, int count) {
    if (count == 16) store(out, x);
    else store_first(out, x, count);
}

// Sum of (x - middle)^2.
static float squares(const float *x, float middle, int size) {
    Vec sum = splat(0.0f);
    const Vec shift = splat(middle);
    sixteens(size, [&](int i, int count) {
        Vec off = load_up_to(x + i, count) - shift;
        if (count < 16) off = keep(off, 0, count, 0.0f);
        sum = fma(off, off, sum);
    });
    return sum_of(sum);
}

static void rms_norm(const float *x, const float *weight, float eps, int size, float *out) {
    const Vec factor = splat(1.0f / __builtin_sqrtf(squares(x, 0.0f, size) / float(size) + eps));
    sixteens(size, [&](int i, int count) {
        store_up_to(out + i, load_up_to(weight + i, count) * (load_up_to(x + i, count) * factor), count);
    });
}

static void layer_norm(const float *x, const float *weight, const float *bias, float eps, int size, float *out) {
    Vec sum = splat(0.0f);
    sixteens(size, [&](int i, int count) { sum = sum + load_up_to(x + i, count); });
    const float mean = sum_of(sum) / float(size);
    const Vec middle = splat(mean), factor = splat(1.0f / __builtin_sqrtf(squares(x, mean, size) / float(size) + eps));
    sixteens(size, [&](int i, int count) {
        const Vec normal = (load_up_to(x + i, count) - middle) * factor;
        const Vec shift = bias ? load_up_to(bias + i, count) : splat(0.0f);
        store_up_to(out + i, fma(normal, load_up_to(weight + i, count), shift), count);
    });
}

// x / (1 + e^-y), where that is not below the smallest numbers: exp ends at 1.6e38, which x may exceed.
LAVRA_INLINE Vec gated(Vec x, Vec y) {
    const Vec zero = splat(0.0f);
    return where_less(y, splat(-87.3f), zero, x / (splat(1.0f) + exp(zero - y)));
}

// x times the normal distribution below x: the tail by Abramowitz and Stegun 7.1.26, to 1.5e-7.
LAVRA_INLINE Vec gelu(Vec x) {
    const Vec zero = splat(0.0f), size = larger(x, zero - x);
    const Vec t = splat(1.0f) / fma(size, splat(0.3275911f * 0.70710678f), splat(1.0f));
    Vec p = splat(1.061405429f);
    p = fma(p, t, splat(-1.453152027f));
    p = fma(p, t, splat(1.421413741f));
    p = fma(p, t, splat(-0.284496736f));
    p = fma(p, t, splat(0.254829592f));
    const Vec tail = p * t * exp(size * size * splat(-0.5f)) * splat(0.5f); // of the normal distribution, beyond |x|
    return x * where_less(x, zero, tail, splat(1.0f) - tail);
}

// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; (1 + tanh(u)) / 2 = 1 / (1 + e^-2u)
LAVRA_INLINE Vec gelu_tanh(Vec x) {
    const Vec cubic = fma(x * x * x, splat(0.044715f), x);
    return gated(x, cubic * splat(2 * 0.7978845608f));
}

template <class Function> LAVRA_INLINE void map(float *x, const float *up, int size, Function function) {
    sixteens(size, [&](int i, int count) {
        Vec y = function(load_up_to(x + i, count));
        if (up) y = y * load_up_to(up + i, count);
        store_up_to(x + i, y, count);
    });
}

static void activate(Activation activation, float *x, const float *up, int size) {
    switch (activation) {
    case Activation::relu: return map(x, up, size, [](Vec v) { return larger(splat(0.0f), v); });
    case Activation::gelu: return map(x, up, size, [](Vec v) { return gelu(v); });
    case Activation::gelu_tanh: return map(x, up, size, [](Vec v) { return gelu_tanh(v); });
    case Activation::silu: return map(x, up, size, [](Vec v) { return gated(v, v); });
    }
}

static void add(float *__restrict x, const float *__restrict y, int size) {
    for (int i = 0; i < size; i++) x[i] += y[i];
}

static void scale(float *x, float by, int size) {
    for (int i = 0; i < size; i++) x[i] *= by;
}

static void rotate(float *head, const float *cosines, const float *sines, int channels) {
    const int half = channels / 2;
    float *__restrict first = head, *__restrict second = head + half;
    for (int i = 0; i < half; i++) {
        const float a = first[i], b = second[i];
        first[i] = a * cosines[i] - b * sines[i];
        second[i] = b * cosines[i] + a * sines[i];
    }
}

} // namespace lavra::LAVRA_ISA
