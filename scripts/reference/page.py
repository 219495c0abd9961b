"""Parts that all reference pages share: tables, and the part of a page that is generated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
BEGIN: Final = "<!-- reference: written by `make reference` -->"
END: Final = "<!-- end of the reference -->"


def with_reference(text: str, lines: Iterable[str]) -> str:
    """A page whose part between the two marks is replaced.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r} behind it; put both back")
    return before + _part(lines) + after


def whole_page(title: str, lines: Iterable[str]) -> str:
    """A page that is generated as a whole."""
    return f"# {title}\n\n{_part(lines)}\n"


def _part(lines: Iterable[str]) -> str:
    """The generated part with its marks, without two blank lines in a row."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join([BEGIN, "", *lines, "", END]))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; nothing for a table without rows."""
    written = [" | ".join(map(cell, row)) for row in rows]
    if written:
        yield f"| {' | '.join(head)} |"
        yield "|" + "---|" * len(head)
        yield from (f"| {row} |" for row in written)


def cell(text: str) -> str:
    """A text that fits into a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())
