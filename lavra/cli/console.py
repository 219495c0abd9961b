"""Output of the verbs: tables of results, rows, JSON.

Results go to stdout, so that a script reads results alone; progress goes to stderr (`lavra.verbs.meter`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from lavra.cli.streams import holds


def print_rows(rows: Sequence[tuple[str, str]], stream: TextIO | None = None) -> None:
    """Print labels and values, one row a line, the values aligned."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        print(f"  {label:<{width}}  {value}".rstrip(), file=stream or sys.stdout)


def print_json(value: Any) -> None:
    """Print a JSON object on stdout, for scripts."""
    print_json_line(value, indent=2, sort_keys=True)


def print_json_line(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> None:
    """Print a JSON object on one line of stdout; characters that its encoding does not have are escaped."""
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    if not holds(sys.stdout, text):
        text = json.dumps(value, indent=indent, sort_keys=sort_keys)
    print(text, flush=True)
