"""Texts, or pairs of them, to one label, several, or a number: the rows of classification and regression.

Labels take the form that the loss needs: a class's index; a 0 or 1 for every label; the number itself.  The summed
loss over `num_targets` is then the mean that transformers' `...ForSequenceClassification` reports: over rows, and with
several labels over rows times labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.tasks import Problem
from lavra.data.labelled.samples import DataIssue, Label, Place, TextSample
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import RowFormat, Text, encode_rows


def text_rows(samples: Sequence[TextSample], form: RowFormat, *, labels: Sequence[str], problem: Problem) -> TaskRows:
    """Make rows to learn from.

    Args:
        samples: texts or pairs; a sample without a label is left out, with an issue.
        form: the format of the rows.
        labels: every label, in the order of the model's outputs; none for regression.
        problem: the kind of the labels.

    Raises:
        InputError: a label is not among `labels`, or not of the problem's kind.
        ConfigError: `labels` does not fit the problem.
    """
    index = _index(labels, problem)
    known = [number for number, sample in enumerate(samples) if sample.label is not None]
    rows = _rows(samples, known, form)
    targets = [_target(samples[number].label, samples[number].place, index, problem) for number in rows.sources]
    kind = np.int64 if problem is Problem.SINGLE_LABEL else np.float32
    unknown = tuple(_unlabelled(sample.place) for sample in samples if sample.label is None)
    return _with(rows, np.asarray(targets, dtype=kind), unknown)


def unlabelled_text_rows(samples: Sequence[TextSample], form: RowFormat) -> TaskRows:
    """Rows to predict; labels are not read; `sources` gives the number of each sample."""
    return _rows(samples, range(len(samples)), form)


def _rows(samples: Sequence[TextSample], numbers: Sequence[int], form: RowFormat) -> TaskRows:
    texts: list[Text] = [_text(samples[number]) for number in numbers]
    encoded = encode_rows(texts, [samples[number].place for number in numbers], form)
    sources = tuple(numbers[row] for row in encoded.sources)
    return TaskRows(
        encoded=encoded,
        form=form,
        names=tuple(str(samples[number].place) for number in sources),
        sources=sources,
        issues=encoded.issues,
    )


def _with(rows: TaskRows, targets: npt.NDArray[Any], issues: tuple[DataIssue, ...]) -> TaskRows:
    return TaskRows(
        encoded=rows.encoded,
        form=rows.form,
        names=rows.names,
        sources=rows.sources,
        targets=targets,
        issues=(*issues, *rows.issues),
    )


def _text(sample: TextSample) -> Text:
    return sample.text if sample.pair is None else (sample.text, sample.pair)


def _index(labels: Sequence[str], problem: Problem) -> dict[str, int]:
    least, most = {
        Problem.SINGLE_LABEL: (2, None),
        Problem.MULTI_LABEL: (1, None),
        Problem.REGRESSION: (0, 1),
    }[problem]
    if len(labels) < least or (most is not None and len(labels) > most):
        wanted = f"at least {least} labels" if most is None else f"at most {most} label"
        found = ", ".join(map(repr, labels[:5])) or "none"
        raise ConfigError(f"{problem.value} takes {wanted}; found {len(labels)}: {found}")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if list(labels).count(label) > 1)
        raise ConfigError(f"label {twice!r} is given twice; give each once")
    return {label: place for place, label in enumerate(labels)}


def _target(label: Label | None, place: Place, index: Mapping[str, int], problem: Problem) -> int | float | list[float]:
    if problem is Problem.REGRESSION:
        return _number(label, place)
    if problem is Problem.SINGLE_LABEL:
        if not isinstance(label, str):
            raise InputError(f"{place}: label {label!r} is not one label; {problem.value} takes exactly one name")
        return _class(label, place, index)
    if not isinstance(label, tuple):
        raise InputError(f"{place}: label {label!r} is not several; {problem.value} takes a tuple of names")
    holds = {_class(one, place, index) for one in label}
    return [float(number in holds) for number in range(len(index))]


def _class(label: str, place: Place, index: Mapping[str, int]) -> int:
    if label not in index:
        raise InputError(f"{place}: label {label!r} is not among those of the model{nearest(label, index)}")
    return index[label]


def _number(label: object, place: Place) -> float:
    if isinstance(label, bool) or not isinstance(label, int | float) or not math.isfinite(label):
        raise InputError(f"{place}: label {label!r} is not a finite number; regression learns numbers")
    return float(label)


def _unlabelled(place: Place) -> DataIssue:
    return DataIssue(
        place=place, what="the label is not known: left out", remedy="give it a label, or predict it", dropped=True
    )
