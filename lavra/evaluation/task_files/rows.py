"""Rows for the functions of benchmarks: a list with the methods of `datasets.Dataset` that such functions use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

DocumentRow = dict[str, Any]


class DocumentRows(list[DocumentRow]):
    """Rows in order; `process_docs` takes and returns them, as in lm-evaluation-harness."""

    @classmethod
    def from_list(cls, rows: Iterable[DocumentRow]) -> DocumentRows:
        """Make document rows from plain rows."""
        return cls(rows)

    def map(self, change: Callable[[DocumentRow], DocumentRow]) -> DocumentRows:
        """Add or replace, in each row, the columns that `change` returns for it."""
        return DocumentRows({**row, **change(dict(row))} for row in self)

    def filter(self, keep: Callable[[DocumentRow], bool]) -> DocumentRows:
        """The rows for which `keep` is true."""
        return DocumentRows(row for row in self if keep(dict(row)))
