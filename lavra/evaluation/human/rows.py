"""Rows of JSON lines or of a CSV file; a bad row raises an error that names the line.

Text that a spreadsheet would read as a formula (`=HYPERLINK(…)` in a comment) is written with an apostrophe in front,
as OWASP advises on CSV injection, and read back without the apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.files import write_text
from lavra.data.labelled.delimited import read_delimited
from lavra.data.labelled.json_table import read_json_lines
from lavra.data.labelled.tables import Row, extension_of

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_CSV: Final = (".csv", ".tsv")


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read the rows of a file, in the format of its ending.

    Raises:
        InputError: the file cannot be read, is empty, or has a broken line.
    """
    is_csv = extension_of(path) in _CSV
    table = read_delimited(path, header=True) if is_csv else read_json_lines(path)
    broken = [issue for issue in table.issues if issue.dropped]
    if broken:
        raise InputError(f"{broken[0].place}: {broken[0].what}; {broken[0].remedy}")
    if not table.rows:
        raise InputError(f"{path} has no rows; name a file with at least one")
    return tuple(_plain(row) for row in table.rows) if is_csv else table.rows


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as `.csv` or `.jsonl`, atomically; a missing value is empty in `.csv`, and absent in `.jsonl`.

    Raises:
        InputError: the file has another ending.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise InputError(f"{path}: the ending {ending!r} says nothing; name a file .jsonl or .csv")
    if ending == ".jsonl":
        kept = ({name: row[name] for name in columns if row.get(name) is not None} for row in rows)
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
        return
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _plain(row: Row) -> Row:
    values = {
        name: value[1:] if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value) else value
        for name, value in row.values.items()
    }
    return Row(place=row.place, values=values)
