"""Error-compensated rounding against a slow implementation of the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.compression.rounding import Compensation, output_error, round_compensated
from lavra.quantize.rounding import choose_scales, to_integers, to_weight
from lavra.quantize.scheme import SCHEMES, Scheme

GROUPS = Scheme(name="int4", bits=4, group_size=8)


def drawn(rows, columns, seed, samples=200):
    """Weights, and the Hessian of correlated inputs."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=draw)
    x = torch.randn(samples, columns, generator=draw) @ mix
    return torch.randn(rows, columns, generator=draw), x, (x.T @ x / samples).double()


def damped(hessian, share):
    return hessian + share * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64)


def optimal_brain(weight, hessian, scale, scheme):
    """Column by column, with the inverse of the rest computed anew each time: no Cholesky factor, no blocks."""
    left, size = weight.double().clone(), scheme.group_size or weight.shape[1]
    integers = torch.zeros_like(left)
    for column in range(weight.shape[1]):
        inverse = torch.linalg.inv(hessian[column:, column:])
        step = scale[:, column // size].double()
        integers[:, column] = (left[:, column] / step).round().clamp(-scheme.largest - 1, scheme.largest)
        error = left[:, column] - integers[:, column] * step
        left[:, column:] -= error[:, None] * inverse[0][None] / inverse[0, 0]
    return integers.to(torch.int8)


@pytest.mark.parametrize("columns", [24, 150])
def test_integers_are_those_of_the_slow_definition(columns):
    weight, _, hessian = drawn(40, columns, seed=columns)
    how = Compensation(damping=0.01, order_by_diagonal=False, sweeps=0)
    integers, scale = round_compensated(weight, hessian, GROUPS, how)
    expected = optimal_brain(weight, damped(hessian, 0.01), scale, GROUPS)
    taken = (integers == expected).all(dim=1)
    assert taken.double().mean() >= 0.9  # the others fell on the border of two integers, or rounding to nearest won
    changed = (to_integers(weight, scale, GROUPS) != expected).any(dim=1)
    assert changed.double().mean() > 0.5, "little was compensated"


@given(
    rows=st.integers(1, 6),
    columns=st.integers(2, 40),
    seed=st.integers(0, 10_000),
    name=st.sampled_from(["int8", "int4", "groups"]),
    sweeps=st.integers(0, 3),
    by_diagonal=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_no_output_is_worse_than_with_rounding_to_nearest(rows, columns, seed, name, sweeps, by_diagonal):
    scheme = SCHEMES.get(name, GROUPS)
    weight, _, hessian = drawn(rows, columns, seed)
    how = Compensation(order_by_diagonal=by_diagonal, sweeps=sweeps)
    integers, scale = round_compensated(weight, hessian, scheme, how)
    assert integers.dtype == torch.int8
    assert int(integers.min()) >= -scheme.largest - 1
    assert int(integers.max()) <= scheme.largest
    assert scale.shape == (rows, scheme.num_groups(columns))
    nearest_scale = choose_scales(weight, scheme)
    nearest = to_weight(to_integers(weight, nearest_scale, scheme), nearest_scale, scheme)
    whole = damped(hessian, how.damping)
    ours = output_error(weight, to_weight(integers, scale, scheme), whole)
    assert bool((ours <= output_error(weight, nearest, whole) * (1 + 1e-9)).all())


def test_the_error_is_that_of_the_outputs():
    weight, x, hessian = drawn(5, 24, seed=3)
    other = weight + 0.1
    expected = ((x.double() @ (weight - other).double().T) ** 2).mean(dim=0)
    assert torch.allclose(output_error(weight, other, hessian), expected, rtol=1e-5)


def test_inputs_that_lean_on_each_other_are_made_use_of():
    weight, _, hessian = drawn(64, 128, seed=1)
    nearest_scale = choose_scales(weight, SCHEMES["int4"])
    nearest = to_weight(to_integers(weight, nearest_scale, SCHEMES["int4"]), nearest_scale, SCHEMES["int4"])
    plain = output_error(weight, nearest, hessian).sum()
    errors = []
    for sweeps in (0, 1, 3):
        integers, scale = round_compensated(weight, hessian, SCHEMES["int4"], Compensation(sweeps=sweeps))
        errors.append(output_error(weight, to_weight(integers, scale, SCHEMES["int4"]), hessian).sum())
    assert errors[0] < 0.5 * plain
    assert errors[2] < errors[1] < errors[0]


def test_going_over_it_often_leaves_nothing_to_gain():
    """No change of a single integer by one lowers an output's error."""
    weight, _, hessian = drawn(6, 16, seed=5)
    whole = damped(hessian, 0.01)
    integers, scale = round_compensated(weight, hessian, GROUPS, Compensation(sweeps=40))
    least = output_error(weight, to_weight(integers, scale, GROUPS), whole)
    for column in range(16):
        for move in (-1, 1):
            moved = integers.clone()
            moved[:, column] = (moved[:, column] + move).clamp(-8, 7)
            error = output_error(weight, to_weight(moved, scale, GROUPS), whole)
            assert bool((error >= least * (1 - 1e-6)).all())


def test_independent_inputs_leave_nothing_to_compensate():
    weight, _, _ = drawn(10, 24, seed=2)
    how = Compensation(sweeps=0)
    integers, scale = round_compensated(weight, torch.eye(24), GROUPS, how)
    assert torch.equal(integers, to_integers(weight, scale, GROUPS))


def test_inputs_that_never_came_keep_their_weights():
    weight, _, hessian = drawn(10, 24, seed=4)
    hessian[5], hessian[:, 5] = 0.0, 0.0
    integers, scale = round_compensated(weight, hessian, GROUPS, Compensation(sweeps=0))
    assert torch.equal(integers[:, 5], to_integers(weight, scale, GROUPS)[:, 5])
    nothing, scale = round_compensated(weight, torch.zeros(24, 24), GROUPS)
    assert bool(torch.isfinite(to_weight(nothing, scale, GROUPS)).all())


@pytest.mark.parametrize(("setting", "value"), [("damping", 0.0), ("damping", -1.0), ("sweeps", -1)])
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ConfigError, match=setting):
        Compensation(**{setting: value})
