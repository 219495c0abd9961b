"""The form of one kind of samples in files: their columns, and the function that makes a sample of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lavra.base.tasks import Problem
from lavra.data.labelled.layouts import TaskColumns
from lavra.data.labelled.samples import Sample
from lavra.data.labelled.tables import Notes, Row

Maker = Callable[[Row], Sample]
"""Makes the sample of a row, or raises `UnusableError`."""


@dataclass(frozen=True, kw_only=True)
class FileReading:
    """Facts of a file that are found before its rows become samples.

    Attributes:
        rows: all of them.
        names: every column of the file.
        columns: column by role.
        problem: the kind of the labels, where the user gives it.
        notes: takes the issues found.
        fields: takes facts found, shown to the user.
    """

    rows: Sequence[Row]
    names: Sequence[str]
    columns: Mapping[str, str]
    problem: Problem | None
    notes: Notes
    fields: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class SampleForm:
    """The form of one kind of samples in files.

    Attributes:
        name: name of the task, for messages.
        columns: names that its columns may have.
        prepare: looks at a whole file and gives the maker of its samples.
        has_problem: labels may be classes, several of them or numbers; the user may give the kind.
        is_tagged: samples are words and tags; a CoNLL file has them, and a column of tags leaves spans aside.
        has_numbered_columns: a stem stands for its numbered columns (`choice` for `choice0`, `choice1`).
        has_unique_ids: answers are looked up by id, so that a later row of a known id is left out.
    """

    name: str
    columns: TaskColumns
    prepare: Callable[[FileReading], Maker]
    has_problem: bool = False
    is_tagged: bool = False
    has_numbered_columns: bool = False
    has_unique_ids: bool = False
