"""Attention of the native library over a paged cache, on every instruction set, against float64; and equal bits
however the work is split.  The cache's memory is full of not-a-number but for what was stored."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.engine.runners.stores import FloatStore, Int8Store
from lavra.model.position_formulas import alibi_slopes
from lavra.model.positions import alibi_bias
from tests.native import doors

pytestmark = pytest.mark.skipif(not doors.isas(), reason="the native library is not built (native/build.py)")
every_isa = pytest.mark.parametrize("isa", doors.isas())


def kept(vectors, cache):
    """(S, K, C) vectors after a round trip through the torch runner's cache."""
    shape, device = (1, *vectors.shape), torch.device("cpu")
    if cache == "int8":
        store = Int8Store(shape, device)
    else:
        store = FloatStore(shape, torch.float32 if cache == "f32" else torch.bfloat16, device)
    return store.write(torch.arange(len(vectors)), torch.from_numpy(vectors)).double().numpy()


def reference(queries, keys, values, *, start, cache="f32", causal=True, window=0, bias=0.0):
    """Attention in float64; `bias` (H, T, S) or less is added to the scores."""
    count, heads, channels = queries.shape
    num_keys, kv_heads, _ = keys.shape
    keys, values = (np.repeat(kept(one, cache), heads // kv_heads, axis=1) for one in (keys, values))
    scores = np.einsum("thc,shc->hts", queries.astype(np.float64), keys) * channels**-0.5 + bias
    query, key = start + np.arange(count)[:, None], np.arange(num_keys)[None]
    hidden = (causal & (key > query)) | ((window > 0) & (query - key >= window))
    scores = np.where(hidden, -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hts,shc->thc", weights / weights.sum(-1, keepdims=True), values)


def example(*, count, start, heads=3, group=3, channels=48, seed=0, more=0):
    """Queries, keys, values and a shuffled table of blocks, with holes."""
    random = np.random.default_rng(seed)
    num_keys, kv_heads = start + count + more, heads // group
    shapes = [(count, heads, channels), (num_keys, kv_heads, channels), (num_keys, kv_heads, channels)]
    # Off the middle, as real keys and values are.
    queries, keys, values = ((random.standard_normal(one) * 1.5 + 0.3).astype(np.float32) for one in shapes)
    num_blocks = -(-num_keys // 16)
    return (queries, keys, values), random.permutation(num_blocks + 3)[:num_blocks]


@every_isa
@pytest.mark.parametrize("cache", doors.CACHES)
@given(data=st.data())
@settings(max_examples=15)
def test_attention(isa, cache, data):
    count = data.draw(st.integers(1, 40))
    start = data.draw(st.sampled_from([0, 1, 15, 16, 100, 127, 128, 250, 390]))
    group, kv_heads = data.draw(st.sampled_from([(1, 1), (1, 5), (3, 1), (3, 2), (8, 1)]))
    channels = data.draw(st.sampled_from([1, 8, 16, 24, 48, 64, 80, 128]))
    causal = data.draw(st.booleans())
    window = data.draw(st.sampled_from([0, 0, 1, 20, 130]))
    more = 0 if causal else data.draw(st.integers(0, 20))
    vectors, blocks = example(
        count=count, start=start, heads=group * kv_heads, group=group, channels=channels, more=more
    )
    told = {"start": start, "cache": cache, "causal": causal, "window": window}
    got = doors.attend(isa, *vectors, blocks=blocks, **told)
    np.testing.assert_allclose(got, reference(*vectors, **told), rtol=2e-5, atol=4e-6)
    pieces = [data.draw(st.integers(1, count)), data.draw(st.integers(0, 3))]
    split = doors.attend(isa, *vectors, blocks=blocks, **told, tokens_at_once=pieces[0], chunks_at_once=pieces[1])
    assert np.array_equal(got.view(np.int32), split.view(np.int32))


@every_isa
@pytest.mark.parametrize("cache", doors.CACHES)
def test_bits_do_not_depend_on_the_heads_beside(isa, cache):
    """Heads of a group one by one, as groups of one."""
    (queries, keys, values), blocks = example(count=5, start=300, heads=8, group=8, channels=64)
    together = doors.attend(isa, queries, keys, values, blocks=blocks, start=300, cache=cache)
    for head in range(8):
        alone = np.ascontiguousarray(queries[:, head : head + 1])
        got = doors.attend(isa, alone, keys, values, blocks=blocks, start=300, cache=cache)
        assert np.array_equal(got[:, 0], together[:, head])


@every_isa
def test_cross_attention_looks_at_few_keys_from_any_position(isa):
    """More queries than keys; each query attends to all keys."""
    (queries, keys, values), blocks = example(count=40, start=0)
    keys, values = (np.ascontiguousarray(one[:7]) for one in (keys, values))
    got = doors.attend(isa, queries, keys, values, blocks=blocks[:1], start=90, causal=False)
    expected = reference(queries, keys, values, start=90, causal=False)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


@every_isa
@pytest.mark.parametrize("cache", doors.CACHES)
@pytest.mark.parametrize("start", [0, 290])
def test_falcons_bias_is_rounded_as_it_was_trained(isa, cache, start):
    vectors, blocks = example(count=9, start=start, heads=6, group=3)
    slopes = alibi_slopes(6, np).astype(np.float32)
    added = alibi_bias(torch.from_numpy(slopes), torch.arange(start + 9)[None], 48**-0.5)[0].numpy()  # (H, 1, S)
    told = {"start": start, "cache": cache}
    got = doors.attend(isa, *vectors, blocks=blocks, slopes=slopes, **told)
    np.testing.assert_allclose(got, reference(*vectors, **told, bias=added), rtol=2e-5, atol=4e-6)


@every_isa
@pytest.mark.parametrize("causal", [False, True])
def test_bias_by_distance(isa, causal):
    """T5's bias: a table over distances, no longer than the number of distances."""
    vectors, blocks = example(count=140, start=0, heads=6, group=1)
    table = np.random.default_rng(1).standard_normal((6, 2 * 140 - 1)).astype(np.float32)
    distances = np.arange(140)[None] - np.arange(140)[:, None] + 139
    told = {"start": 0, "causal": causal}
    got = doors.attend(isa, *vectors, blocks=blocks, bias=table, bias_zero=139, **told)
    expected = reference(*vectors, **told, bias=table[:, distances])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


@every_isa
def test_scores_far_apart_are_no_trouble(isa):
    """One key outweighs all others by e^2000; the others' exponentials vanish instead of overflowing."""
    (queries, keys, values), blocks = example(count=1, start=200, heads=1, group=1, channels=16)
    keys[77] = queries[0, 0] * 300
    got = doors.attend(isa, queries, keys, values, blocks=blocks, start=200)
    assert np.array_equal(got[0, 0], values[77, 0])


@every_isa
@pytest.mark.parametrize("cache", doors.CACHES)
def test_stored_vectors_are_those_of_the_torch_runner(isa, cache):
    """With a single key, its stored value is the answer. Also constants, zeros and halves between steps."""
    for seed in range(20):
        (queries, keys, values), blocks = example(count=1, start=0, heads=1, group=1, channels=64, seed=seed)
        if seed < 3:
            values[:] = (0.0, 1.2345, -3e-5)[seed]
        if seed == 3:
            values[0, 0] = np.arange(64) * 0.5
        got = doors.attend(isa, queries, keys, values, blocks=blocks, cache=cache)
        np.testing.assert_allclose(got[0, 0], kept(values, cache)[0, 0], rtol=2e-7, atol=2e-7)
