"""Rows as a function of a benchmark sees them: a list that has what such functions use of `datasets.Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

DocumentRow = dict[str, Any]


class DocumentRows(list[DocumentRow]):
    """Rows in order; `process_docs` takes them and gives them back, here and in lm-evaluation-harness alike."""

    @classmethod
    def from_list(cls, rows: Iterable[DocumentRow]) -> DocumentRows:
        """Other rows in the same form."""
        return cls(rows)

    def map(self, change: Callable[[DocumentRow], DocumentRow]) -> DocumentRows:
        """Each row with the columns that `change` gives for it added or replaced."""
        return DocumentRows({**row, **change(dict(row))} for row in self)

    def filter(self, keep: Callable[[DocumentRow], bool]) -> DocumentRows:
        """The rows that `keep` holds for."""
        return DocumentRows(row for row in self if keep(dict(row)))
