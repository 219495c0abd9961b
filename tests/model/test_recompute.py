"""Recomputed activations give the same numbers and gradients as autograd's kept ones, in less memory."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from lavra.model import recompute
from lavra.model.dropout import draw_kept
from lavra.model.recompute import dropped_attention, linear_of
from lavra.train.kept import noting_kept

COMPUTED = {
    "gelu": (1, functional.gelu),
    "tanh gelu": (1, lambda x: functional.gelu(x, approximate="tanh")),
    "relu": (1, functional.relu),
    "swiglu": (2, lambda gate, up: functional.silu(gate) * up),
}
SHARE = 0.3


def drawn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def gradients(out, inputs):
    torch.manual_seed(5)
    return torch.autograd.grad(out, inputs, torch.randn(out.shape, dtype=out.dtype))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", COMPUTED)
def test_operations_of_a_layer(name, bias):
    torch.manual_seed(0)
    number, compute = COMPUTED[name]
    inputs, linear = [drawn(2, 5, 8) for _ in range(number)], nn.Linear(8, 3, bias=bias).double()
    wanted = [*inputs, *linear.parameters()]
    ours, plain = linear_of(compute, tuple(inputs), linear), linear(compute(*inputs))
    assert torch.equal(ours, plain)
    for one, other in zip(gradients(ours, wanted), gradients(plain, wanted), strict=True):
        assert torch.allclose(one, other, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *given: linear_of(compute, given, linear), tuple(inputs))


def test_a_frozen_layer_passes_gradients_on():
    inner, linear = drawn(4, 8), nn.Linear(8, 3).double().requires_grad_(False)
    linear_of(functional.gelu, (inner,), linear).sum().backward()
    assert linear.weight.grad is None
    assert torch.allclose(inner.grad, gradients_of_sum(inner, linear))


def gradients_of_sum(inner, linear):
    return torch.autograd.grad(linear(functional.gelu(inner)).sum(), inner)[0]


def test_anything_but_a_plain_layer_is_called():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    linear, inner = Doubled(8, 3), drawn(4, 8, dtype=torch.float32)
    assert torch.equal(linear_of(functional.relu, (inner,), linear), linear(functional.relu(inner)))


def test_autocast_is_that_of_the_layer():
    torch.manual_seed(0)
    inner, linear = drawn(4, 8, dtype=torch.float32), nn.Linear(8, 3)
    wanted = [inner, *linear.parameters()]
    with torch.autocast("cpu", torch.bfloat16):
        ours, plain = linear_of(functional.gelu, (inner,), linear), linear(functional.gelu(inner))
    assert ours.dtype == plain.dtype == torch.bfloat16
    for one, other in zip(gradients(ours, wanted), gradients(plain, wanted), strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one, other, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("cached", [1, 1 << 20])
@pytest.mark.parametrize("bias", ["none", "one", "each"])
def test_attention_with_dropped_weights(monkeypatch, bias, cached):
    monkeypatch.setattr(recompute, "_CACHED_BYTES", cached)
    torch.manual_seed(0)
    q, k, v = drawn(2, 3, 6, 4), drawn(2, 3, 7, 4), drawn(2, 3, 7, 5)
    added = None if bias == "none" else torch.zeros(1 if bias == "one" else 2, 1, 6, 7, dtype=torch.float64)
    if added is not None:
        added[..., 4:] = -torch.inf
    torch.manual_seed(1)
    found = dropped_attention(q, k, v, added, SHARE)
    torch.manual_seed(1)
    few = 1 if cached == 1 else 2
    kept = torch.cat([draw_kept(torch.empty(few, 3, 6, 7), SHARE) for _ in range(2 // few)])
    weights = torch.softmax(q @ k.mT + (0 if added is None else added), dim=-1)
    expected = (weights * kept / (1 - SHARE)) @ v
    assert torch.allclose(found, expected, atol=1e-6)
    for one, other in zip(gradients(found, [q, k, v]), gradients(expected, [q, k, v]), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_less_is_kept():
    q, k, v = (drawn(2, 3, 6, 4, dtype=torch.float32) for _ in range(3))
    with noting_kept([q, k, v]) as ours:
        dropped_attention(q, k, v, None, SHARE)
    assert ours.num_bytes == 2 * 3 * 6 * 6 * 4
    inner, linear = drawn(4, 8, dtype=torch.float32), nn.Linear(8, 3)
    with noting_kept([inner, *linear.parameters()]) as nothing:
        linear_of(functional.gelu, (inner,), linear)
    assert nothing.num_bytes == 0


def test_opening_a_model_imports_no_compiler(tmp_path):
    """The import would take a second and 74 MB."""
    program = f"""
import sys
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.families.table import preset
for family in ("gpt2", "llama", "falcon", "bert", "t5"):
    config = preset(family, vocab_size=300, hidden_size=32, num_layers=1, num_heads=2, max_positions=64)
    save_checkpoint(build_model(config), {str(tmp_path)!r} + "/" + family)
    load_checkpoint({str(tmp_path)!r} + "/" + family)
    for name in ("sympy", "torch._dynamo", "torch._inductor"):
        assert name not in sys.modules, (family, name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
