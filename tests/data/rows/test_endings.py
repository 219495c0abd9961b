"""Choices: pairs encoded as in transformers, whole samples, different numbers of endings in different batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.data.labelled.samples import ChoiceSample, Place
from lavra.data.rows.batches import RowBatches, inference_batches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.endings import choice_rows, unlabelled_choice_rows
from lavra.data.rows.order import OrderConfig


def sample(count: int, label: int | None = 0, line: int = 1, word: str = "word") -> ChoiceSample:
    choices = tuple(f"ending {number} " + "of it " * number for number in range(count))
    return ChoiceSample(text=f"{word} {line}", choices=choices, label=label, place=Place(line=line))


def test_rows_are_those_of_run_swag(pair) -> None:
    form = RowFormat(tokenizer=pair.ours, max_tokens=64, num_token_types=2)
    samples = [sample(4, 2), sample(4, 0, line=2)]
    batch = choice_rows(samples, form).batch([1, 0])
    assert (batch.group, batch.labels.tolist(), batch.num_targets) == (4, [0, 2], 2)
    theirs = pair.theirs
    if theirs.pad_token is None:
        theirs.pad_token = theirs.eos_token
    wanted = theirs(
        [one.text for one in reversed(samples) for _ in one.choices],
        [choice for one in reversed(samples) for choice in one.choices],
        padding=True,
        pad_to_multiple_of=8,
        return_token_type_ids=True,
        return_tensors="pt",
    )
    assert torch.equal(batch.input_ids, wanted["input_ids"])
    assert torch.equal(batch.attention_mask, wanted["attention_mask"].bool())
    assert torch.equal(batch.token_type_ids, wanted["token_type_ids"])


@given(counts=st.lists(st.integers(2, 5), min_size=1, max_size=20), size=st.integers(1, 4))
def test_every_sample_once_and_never_with_one_of_other_size(pairs, counts: list[int], size: int) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=64)
    table = choice_rows([sample(count, count - 1, line) for line, count in enumerate(counts)], form)
    maker = RowBatches(table, OrderConfig(batch_size=size))
    seen = {}
    for step in range(len(maker)):
        batch = maker.batch(step)
        assert batch.input_ids.shape[0] == batch.group * len(batch.sample_ids)
        assert batch.labels.tolist() == [batch.group - 1] * len(batch.sample_ids)
        seen |= dict.fromkeys(batch.sample_ids, batch.group)
    assert seen == {f"sample {line}": count for line, count in enumerate(counts)}
    numbers = [number for samples, _ in inference_batches(table, size) for number in samples]
    assert sorted(numbers) == list(range(len(counts)))


def test_a_sample_is_left_out_whole(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=24, on_long="drop")
    long = ChoiceSample(text="a", choices=("short", "very " * 30, "short too"), label=0, place=Place(line=1))
    table = choice_rows([long, sample(2, 1, line=2)], form)
    assert (table.sources, len(table.encoded)) == ((1,), 2)
    assert [(issue.place.line, issue.dropped) for issue in table.issues] == [(1, True)]


def test_labels_not_known_are_left_out_for_learning_only(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=64)
    samples = [sample(2, None), sample(2, 1, line=2)]
    assert choice_rows(samples, form).sources == (1,)
    assert len(choice_rows(samples, form).issues) == 1
    assert unlabelled_choice_rows(samples, form).batch([0, 1]).num_targets == 0


def test_overlong_samples_are_refused(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=64)
    with pytest.raises(InputError, match="1 endings; there must be at least two"):
        choice_rows([sample(1)], form)
    with pytest.raises(InputError, match="label 4 is none of the endings 0 to 3"):
        choice_rows([sample(4, 4)], form)
    with pytest.raises(InputError, match="as many texts"):
        choice_rows([sample(2), sample(3)], form).batch([0, 1])
