"""Rows as a function of a benchmark sees them: a list that has what such functions use of `datasets.Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]


class Rows(list[Row]):
    """Rows in order; `process_docs` takes them and gives them back, here and in lm-evaluation-harness alike."""

    @classmethod
    def from_list(cls, rows: Iterable[Row]) -> Rows:
        """Other rows in the same form."""
        return cls(rows)

    def map(self, change: Callable[[Row], Row]) -> Rows:
        """Each row with the columns that `change` gives for it added or replaced."""
        return Rows({**row, **change(dict(row))} for row in self)

    def filter(self, keep: Callable[[Row], bool]) -> Rows:
        """The rows that `keep` holds for."""
        return Rows(row for row in self if keep(dict(row)))
