"""Values read from a store of integers are within half a step of the written ones, for any vectors."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.engine.runners.stores import Int8Store

CPU = torch.device("cpu")


@given(
    st.integers(0, 10_000),
    st.sampled_from([1, 8, 64]),
    st.floats(-100, 100),
    st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
)
def test_within_half_a_step_of_the_range(seed, channels, offset, spread):
    vectors = torch.randn(5, 2, channels, generator=torch.Generator().manual_seed(seed)) * spread + offset
    store = Int8Store((4, 4, 2, channels), CPU)
    slots = torch.tensor([3, 0, 9, 15, 6])
    told = store.write(slots, vectors)
    assert torch.equal(store.read(slice(0, 4), torch.float32).flatten(0, 1)[slots], told)
    low, high = vectors.aminmax(dim=-1, keepdim=True)
    # A step of the range, the middle rounded to eight bits, and the float32 sums that undo it.
    step = (high - low) / 254 + vectors.abs().amax(-1, keepdim=True) * 2**-8 / 127
    assert ((told - vectors).abs() <= step * 0.52 + vectors.abs() * 1e-6 + 1e-12).all()


def test_channels_that_lean_to_one_side_are_kept_closer():
    """Twice as close as with steps around zero, where all channels have the same sign."""
    vectors = torch.rand(200, 1, 8, generator=torch.Generator().manual_seed(0)) + 1
    store = Int8Store((1, 200, 1, 8), CPU)
    found = store.write(torch.arange(200), vectors) - vectors
    scale = vectors.abs().amax(-1, keepdim=True) / 127
    symmetric = (vectors / scale).round() * scale - vectors
    assert found.std() < symmetric.std() / 2
