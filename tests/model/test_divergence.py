"""Divergences against PyTorch's own on whole logits: values and gradients, for every chunk size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

import lavra.model.loss
from lavra.model.divergence import (
    LiveTeacher,
    Mixture,
    TopTeacher,
    binary_kl_of_logits,
    chunked_mixture,
    kl_of_logits,
)

N, V, D, WIDE = 150, 37, 8, 12


def drawn(seed=0):
    draw = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    student = {"hidden": make(N, D), "weight": make(V, D), "bias": make(V)}
    teacher = {"hidden": make(N, WIDE), "weight": make(V, WIDE), "bias": make(V)}
    return student, teacher, torch.randint(V, (N,), generator=draw)


@pytest.fixture
def small_chunks(monkeypatch):
    """64 rows at a time, so that 150 rows are three chunks."""
    monkeypatch.setattr(lavra.model.loss, "_CHUNK_LOGITS", 1)


def naive(student, teacher, labels, mixture):
    ours = functional.linear(student["hidden"], student["weight"], student.get("bias"))
    theirs = functional.linear(teacher["hidden"], teacher["weight"], teacher.get("bias"))
    T = mixture.temperature
    soft = functional.kl_div(
        functional.log_softmax(ours / T, -1), functional.log_softmax(theirs / T, -1), log_target=True, reduction="sum"
    )
    hard = functional.cross_entropy(ours, labels, reduction="sum")
    return (1 - mixture.share) * hard + mixture.share * T**2 * soft


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("mixture", [(1.0, 1.0), (2.0, 0.5), (4.0, 0.9), (3.0, 0.0)], ids=str)
def test_the_chunked_loss_and_its_gradients_are_the_naive_ones(mixture, biased, small_chunks):
    mixture = Mixture(temperature=mixture[0], share=mixture[1])
    student, teacher, labels = drawn()
    if not biased:
        del student["bias"], teacher["bias"]
    leaves = {name: tensor.double().requires_grad_() for name, tensor in student.items()}
    expected = naive(leaves, {name: tensor.double() for name, tensor in teacher.items()}, labels, mixture)
    expected.backward()
    own = {name: tensor.clone().requires_grad_() for name, tensor in student.items()}
    said = LiveTeacher(**{"bias": None, **teacher}, temperature=mixture.temperature)
    arguments = (own["hidden"], own["weight"], labels, said, mixture, own.get("bias"))
    loss = chunked_mixture(*arguments)
    (loss / 3).backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-3)
    for name, tensor in own.items():
        torch.testing.assert_close(tensor.grad.double() * 3, leaves[name].grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(chunked_mixture(*arguments), loss)


def top(logits, k, temperature=1.0):
    logp = functional.log_softmax(logits / temperature, -1)
    values, ids = logp.topk(k, -1)
    rest = logp.scatter(1, ids, float("-inf")).logsumexp(-1)
    return TopTeacher(ids=ids, logprobs=values, log_rest=rest)


@given(st.integers(0, 10_000), st.sampled_from([1.0, 2.0, 5.0]), st.floats(0, 1))
def test_all_tokens_kept_is_the_whole_loss(seed, temperature, share):
    student, teacher, labels = drawn(seed)
    mixture = Mixture(temperature=temperature, share=share)
    live = LiveTeacher(**teacher, temperature=temperature)
    kept = top(functional.linear(teacher["hidden"], teacher["weight"], teacher["bias"]), V, temperature)
    found = []
    for said in (live, kept):
        own = {name: tensor.clone().requires_grad_() for name, tensor in student.items()}
        loss = chunked_mixture(own["hidden"], own["weight"], labels, said, mixture, own["bias"])
        loss.backward()
        found.append((loss.detach(), *(tensor.grad for tensor in own.values())))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10_000), st.integers(1, V - 1))
def test_the_bucket_is_a_lower_bound_with_the_gradient_of_what_it_says(seed, k):
    """Against autograd through the k + 1 numbers, and the data-processing inequality."""
    draw = torch.Generator().manual_seed(seed)
    ours, theirs = torch.randn(5, V, generator=draw), 2 * torch.randn(5, V, generator=draw)
    kept, z = top(theirs, k), ours.clone().requires_grad_()
    q = functional.softmax(z, -1)
    q_top = q.gather(1, kept.ids)
    bucketed = torch.cat((q_top, 1 - q_top.sum(1, keepdim=True)), 1).log()
    p = torch.cat((kept.logprobs, kept.log_rest[:, None]), 1)
    expected = functional.kl_div(bucketed, p, log_target=True, reduction="sum")
    expected.backward()
    loss, gradient = kept.divergence(slice(0, 5), ours)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gradient, z.grad, rtol=1e-2, atol=1e-4)
    assert loss <= kl_of_logits(ours, theirs) + 1e-4


def test_tokens_impossible_for_both_cost_nothing():
    ours, theirs = torch.randn(4, 6), torch.randn(4, 6)
    hidden = torch.tensor([True] * 4 + [False] * 2)
    blocked = [x.masked_fill(~hidden, float("-inf")).requires_grad_() for x in (ours, theirs)]
    loss = kl_of_logits(*blocked, 2.0)
    loss.backward()
    torch.testing.assert_close(loss, kl_of_logits(ours[:, :4], theirs[:, :4], 2.0))
    assert blocked[0].grad.isfinite().all()


def test_binary_against_bernoullis():
    ours, theirs = torch.randn(4, 3), torch.randn(4, 3)
    q, p = (torch.distributions.Bernoulli(logits=x / 2.0) for x in (ours, theirs))
    torch.testing.assert_close(
        binary_kl_of_logits(ours, theirs, 2.0), torch.distributions.kl_divergence(p, q).sum(), rtol=1e-4, atol=1e-5
    )


def test_half_precision_heads_learn_in_half_precision(small_chunks):
    student, teacher, labels = drawn()
    own = {name: tensor.clone().requires_grad_() for name, tensor in student.items()}
    mixture, said = Mixture(temperature=2.0, share=0.5), LiveTeacher(**teacher, temperature=2.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_mixture(own["hidden"], own["weight"], labels, said, mixture, own["bias"])
    loss.backward()
    exact = naive(student, teacher, labels, mixture)
    assert abs(loss.item() / exact.item() - 1) < 0.02
    assert own["weight"].grad.dtype is torch.float32


def test_no_more_than_a_chunk_of_logits_exists(small_chunks, monkeypatch):
    seen, plain = [], functional.linear

    def linear(*arguments):
        made = plain(*arguments)
        seen.append(tuple(made.shape))
        return made

    monkeypatch.setattr(functional, "linear", linear)
    student, teacher, labels = drawn()
    own = {name: tensor.clone().requires_grad_() for name, tensor in student.items()}
    said = LiveTeacher(**teacher, temperature=2.0)
    chunked_mixture(own["hidden"], own["weight"], labels, said, Mixture(temperature=2.0, share=0.5), own["bias"])
    assert seen == [shape for rows in (64, 64, 22) for shape in [(rows, V)] * 2]
