"""The delimiter and the quoting of a file, found from its lines.

The delimiter parts the header into most cells, and the rows behind it alike; Excel's first line
`sep=;` names it.  Tab-separated files have no quoting by their standard (IANA text/tab-separated-values; GLUE's are
full of single quotation marks), and pandas and Excel quote cells of them all the same: whether quotation marks enclose
cells is seen from all rows together, and no row decides for the others.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from lavra.data.labelled.records import Damage, Dialect, read_records

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_ROWS = 50  # looked at to tell the delimiter
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_ESCAPED = re.compile(r'(\\+)"')


def sep_line(line: str) -> str | None:
    """The delimiter that a line `sep=;` names; None for any other line."""
    match = _SEP.fullmatch(line)
    if match is None and line.rstrip("\r\n").lower() == "sep=\t":  # \\s takes the tab
        return "\t"
    return match.group(1) if match else None


def find_dialect(lines: Sequence[str], start: int, *, tabs: bool, delimiter: str | None = None) -> Dialect:
    """The dialect of a file.

    Args:
        lines: lines of the file, with their ends.
        start: index of its first row.
        tabs: the file's name says that tabs part the cells.
        delimiter: the delimiter, where the file names it.
    """
    head = next((line for line in lines[start:] if line.strip()), "")
    candidates = ("\t",) if tabs and "\t" in head else DELIMITERS
    chosen = delimiter or _delimiter(lines, start, candidates, "\t" if tabs else ",")
    quoted = chosen != "\t" or _is_quoted(lines, start, head)
    return Dialect(delimiter=chosen, quoted=quoted, skips_blanks=quoted and _skips_blanks(lines, start, chosen))


def _delimiter(lines: Sequence[str], start: int, candidates: Sequence[str], usual: str) -> str:
    best, found = (0.0, 1), usual
    for delimiter in candidates:
        reader = Dialect(delimiter=delimiter, quoted=True).reader(iter(lines[start:]), strict=False)
        widths = [len(cells) for cells in itertools.islice((row for row in reader if row), SAMPLE_ROWS)]
        if not widths or widths[0] < 2:
            continue
        alike = sum(width == widths[0] for width in widths[1:]) / max(1, len(widths) - 1)
        if (alike, widths[0]) > best:
            best, found = (alike, widths[0]), delimiter
    return found


def _skips_blanks(lines: Sequence[str], start: int, delimiter: str) -> bool:
    """Whether quotation marks that open a cell stand behind a delimiter and a blank, and not right behind it."""
    opening = re.compile(rf'{re.escape(delimiter)} +"(?!["{re.escape(delimiter)}\r\n]|\Z)')
    blank = sum(len(opening.findall(line)) for line in lines[start:] if '"' in line)
    return blank > sum(line.count(f'{delimiter}"') for line in lines[start:])


def _is_quoted(lines: Sequence[str], start: int, head: str) -> bool:
    """Whether quotation marks enclose cells parted by tabs: evidence of all rows, for and against."""
    names = head.rstrip("\r\n").split("\t")
    if all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        return True
    if not any('"' in line for line in lines[start:]):
        return False
    width = len(names)
    as_text = sum(len(line.split("\t")) != width for line in lines[start:] if line.strip())
    needed, idle = _quoted_cells("".join(lines[start:]))
    if as_text + needed <= idle:
        return False  # as in GLUE: nothing speaks for it
    enclosed = Dialect(delimiter="\t", quoted=True)
    broken = sum(
        one.last - one.first + 1 if isinstance(one, Damage) else len(one.cells) != width
        for one in read_records(lines, enclosed, start=start, width=width)
    )
    return as_text + needed > broken + idle


def _quoted_cells(text: str) -> tuple[int, int]:
    """Cells in quotation marks with doubled ones inside, as writers quote; and those that needed no quoting."""
    needed = idle = 0
    for match in re.finditer(r'(?:^|(?<=\t))"([^"]*(?:""[^"]*)*)"(?=[\t\r\n]|\Z)', text, re.MULTILINE):
        needed += '""' in match.group(1)
        idle += not any(sign in match.group(1) for sign in '"\t\r\n,;')
    return needed, idle


def without_escapes(text: str, delimiters: str = ",;\t|") -> tuple[str, bool]:
    """The text with quotation marks that are escaped by a backslash doubled instead, and whether there were any.

    Spark and MySQL write them so.  A backslash before a mark that ends its cell is a backslash.
    """
    if '\\"' not in text:
        return text, False
    escaped = len(re.findall(rf'(?<!\\)\\"(?![{delimiters}\r\n"]|\Z)', text))
    doubled = len(re.findall(rf'[^{delimiters}\r\n"]""[^{delimiters}\r\n"]', text))
    if escaped <= doubled:
        return text, False
    return _ESCAPED.sub(_doubled, text), True


def _doubled(match: re.Match[str]) -> str:
    count = len(match.group(1))
    return "\\" * (count // 2) + ('""' if count % 2 else '"')
