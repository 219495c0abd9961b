"""Every path through attention against explicit sums, one query at a time."""

import dataclasses
import itertools
import math

import pytest
import torch

from lavra.model.attention import attend
from lavra.model.masks import EXPLICIT_KEYS, Mask, Pairs, build_mask


def naive(q, k, v, allowed, bias, scale):
    """(B, H, T, C), (B, K, S, C): loops over everything, float64."""
    out = torch.zeros_like(q, dtype=torch.float64)
    share = q.shape[1] // k.shape[1]
    for b, h, t in itertools.product(*(range(n) for n in q.shape[:3])):
        scores = []
        for s in range(k.shape[2]):
            score = scale * sum(float(x) * float(y) for x, y in zip(q[b, h, t], k[b, h // share, s], strict=True))
            scores.append(score + float(bias[h, t, s]) if allowed(b, t, s) else -math.inf)
        top = max(scores)
        weights = [math.exp(score - top) for score in scores]
        for s, weight in enumerate(weights):
            out[b, h, t] += weight / sum(weights) * v[b, h // share, s].double()
    return out


SEGMENTS = torch.tensor([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 1]])
REAL = torch.tensor([[True, True, True, True, True, False], [True] * 6])
CASES = {
    "causal": ({"causal": True}, None, lambda b, t, s: s <= t),
    "bidirectional": ({"causal": False}, None, lambda b, t, s: True),
    "window": ({"causal": True}, 2, lambda b, t, s: s <= t and t - s < 2),
    "segments": (
        {"causal": True, "query_segments": SEGMENTS, "key_segments": SEGMENTS},
        None,
        lambda b, t, s: s <= t and SEGMENTS[b, t] == SEGMENTS[b, s],
    ),
    "padding": ({"causal": False, "key_mask": REAL}, None, lambda b, t, s: bool(REAL[b, s])),
}


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_masks_and_kernels_equal_the_sums(case, heads, with_bias):
    torch.manual_seed(0)
    facts, window, allowed = CASES[case]
    q, k, v = torch.randn(2, 4, 6, 8), torch.randn(2, heads, 6, 8), torch.randn(2, heads, 6, 8)
    bias = torch.randn(4, 6, 6) if with_bias else torch.zeros(4, 6, 6)
    order = torch.arange(6)[None]
    pairs = Pairs(query_order=order, key_order=order, **facts)
    x = torch.zeros(2, 6, 1)
    mask = build_mask(pairs, window=window, bias=bias[None] if with_bias else None, x=x)
    assert mask.causal == (case == "causal" and not with_bias)
    expected = naive(q, k, v, allowed, bias, 0.3)
    assert (attend(q, k, v, mask, scale=0.3) - expected).abs().max() < 1e-5
    if not mask.causal:
        explicit = Mask(bias=mask.bias, explicit=True)
        assert (attend(q, k, v, explicit, scale=0.3) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_one_query_shares_keys_without_copying_them(heads, masked):
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 1, 8), torch.randn(2, heads, 6, 8), torch.randn(2, heads, 6, 8)
    seen = torch.tensor([3, 6])
    order = torch.arange(6)[None]
    pairs = Pairs(query_order=seen[:, None] - 1, key_order=order, causal=True, aligned=False, all_past=not masked)
    mask = build_mask(pairs, x=torch.zeros(2, 1, 1))
    assert (mask.bias is not None) == masked
    expected = naive(q, k, v, lambda b, t, s: not masked or s < seen[b], torch.zeros(4, 1, 6), 0.5)
    assert (attend(q, k, v, mask, scale=0.5) - expected).abs().max() < 1e-5


def test_sixteen_bits_on_a_cpu_take_the_explicit_path_up_to_a_bound():
    def mask(keys, dtype):
        order = torch.arange(keys)[None]
        return build_mask(
            Pairs(query_order=order, key_order=order, causal=True), x=torch.zeros(1, keys, 1, dtype=dtype)
        )

    assert mask(8, torch.bfloat16).explicit
    assert mask(8, torch.bfloat16).bias is not None
    assert mask(EXPLICIT_KEYS + 1, torch.bfloat16) == Mask(causal=True)
    assert mask(8, torch.float32) == Mask(causal=True)


@pytest.mark.parametrize("time", [128, 131])
@pytest.mark.parametrize("segmented", [False, True])
def test_halves_of_a_triangle_equal_the_whole(time, segmented):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, time, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    order = torch.arange(time)[None]
    segments = (order >= 50).long().expand(2, -1) if segmented else None
    pairs = Pairs(query_order=order, key_order=order, query_segments=segments, key_segments=segments, causal=True)
    built = build_mask(pairs, window=time - 1, x=torch.zeros(2, time, 1, dtype=torch.float64))
    assert built.triangular
    mask = dataclasses.replace(built, explicit=True)
    expected = attend(q, k, v, built, scale=0.3)
    found = attend(q, k, v, mask, scale=0.3)
    assert (found - expected).abs().max() < 1e-6
    gradients = [torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (found, expected)]
    assert all((a - b).abs().max() < 1e-5 for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("restriction", ["padding", "segments", "bias"])
def test_bidirectional_attention_in_sixteen_bits_sees_later_keys(restriction):
    """From 128 queries on, a causal triangle is computed in halves; an encoder's full square must not be."""
    torch.manual_seed(0)
    time = 128
    q, k, v = (torch.randn(2, 3, time, 8, dtype=torch.bfloat16) for _ in range(3))
    order, allowed, bias = torch.arange(time)[None], torch.ones(2, time, time, dtype=torch.bool), None
    facts = {}
    if restriction == "padding":
        facts = {"key_mask": order < torch.tensor([[time], [100]])}
        allowed &= facts["key_mask"][:, None]
    elif restriction == "segments":
        segments = (order >= torch.tensor([[100], [30]])).long()
        facts = {"query_segments": segments, "key_segments": segments}
        allowed &= segments[:, :, None] == segments[:, None]
    else:
        bias = torch.randn(1, 3, time, time)
    pairs = Pairs(query_order=order, key_order=order, causal=False, **facts)
    mask = build_mask(pairs, bias=bias, x=torch.zeros(2, time, 1, dtype=torch.bfloat16))
    scores = 0.3 * q.double() @ k.double().mT + (0 if bias is None else bias.double())
    expected = scores.masked_fill(~allowed[:, None], -math.inf).softmax(-1) @ v.double()
    found = attend(q, k, v, mask, scale=0.3)
    assert (found - expected).abs().max() < 0.03


def test_a_row_of_padding_gives_finite_numbers():
    order = torch.arange(4)[None]
    pairs = Pairs(query_order=order, key_order=order, key_mask=torch.zeros(1, 4, dtype=torch.bool), causal=True)
    for dtype in (torch.float32, torch.bfloat16):
        q = torch.randn(1, 2, 4, 8, dtype=dtype)
        assert attend(q, q, q, build_mask(pairs, x=torch.zeros(1, 4, 1, dtype=dtype)), scale=1.0).isfinite().all()
