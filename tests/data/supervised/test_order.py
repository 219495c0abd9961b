"""The order of an epoch: every sample once, independent of who asked what before, like lengths together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.data.supervised.order import STRETCH, EpochOrder, OrderConfig

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=70)
configs = st.builds(
    OrderConfig, batch_size=st.integers(1, 9), seed=st.integers(0, 3), group_by_length=st.booleans()
) | st.builds(OrderConfig, batch_size=st.integers(1, 9), shuffle=st.just(False))


@given(lengths=lengths, config=configs, epoch=st.integers(0, 3))
def test_an_epoch_shows_every_sample_once(lengths: list[int], config: OrderConfig, epoch: int) -> None:
    order = EpochOrder(lengths, config)
    batches = [order.samples(epoch * order.num_batches + step) for step in range(order.num_batches)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[0] >= 1
    assert all(size == config.batch_size for size in sizes[1:])


@given(lengths=lengths, config=configs, asked=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_a_batch_does_not_depend_on_the_ones_before(lengths: list[int], config: OrderConfig, asked: list[int]) -> None:
    order = EpochOrder(lengths, config)
    for index in asked:
        assert order.samples(index).tolist() == EpochOrder(lengths, config).samples(index).tolist()


def test_epochs_and_seeds_differ() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        order = EpochOrder([1] * 50, OrderConfig(batch_size=50, seed=seed))
        return order.samples(number).tolist()

    seen = {tuple(epoch(seed, number)) for seed in range(3) for number in range(3)}
    assert len(seen) == 9


def test_without_shuffle_it_is_the_files_order() -> None:
    order = EpochOrder([5, 1, 9, 2, 7], OrderConfig(batch_size=2, shuffle=False))
    for epoch in range(2):
        assert [order.samples(3 * epoch + step).tolist() for step in range(3)] == [[0, 1], [2, 3], [4]]


def test_like_lengths_come_together_and_the_longest_first() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 500, size=4 * STRETCH * 8).tolist()

    def padding(group: bool) -> int:
        order = EpochOrder(lengths, OrderConfig(batch_size=8, group_by_length=group))
        batches = [np.asarray(lengths)[order.samples(step)] for step in range(order.num_batches)]
        assert not group or max(lengths) in batches[0]
        return sum(int(batch.max() * len(batch) - batch.sum()) for batch in batches)

    assert padding(True) < padding(False) / 20


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        EpochOrder([], OrderConfig(batch_size=2))
    with pytest.raises(ConfigError, match="batch_size is 0"):
        OrderConfig(batch_size=0)
    with pytest.raises(ConfigError, match="group_by_length"):
        OrderConfig(batch_size=2, shuffle=False, group_by_length=True)
