"""The chunked loss against PyTorch's own cross-entropy on full logits: value, gradients, 16-bit, compiled."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from lavra.base.device import find_compiler
from lavra.model import loss as module
from lavra.model.loss import IGNORE, chunked_cross_entropy, compile_loss, label_logprobs, use_eager_loss

D, V = 16, 50


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_LOGITS", 64 * V)  # 64 rows a chunk


def problem(rows, *, bias=True, seed=0, ignored=0.3, vocab=V):
    draw = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(rows, D, generator=draw), torch.randn(vocab, D, generator=draw) * 0.7
    offset = torch.randn(vocab, generator=draw) if bias else None
    labels = torch.randint(0, vocab, (rows,), generator=draw)
    labels[torch.rand(rows, generator=draw) < ignored] = IGNORE
    leaves = [tensor.requires_grad_() for tensor in (hidden, weight, offset) if tensor is not None]
    return hidden, weight, labels, offset, leaves


def reference(hidden, weight, labels, bias):
    logits = functional.linear(hidden, weight, bias)
    return functional.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=IGNORE)


def gradients(value, leaves):
    value.backward()
    found = [leaf.grad.clone() for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return found


@given(rows=st.integers(1, 300), bias=st.booleans(), seed=st.integers(0, 99), ignored=st.sampled_from([0.0, 0.4]))
def test_value_and_gradients_are_those_of_full_logits(rows, bias, seed, ignored):
    hidden, weight, labels, offset, leaves = problem(rows, bias=bias, seed=seed, ignored=ignored)
    ours, theirs = chunked_cross_entropy(hidden, weight, labels, offset), reference(hidden, weight, labels, offset)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    if (labels != IGNORE).any():
        for mine, other in zip(gradients(ours, leaves), gradients(theirs, leaves), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=2e-5)


def test_no_labels_at_all_cost_nothing_and_move_nothing():
    hidden, weight, labels, offset, leaves = problem(10)
    value = chunked_cross_entropy(hidden, weight, torch.full_like(labels, IGNORE), offset)
    assert value == 0
    assert all(not gradient.any() for gradient in gradients(value, leaves))


def test_the_gradient_is_scaled_by_what_comes_after():
    hidden, weight, labels, offset, leaves = problem(100)
    plain = gradients(chunked_cross_entropy(hidden, weight, labels, offset), leaves)
    scaled = gradients(chunked_cross_entropy(hidden, weight, labels, offset) * 0.125, leaves)
    for one, other in zip(plain, scaled, strict=True):
        assert torch.equal(one * 0.125, other)


def test_a_bias_alone_can_be_trained():
    hidden, weight, labels, offset, _ = problem(100)
    hidden, weight = hidden.detach(), weight.detach()
    (mine,) = gradients(chunked_cross_entropy(hidden, weight, labels, offset), [offset])
    (other,) = gradients(reference(hidden, weight, labels, offset), [offset])
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_without_gradients_the_value_is_the_same():
    hidden, weight, labels, offset, _ = problem(200)
    with torch.no_grad():
        torch.testing.assert_close(
            chunked_cross_entropy(hidden, weight, labels, offset), reference(hidden, weight, labels, offset)
        )


def test_a_label_outside_the_vocabulary_is_an_error():
    hidden, weight, labels, offset, _ = problem(10, ignored=0.0)
    labels[3] = V
    with pytest.raises((IndexError, RuntimeError)):
        chunked_cross_entropy(hidden, weight, labels, offset)


def test_bf16_autocast_stays_near_float32():
    """Bound: bf16 has 8 bits; a mean loss changes by less than 1 %, and gradients by less than 2 % of their norm."""
    hidden, weight, labels, offset, leaves = problem(300)
    exact = reference(hidden, weight, labels, offset)
    exact_gradients = gradients(exact, leaves)
    with torch.autocast("cpu", torch.bfloat16):
        ours = chunked_cross_entropy(hidden, weight, labels, offset)
    assert ours.dtype == torch.float32
    assert abs(float(ours.detach() / exact.detach()) - 1) < 0.01
    for mine, other in zip(gradients(ours, leaves), exact_gradients, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - other).norm() < 0.02 * other.norm()


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_kernel_is_the_eager_one(dtype):
    hidden, weight, labels, offset, leaves = problem(150)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            value = chunked_cross_entropy(hidden, weight, labels, offset)
        return value.detach(), gradients(value, leaves)

    eager, eager_gradients = run()
    try:
        compile_loss(V, dtype, torch.device("cpu"))
        assert module._kernel is not module.softmax_gradient
        compiled, compiled_gradients = run()
    finally:
        use_eager_loss()
        torch.compiler.reset()
    assert module._kernel is module.softmax_gradient
    torch.testing.assert_close(compiled, eager, rtol=1e-6, atol=1e-4)
    bound = 1e-5 if dtype == torch.float32 else 0.01  # an ulp of bf16 here and there
    for mine, other in zip(compiled_gradients, eager_gradients, strict=True):
        assert (mine - other).norm() <= bound * other.norm()


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
def test_one_compilation_serves_all_numbers_of_rows():
    """A recompilation would divide the work by the batch at hand, and resuming would not be exact.

    (Chunks of one row get a kernel of their own: always the same.)
    """
    try:
        torch.compiler.reset()
        compile_loss(V, torch.float32, torch.device("cpu"))
        torch._dynamo.utils.counters.clear()
        for rows in (300, 64, 66, 127, 2, 90):
            hidden, weight, labels, _, leaves = problem(rows, ignored=0.0)
            gradients(chunked_cross_entropy(hidden, weight, labels), leaves[:2])
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
    finally:
        use_eager_loss()
        torch.compiler.reset()


@given(rows=st.integers(0, 200), bias=st.booleans())
def test_label_logprobs_are_log_softmax_gathered(rows, bias):
    hidden, weight, labels, offset, _ = problem(rows, bias=bias, ignored=0.0)
    with torch.no_grad():
        ours = label_logprobs(hidden, weight, labels, offset)
        full = functional.linear(hidden, weight, offset).log_softmax(-1).gather(1, labels[:, None])[:, 0]
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, full, rtol=1e-5, atol=1e-5)
