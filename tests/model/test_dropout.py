"""Dropout drops its share, keeps the mean, follows the seed, and passes gradients to the kept values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.model.dropout import dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_and_the_mean(share):
    torch.manual_seed(0)
    out = dropout(torch.ones(1000, 1001), share)
    assert (out == 0).float().mean().item() == pytest.approx(share, abs=2e-3)
    assert out.mean().item() == pytest.approx(1.0, abs=1e-2)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])


def test_each_number_is_dropped_by_itself():
    """Neighbours, and numbers four apart (one draw gives four), are independent; so are rows and columns."""
    torch.manual_seed(1)
    kept = (dropout(torch.ones(2000, 64), 0.5) != 0).float()
    correlation = torch.corrcoef(kept.T) - torch.eye(64)
    assert correlation.abs().max() < 0.12
    assert kept.mean(0).sub(0.5).abs().max() < 0.06


@given(st.lists(st.integers(1, 7), min_size=1, max_size=3), st.floats(0.01, 0.95))
def test_any_shape_and_its_gradient(shape, share):
    torch.manual_seed(2)
    x = torch.randn(shape, requires_grad=True)
    out = dropout(x, share)
    assert out.shape == x.shape
    out.sum().backward()
    scale = 1 / (1 - share)
    torch.testing.assert_close(x.grad, torch.where(out.detach() != 0, scale, 0.0))
    torch.testing.assert_close(out, x * x.grad)


def test_the_seed_decides_and_evaluation_drops_nothing():
    x = torch.randn(50, 50)
    torch.manual_seed(3)
    first, second = dropout(x, 0.3), dropout(x, 0.3)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.3), first)
    assert not torch.equal(first, second)
    assert dropout(x, 0.3, training=False) is x
    assert dropout(x, 0.0) is x


def test_half_precision_stays_half():
    assert dropout(torch.ones(9, dtype=torch.bfloat16), 0.5).dtype is torch.bfloat16
