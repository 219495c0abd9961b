"""Rows as a function of a benchmark sees them: a list that has what such functions use of `datasets.Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

TaskRow = dict[str, Any]


class TaskRows(list[TaskRow]):
    """Rows in order; `process_docs` takes them and gives them back, here and in lm-evaluation-harness alike."""

    @classmethod
    def from_list(cls, rows: Iterable[TaskRow]) -> TaskRows:
        """Other rows in the same form."""
        return cls(rows)

    def map(self, change: Callable[[TaskRow], TaskRow]) -> TaskRows:
        """Each row with the columns that `change` gives for it added or replaced."""
        return TaskRows({**row, **change(dict(row))} for row in self)

    def filter(self, keep: Callable[[TaskRow], bool]) -> TaskRows:
        """The rows that `keep` holds for."""
        return TaskRows(row for row in self if keep(dict(row)))
