"""Classification rows: labels, pairs with token types, batches of an epoch, rows for prediction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import Problem
from lavra.data.labelled.samples import Place, TextSample
from lavra.data.rows.batches import RowBatches, inference_batches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.texts import text_rows, unlabelled_text_rows

LABELS = ("bad", "good", "so-so")


def samples(labels, pair: bool = False) -> list[TextSample]:
    return [
        TextSample(text="word " * (1 + line % 7), pair="and" if pair else None, label=label, place=Place(line=line))
        for line, label in enumerate(labels, start=1)
    ]


@pytest.fixture
def form(pairs) -> RowFormat:
    return RowFormat(tokenizer=pairs["bert"].ours, max_tokens=32, num_token_types=2)


def test_one_label(form: RowFormat) -> None:
    table = text_rows(samples(["good", "bad", "so-so"]), form, labels=LABELS, problem=Problem.SINGLE_LABEL)
    batch = table.batch([2, 0])
    assert (batch.labels.tolist(), batch.labels.dtype, batch.num_targets) == ([2, 1], torch.int64, 2)
    assert batch.sample_ids == ("sample 3", "sample 1")


def test_several_labels_count_one_by_one(form: RowFormat) -> None:
    table = text_rows(samples([("good", "bad"), ()]), form, labels=LABELS, problem=Problem.MULTI_LABEL)
    batch = table.batch([0, 1])
    assert batch.labels.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert (batch.labels.dtype, batch.num_targets) == (torch.float32, 6)


def test_numbers(form: RowFormat) -> None:
    table = text_rows(samples([0.5, 3]), form, labels=(), problem=Problem.REGRESSION)
    batch = table.batch([0, 1])
    assert (batch.labels.tolist(), batch.labels.dtype, batch.num_targets) == ([0.5, 3.0], torch.float32, 2)


def test_batches_are_those_of_transformers(pair) -> None:
    form = RowFormat(tokenizer=pair.ours, max_tokens=64, num_token_types=2, multiple=8)
    given_samples = samples(["good"] * 9, pair=True)
    table = text_rows(given_samples, form, labels=LABELS, problem=Problem.SINGLE_LABEL)
    batch = table.batch(range(9))
    theirs = pair.theirs
    if theirs.pad_token is None:
        theirs.pad_token = theirs.eos_token
    wanted = theirs(
        [one.text for one in given_samples],
        [one.pair for one in given_samples],
        padding=True,
        pad_to_multiple_of=8,
        return_token_type_ids=True,
        return_tensors="pt",
    )
    assert torch.equal(batch.input_ids, wanted["input_ids"])
    assert torch.equal(batch.attention_mask, wanted["attention_mask"].bool())
    assert torch.equal(batch.token_type_ids, wanted["token_type_ids"])


def test_too_few_and_too_many_labels_are_named(form: RowFormat) -> None:
    with pytest.raises(ConfigError, match="takes at least 2 labels; found 1: 'good'"):
        text_rows(samples(["good"]), form, labels=("good",), problem=Problem.SINGLE_LABEL)
    with pytest.raises(ConfigError, match="takes at most 1 label; found 2: 'good', 'bad'"):
        text_rows(samples([1.0]), form, labels=("good", "bad"), problem=Problem.REGRESSION)


@pytest.mark.parametrize(
    ("label", "problem", "message"),
    [
        ("goood", Problem.SINGLE_LABEL, "sample 1: label 'goood'.*did you mean 'good'"),
        (1.0, Problem.SINGLE_LABEL, "not one label"),
        (("good", "best"), Problem.MULTI_LABEL, "label 'best'"),
        ("good", Problem.MULTI_LABEL, "not several"),
        ("good", Problem.REGRESSION, "not a finite number"),
        (float("nan"), Problem.REGRESSION, "not a finite number"),
        (True, Problem.REGRESSION, "not a finite number"),
    ],
)
def test_labels_of_another_kind_are_refused(form: RowFormat, label, problem: Problem, message: str) -> None:
    labels = () if problem is Problem.REGRESSION else LABELS
    with pytest.raises(InputError, match=message):
        text_rows(samples([label]), form, labels=labels, problem=problem)


def test_label_sets_without_sense_are_refused(form: RowFormat) -> None:
    for labels, problem in (
        (("one",), Problem.SINGLE_LABEL),
        ((), Problem.MULTI_LABEL),
        (LABELS, Problem.REGRESSION),
        (("a", "b", "a"), Problem.SINGLE_LABEL),
    ):
        with pytest.raises(ConfigError):
            text_rows([], form, labels=labels, problem=problem)


def test_unknown_labels_are_left_out_for_learning_only(form: RowFormat) -> None:
    mixed = samples(["good", None, "bad"])
    table = text_rows(mixed, form, labels=LABELS, problem=Problem.SINGLE_LABEL)
    assert table.sources == (0, 2)
    assert [(issue.place.line, issue.dropped) for issue in table.issues] == [(2, True)]
    rows = unlabelled_text_rows(mixed, form)
    assert (rows.sources, rows.issues) == ((0, 1, 2), ())
    assert rows.batch([1]).num_targets == 0


def test_a_dropped_sample_takes_its_label_along(form: RowFormat) -> None:
    given_samples = samples(["good", "bad", "so-so"])
    given_samples[1] = TextSample(text="long " * 99, label="bad", place=Place(line=2))
    short = RowFormat(tokenizer=form.tokenizer, max_tokens=32, on_long="drop")
    table = text_rows(given_samples, short, labels=LABELS, problem=Problem.SINGLE_LABEL)
    assert (table.sources, table.batch([0, 1]).labels.tolist()) == ((0, 2), [1, 2])
    assert [issue.place.line for issue in table.issues] == [2]


@given(count=st.integers(1, 40), size=st.integers(1, 9), group=st.booleans())
def test_an_epoch_and_a_prediction_show_every_sample_once(pairs, count: int, size: int, group: bool) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=32)
    table = text_rows(samples(LABELS[i % 3] for i in range(count)), form, labels=LABELS, problem=Problem.SINGLE_LABEL)
    maker = RowBatches(table, OrderConfig(batch_size=size, seed=1, group_by_length=group))
    epoch = [maker.batch(len(maker) + step) for step in range(len(maker))]
    assert sum(batch.num_targets for batch in epoch) == count
    shown = {name: (ids[mask].tolist(), label) for name, ids, mask, label in each_row(epoch)}
    assert len(shown) == count
    assert maker.dropped_per_epoch == 0
    predicted: dict[int, list[int]] = {}
    for numbers, batch in inference_batches(table, size):
        for number, ids, mask in zip(numbers, batch.input_ids, batch.attention_mask, strict=True):
            predicted[number] = ids[mask].tolist()
    assert sorted(predicted) == list(range(count))
    for number, ids in predicted.items():
        assert shown[f"sample {number + 1}"] == (ids, number % 3)


def each_row(batches):
    for batch in batches:
        yield from zip(batch.sample_ids, batch.input_ids, batch.attention_mask, batch.labels.tolist(), strict=True)


def test_a_batch_size_of_nothing_is_refused(form: RowFormat) -> None:
    with pytest.raises(ConfigError, match="batch_size is 0"):
        list(inference_batches(unlabelled_text_rows(samples([None]), form), 0))
