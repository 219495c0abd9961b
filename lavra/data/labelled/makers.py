"""What makes a sample of a row, by task; what must be known of the whole file is found first.

The kind of labels, the tagging scheme and whether choices are counted from 0 or 1 are seen from all rows together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lavra.base.tasks import Problem, Task
from lavra.data.labelled.columns import choice_columns
from lavra.data.labelled.conversations import chat_sample
from lavra.data.labelled.entities import entities_in_text, tagged_words
from lavra.data.labelled.questions import question_sample
from lavra.data.labelled.raw_labels import find_reader
from lavra.data.labelled.samples import Sample
from lavra.data.labelled.tables import Notes, Row, lookup
from lavra.data.labelled.texts import (
    choice_number,
    choice_sample,
    pair_sample,
    ranked_sample,
    rewrite_sample,
    text_sample,
)
from lavra.metrics.tag_schemes import TagScheme, find_scheme

Maker = Callable[[Row], Sample]
"""Makes the sample of a row, or raises `UnusableError`."""


@dataclass(frozen=True, kw_only=True)
class FileReading:
    """What is known of a file before its rows become samples.

    Attributes:
        rows: all of them.
        names: every column of the file.
        columns: column by role.
        problem: what the user says the labels are.
        notes: takes what is odd.
        fields: takes what was found out, for the user to see.
    """

    rows: Sequence[Row]
    names: Sequence[str]
    columns: Mapping[str, str]
    problem: Problem | None
    notes: Notes
    fields: dict[str, str]


def _classify(known: FileReading) -> Maker:
    column = known.columns.get("label")
    labels = find_reader([] if column is None else [lookup(row, column) for row in known.rows], known.problem)
    if column is not None:
        known.fields["problem"] = labels.problem.value
    if labels.doubt:
        remedy = "say problem=single_label_classification if they are classes"
        known.notes.at(known.rows[0].place, labels.doubt, remedy, dropped=False)
    return lambda row: text_sample(row, known.columns, labels)


def _ner(known: FileReading) -> Maker:
    if "words" not in known.columns:
        return lambda row: entities_in_text(row, known.columns, known.notes)
    scheme = TagScheme.NONE
    if "tags" in known.columns:
        tags = [lookup(row, known.columns["tags"]) for row in known.rows]
        scheme = find_scheme(
            [one for one in tags if isinstance(one, list) and all(isinstance(tag, str) for tag in one)]
        )
        turned = ", turned into BIO" if scheme in (TagScheme.IOB1, TagScheme.BILOU) else ""
        known.fields["scheme"] = f"{scheme.value}{turned}"
    return lambda row: tagged_words(row, known.columns, scheme, known.notes)


def _choice(known: FileReading) -> Maker:
    numbered = choice_columns(known.names, known.columns)
    if numbered:
        known.fields["choices"] = ", ".join(numbered)
    first = _first_number(known, numbered)
    if first:
        known.fields["choices are counted from"] = "1"
    return lambda row: choice_sample(row, known.columns, numbered, first)


def _first_number(known: FileReading, numbered: Sequence[str]) -> int:
    """1 where a label is the number of choices and none is 0; otherwise 0."""
    if "label" not in known.columns:
        return 0
    is_last_named = False
    for row in known.rows:
        at = choice_number(lookup(row, known.columns["label"]))
        if at == 0:
            return 0
        choices = lookup(row, known.columns["choices"])
        count = len(numbered) or (len(choices) if isinstance(choices, list) else 0)
        is_last_named = is_last_named or (at is not None and at == count)
    return int(is_last_named)


_PREPARE: Mapping[Task, Callable[[FileReading], Maker]] = {
    Task.CLASSIFY: _classify,
    Task.NER: _ner,
    Task.QA: lambda known: lambda row: question_sample(row, known.columns, known.notes),
    Task.CHOICE: _choice,
    Task.EMBED: lambda known: lambda row: pair_sample(row, known.columns),
    Task.RERANK: lambda known: lambda row: ranked_sample(row, known.columns),
    Task.CHAT: lambda known: lambda row: chat_sample(row, known.columns, known.notes),
    Task.TEXT2TEXT: lambda known: lambda row: rewrite_sample(row, known.columns),
}


def maker(task: Task, known: FileReading) -> Maker:
    """What makes the samples of a task of this file's rows."""
    return _PREPARE[task](known)
