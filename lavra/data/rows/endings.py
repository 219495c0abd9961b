"""A beginning and its possible endings: one row for each pair of them, and which one is right.

As in transformers' `...ForMultipleChoice`: the model gives each row one number, the softmax is over the rows of a
sample.  Questions with other numbers of endings are welcome; a batch holds samples of one number, so that nothing
stands in for an ending that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lavra.base.errors import InputError
from lavra.data.labelled.samples import ChoiceSample, DataIssue, Place
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.groups import grouped_rows


def choice_rows(samples: Sequence[ChoiceSample], form: RowFormat) -> TaskRows:
    """Rows to learn from: `targets` are the index of the right ending.

    Args:
        samples: a sample without its right ending is left out, with an issue.
        form: the format of the rows, each a beginning and an ending; a sample is left out whole.

    Raises:
        InputError: a sample has fewer than two endings, or its label is none of them.
    """
    known = [number for number, sample in enumerate(samples) if sample.label is not None]
    table = _table(samples, known, form)
    targets = np.array([_target(samples[number]) for number in table.sources], dtype=np.int64)
    unknown = tuple(_unlabelled(sample.place) for sample in samples if sample.label is None)
    return replace(table, targets=targets, issues=(*unknown, *table.issues))


def unlabelled_choice_rows(samples: Sequence[ChoiceSample], form: RowFormat) -> TaskRows:
    """Rows to predict; labels are not read."""
    return _table(samples, range(len(samples)), form)


def _table(samples: Sequence[ChoiceSample], numbers: Sequence[int], form: RowFormat) -> TaskRows:
    for number in numbers:
        if len(samples[number].choices) < 2:
            raise InputError(
                f"{samples[number].place}: {len(samples[number].choices)} endings; there must be at least two"
            )
    groups = [[(samples[number].text, choice) for choice in samples[number].choices] for number in numbers]
    return grouped_rows(groups, numbers, [samples[number].place for number in numbers], form)


def _target(sample: ChoiceSample) -> int:
    if sample.label is None or not 0 <= sample.label < len(sample.choices):
        raise InputError(f"{sample.place}: label {sample.label} is none of the endings 0 to {len(sample.choices) - 1}")
    return sample.label


def _unlabelled(place: Place) -> DataIssue:
    return DataIssue(
        place=place,
        what="the right ending is not known: left out",
        remedy="give it a label, or predict it",
        dropped=True,
    )
