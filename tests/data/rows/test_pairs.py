"""Pairs for embeddings: groups, scores, and no text twice in a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.data.labelled.samples import PairSample, Place
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.pairs import pair_rows, scored_pair_rows

WORDS = [f"text {letter}" for letter in "abcdefghijklmnop"]


@pytest.fixture
def form(pairs) -> RowFormat:
    return RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16)


def sample(anchor: str, positive: str, *negatives: str, score: float | None = None, line: int = 1) -> PairSample:
    return PairSample(anchor=anchor, positive=positive, negatives=negatives, score=score, place=Place(line=line))


def test_groups_are_anchor_positive_negatives(form: RowFormat) -> None:
    table = pair_rows([sample("a", "b", "c", "d"), sample("e", "f", "g", "h", line=2)], form)
    batch = table.batch([1, 0])
    texts = [
        form.tokenizer.decode(row[mask].tolist()[1:-1])
        for row, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]
    assert texts == list("efghabcd")
    assert (batch.group, batch.num_targets, batch.labels.tolist()) == (4, 2, [0, 1])
    assert batch.sample_ids == ("sample 2", "sample 1")


@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=2, max_size=4, unique=True), min_size=1, max_size=24),
    size=st.integers(1, 5),
    epoch=st.integers(0, 2),
)
def test_no_text_stands_in_two_samples_of_a_batch(pairs, texts: list[list[str]], size: int, epoch: int) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16)
    table = pair_rows([sample(*each, line=line) for line, each in enumerate(texts)], form)
    maker = RowBatches(table, OrderConfig(batch_size=size, seed=3))
    seen: list[str] = []
    for step in range(epoch * len(maker), (epoch + 1) * len(maker)):
        batch = maker.batch(step)
        rows = {tuple(row[mask].tolist()) for row, mask in zip(batch.input_ids, batch.attention_mask, strict=True)}
        assert len(rows) == len(batch.input_ids)
        assert batch.labels.tolist() == list(range(len(batch.sample_ids)))
        seen += batch.sample_ids
    assert sorted(seen) == sorted(f"sample {line}" for line in range(len(texts)))


def test_duplicates_may_be_allowed(form: RowFormat) -> None:
    table = pair_rows([sample("a", "b"), sample("a", "c")], form, no_duplicates=False)
    assert len(RowBatches(table, OrderConfig(batch_size=2))) == 1
    assert len(RowBatches(pair_rows([sample("a", "b"), sample("a", "c")], form), OrderConfig(batch_size=2))) == 2


def test_scores(form: RowFormat) -> None:
    table = scored_pair_rows([sample("a", "b", score=4.5), sample("c", "d", score=0)], form)
    batch = table.batch([1, 0])
    assert (batch.labels.tolist(), batch.labels.dtype, batch.num_targets, batch.group) == (
        [0, 4.5],
        torch.float32,
        2,
        2,
    )


def test_overlong_samples_are_refused(form: RowFormat) -> None:
    with pytest.raises(InputError, match="score None is not a finite number"):
        scored_pair_rows([sample("a", "b")], form)
    with pytest.raises(InputError, match="has negatives too"):
        scored_pair_rows([sample("a", "b", "c", score=1)], form)
