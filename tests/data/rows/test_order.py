"""The order of an epoch: every sample once, independent of earlier calls, similar lengths together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.data.rows.order import STRETCH, EpochOrder, OrderConfig

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=70)
configs = st.builds(
    OrderConfig, batch_size=st.integers(1, 9), seed=st.integers(0, 3), group_by_length=st.booleans()
) | st.builds(OrderConfig, batch_size=st.integers(1, 9), shuffle=st.just(False))


@given(lengths=lengths, config=configs, epoch=st.integers(0, 3))
def test_an_epoch_shows_every_sample_once(lengths: list[int], config: OrderConfig, epoch: int) -> None:
    batches = epoch_of(EpochOrder(lengths, config), epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[0] >= 1
    assert all(size == config.batch_size for size in sizes[1:])


def epoch_of(order: EpochOrder, epoch: int) -> list[np.ndarray]:
    return [order.samples(epoch * order.num_batches + step) for step in range(order.num_batches)]


@given(kinds=st.lists(st.integers(2, 4), min_size=1, max_size=50), config=configs, epoch=st.integers(0, 2))
def test_unlike_kinds_do_not_share_a_batch(kinds: list[int], config: OrderConfig, epoch: int) -> None:
    batches = epoch_of(EpochOrder([1] * len(kinds), config, kinds=kinds), epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(kinds)))
    assert all(len({kinds[sample] for sample in batch}) == 1 for batch in batches)
    assert len(batches) == sum(-(-kinds.count(kind) // config.batch_size) for kind in set(kinds))


@given(
    apart=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), min_size=1, max_size=40),
    size=st.integers(1, 6),
    epoch=st.integers(0, 4),
    shuffle=st.booleans(),
)
def test_samples_that_share_something_are_kept_apart(
    apart: list[list[int]], size: int, epoch: int, shuffle: bool
) -> None:
    order = EpochOrder([1] * len(apart), OrderConfig(batch_size=size, shuffle=shuffle), apart=apart)
    batches = epoch_of(order, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(apart)))
    for batch in batches:
        assert 1 <= len(batch) <= size
        held = [thing for sample in batch for thing in set(apart[sample])]
        assert len(held) == len(set(held))


def test_few_duplicates_cost_no_batch_and_epochs_differ() -> None:
    apart = [[number, 1000 + number % 90] for number in range(100)]  # ten texts stand in two samples
    order = EpochOrder([1] * 100, OrderConfig(batch_size=8), apart=apart)
    assert order.num_batches == 13
    assert sorted(len(batch) for batch in epoch_of(order, 0)) == [4] + [8] * 12
    first, second = ({frozenset(batch.tolist()) for batch in epoch_of(order, epoch)} for epoch in (0, 1))
    assert not first & second


def test_many_duplicates_are_dealt_in_no_time() -> None:
    order = EpochOrder([1] * 5000, OrderConfig(batch_size=8), apart=[[0, number] for number in range(1, 5001)])
    assert order.num_batches == 5000


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


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        EpochOrder([], OrderConfig(batch_size=2))
    with pytest.raises(ConfigError, match="batch_size is 0"):
        OrderConfig(batch_size=0)
    with pytest.raises(ConfigError, match="group_by_length puts equal lengths together"):
        EpochOrder([1], OrderConfig(batch_size=2, group_by_length=True), apart=[[0]])
    with pytest.raises(ConfigError, match="group_by_length"):
        OrderConfig(batch_size=2, shuffle=False, group_by_length=True)
