"""Rows that hold several samples, one row each: self-instruct's instances, lists of positives and negatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import Notes, Row, lookup, shown


def unroll(rows: Sequence[Row], columns: Mapping[str, str], notes: Notes) -> tuple[Sequence[Row], dict[str, str]]:
    """The rows of single samples, and the columns these have.

    Args:
        rows: the rows as read.
        columns: column by role.
        notes: takes an issue for each row that does not hold the list it should.
    """
    if "instances" in columns:
        target = "completion" if "prompt" in columns else "target"
        kept = {role: column for role, column in columns.items() if role != "instances"}
        unrolled = tuple(_instances(rows, columns["instances"], notes))
        return unrolled, {**kept, "input": "input", target: "output"}
    if "positives" in columns:
        unrolled = tuple(_passages(rows, columns, notes))
        return unrolled, {"query": columns["query"], "passage": "passage", "label": "label"}
    positive = columns.get("positive")
    if positive is not None and any(isinstance(lookup(row, positive), list) for row in rows):
        return tuple(one for row in rows for one in _positives(row, positive, notes)), dict(columns)
    return rows, dict(columns)


def _instances(rows: Sequence[Row], column: str, notes: Notes) -> Iterator[Row]:
    for row in rows:
        value = row.values.get(column)
        if not isinstance(value, list) or not value or not all(isinstance(one, Mapping) for one in value):
            what = f"{column!r} is {shown(value)}, not a list of inputs and outputs"
            notes.at(row.place, what, 'write instances as [{"input": ..., "output": ...}]', dropped=True)
            continue
        for one in value:
            yield Row(place=row.place, values={**row.values, "input": one.get("input"), "output": one.get("output")})


def _passages(rows: Sequence[Row], columns: Mapping[str, str], notes: Notes) -> Iterator[Row]:
    """A row for each passage of a query: label 1 for a fitting passage, 0 for another."""
    for row in rows:
        several = [(columns["positives"], 1)]
        several += [(columns["negatives"], 0)] if "negatives" in columns else []
        for column, label in several:
            passages = _listed(lookup(row, column))
            if not passages and label:
                _note_none(row.place, column, notes)
            for passage in passages:
                values = {columns["query"]: lookup(row, columns["query"]), "passage": passage, "label": label}
                yield Row(place=row.place, values=values)


def _positives(row: Row, column: str, notes: Notes) -> Iterator[Row]:
    found = _listed(lookup(row, column))
    if not found:
        _note_none(row.place, column, notes)
    for one in found:
        yield Row(place=row.place, values={**row.values, column: one})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _note_none(place: Place, column: str, notes: Notes) -> None:
    notes.at(place, f"{column!r} is an empty list", "give at least one, or delete the sample", dropped=True)
