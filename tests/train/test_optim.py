"""AdamW's groups, Muon against numpy's SVD, a naive reference and PyTorch's own, and the choice for each parameter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lavra.base.errors import ConfigError
from lavra.train.config import OptimizerConfig
from lavra.train.loop import block_matrices
from lavra.train.optim import Muon, build_optimizers, orthogonalize
from tests.train.tiny import tiny_model

SHAPES = [(32, 32), (24, 64), (64, 24)]


def matrix(shape, seed=0):
    """A Gaussian matrix: its singular values are spread, the least about a hundredth of the largest (square)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_orthogonalize_is_near_the_polar_factor(shape, dtype):
    found = orthogonalize(matrix(shape)[None], dtype)[0].float().numpy()
    left, values, right = np.linalg.svd(matrix(shape).numpy(), full_matrices=False)
    kept = values > 0.02 * values[0]  # five steps lift a singular value about 300 times at most
    ours = np.diag(left.T @ found @ right.T)
    assert ours[kept].min() > 0.6
    assert ours.max() < 1.3
    # Off the diagonal there is only rounding: the direction is that of U V'.
    rest = left.T @ found @ right.T - np.diag(ours)
    assert np.abs(rest).max() < 0.05
    polar = left @ right
    assert (found * polar).sum() / np.linalg.norm(found) / np.linalg.norm(polar) > 0.97


@given(seed=st.integers(0, 50), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_scale_of_a_gradient_does_not_matter(seed, scale):
    base, scaled = orthogonalize(matrix((16, 40), seed)[None]), orthogonalize(scale * matrix((16, 40), seed)[None])
    torch.testing.assert_close(base.float(), scaled.float(), rtol=0, atol=0.04)


def test_nothing_stays_nothing():
    assert not orthogonalize(torch.zeros(2, 8, 16)).any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batched_is_single(shape):
    several = torch.stack([matrix(shape, seed) for seed in range(4)])
    together = orthogonalize(several).float()
    for number, one in enumerate(several):
        torch.testing.assert_close(orthogonalize(one[None])[0].float(), together[number], rtol=0, atol=0.02)


def naive_muon(weight, gradients, lr, momentum, weight_decay):
    """One matrix, step by step, with an SVD's U f(S) V' in place of Newton-Schulz."""
    weight, buffer = weight.double(), torch.zeros_like(weight).double()
    for gradient in gradients:
        buffer = momentum * buffer + (1 - momentum) * gradient.double()
        direction = (1 - momentum) * gradient.double() + momentum * buffer
        left, values, right = torch.linalg.svd(direction, full_matrices=False)
        s = values / values.norm()
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        update = left @ torch.diag(s) @ right
        weight = weight * (1 - lr * weight_decay) - lr * 0.2 * max(weight.shape) ** 0.5 * update
    return weight


def run_muon(shapes, steps=3, cls=None, **settings):
    parameters = [nn.Parameter(matrix(shape, 100 + n)) for n, shape in enumerate(shapes)]
    optimizer = (cls or Muon)(parameters, **settings)
    for step in range(steps):
        for n, parameter in enumerate(parameters):
            parameter.grad = matrix(parameter.shape, 1000 + 10 * step + n)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def test_muon_is_the_naive_one_matrix_by_matrix():
    settings = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    shapes = [(16, 40), (40, 16), (16, 40), (24, 24)]
    for n, found in enumerate(run_muon(shapes, **settings)):
        start, gradients = matrix(shapes[n], 100 + n), [matrix(shapes[n], 1000 + 10 * s + n) for s in range(3)]
        expected = naive_muon(start, gradients, **settings)
        moved, wanted = found.double() - start, expected - start
        assert (moved - wanted).norm() < 0.03 * wanted.norm()  # bf16 in the iteration


def test_muon_is_that_of_pytorch():
    """`torch.optim.Muon` with `match_rms_adamw` is the same rule, matrix by matrix."""
    settings = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1}
    ours = run_muon(SHAPES, **settings)

    def theirs(parameters, **more):
        return torch.optim.Muon(parameters, nesterov=True, adjust_lr_fn="match_rms_adamw", **more)

    for n, (found, expected) in enumerate(zip(ours, run_muon(SHAPES, cls=theirs, **settings), strict=True)):
        moved = (expected - matrix(SHAPES[n], 100 + n)).norm()
        assert (found - expected).norm() < 0.02 * moved


def test_a_parameter_without_gradient_is_left_alone():
    parameters = [nn.Parameter(matrix((8, 8))), nn.Parameter(matrix((8, 8)))]
    parameters[0].grad = matrix((8, 8), 1)
    Muon(parameters, lr=0.1, momentum=0.9, weight_decay=0.1).step()
    assert torch.equal(parameters[1].detach(), matrix((8, 8)))
    assert not torch.equal(parameters[0].detach(), matrix((8, 8)))


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "bert", "t5"])
@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_parameter_has_one_optimizer_and_only_matrices_decay(family, kind):
    model = tiny_model(family)
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizers = build_optimizers(
        model.named_parameters(), block_matrices(model), OptimizerConfig(kind=kind, embedding_learning_rate=0.5)
    )
    seen = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            seen += group["params"]
            wanted = OptimizerConfig().learning_rate if isinstance(optimizer, Muon) else 0.5
            queries = [names[parameter].endswith("query.weight") for parameter in group["params"]]
            if family == "t5" and isinstance(optimizer, Muon) and all(queries):
                wanted *= 32**-0.5  # scores are not divided by the root of the 32 channels
            assert group["peak_lr"] == pytest.approx(wanted)
            for parameter in group["params"]:
                name = names[parameter]
                assert (group["weight_decay"] > 0) == (parameter.ndim >= 2), name
                in_block = ".blocks." in name and parameter.ndim == 2
                assert isinstance(optimizer, Muon) == (kind == "muon" and in_block), name
    assert len(seen) == len(set(seen)) == len(names)


def test_frozen_parameters_have_none():
    model = tiny_model()
    model.embedding.requires_grad_(False)
    held = [
        p
        for optimizer in build_optimizers(model.named_parameters(), block_matrices(model), OptimizerConfig())
        for group in optimizer.param_groups
        for p in group["params"]
    ]
    assert all(p is not model.embedding.token.weight for p in held)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("embedding_learning_rate", -1.0),
        ("eps", 0.0),
        ("weight_decay", -0.1),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("momentum", 1.5),
        ("kind", "sgd"),
    ],
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(ConfigError, match=field):
        OptimizerConfig(**{field: value})
