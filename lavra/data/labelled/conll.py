"""CoNLL files: a word and its tag a line, a blank line between sentences.

Columns are parted by tabs where the file has any, else by spaces.  The first is the word and the last its tag, unless
the caller says otherwise; `-DOCSTART-` lines and comments are passed over and counted.  A sentence with a bad line is
left out whole: its other words without that one would be another sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, read_text

WORD_COLUMN, TAG_COLUMN = "words", "tags"
# Not str.split: a no-break space is part of a word.
_BLANKS = re.compile(r"[ \t]+")


def read_conll(path: Path, *, word: int | None = None, tag: int | None = None) -> LabelledTable:
    """The sentences of a file, one row each.

    Args:
        path: the file; the name may end in `.gz`.
        word: column of the words from 1; the first.
        tag: column of the tags from 1; the last, and none where there is one column only.

    Raises:
        InputError: it cannot be read or is not text.
    """
    notes = Notes(str(path))
    lines = [line.removesuffix("\r") for line in read_text(path, notes).removeprefix("\ufeff").split("\n")]
    parting = re.compile("\t") if any("\t" in line for line in lines) else _BLANKS
    width = _usual_width(lines, parting)
    word_at, tag_at = (word or 1) - 1, (tag or width) - 1
    passed: Counter[str] = Counter()
    rows = []
    for start, sentence in _sentences(lines, parting, width, passed):
        bad = next((at for at, cells in enumerate(sentence) if not _is_whole(cells, width, word_at, tag_at)), None)
        if bad is not None:
            cells = parting.pattern.join(sentence[bad]) if parting.pattern == "\t" else " ".join(sentence[bad])
            what = f"the line {cells!r} has {len(sentence[bad])} filled columns where the file has {width}"
            notes.add(
                start + bad, what, "give every word its tag, and part columns alike in the whole file", dropped=True
            )
            continue
        values = {WORD_COLUMN: [cells[word_at] for cells in sentence]}
        if width > 1:
            values[TAG_COLUMN] = [cells[tag_at] for cells in sentence]
        rows.append(Row(place=Place(file=str(path), line=start), values=values, line_per_word=True))
    columns = (WORD_COLUMN, TAG_COLUMN) if width > 1 else (WORD_COLUMN,)
    described = {name: f"{count} lines passed over" for name, count in passed.items()}
    return LabelledTable(columns=columns, rows=tuple(rows), troubles=tuple(notes.troubles), notes=described)


def _usual_width(lines: list[str], parting: re.Pattern[str]) -> int:
    """Columns most lines have; one bad line does not decide for the others."""
    widths = Counter(len(parting.split(line.strip(" "))) for line in lines if line.strip())
    return widths.most_common(1)[0][0] if widths else 2


def _is_whole(cells: list[str], width: int, word_at: int, tag_at: int) -> bool:
    return (
        len(cells) == width and max(word_at, tag_at) < width and bool(cells[word_at].strip() and cells[tag_at].strip())
    )


def _sentences(
    lines: list[str], parting: re.Pattern[str], width: int, passed: Counter[str]
) -> Iterator[tuple[int, list[list[str]]]]:
    """Each sentence's first line and the columns of its lines."""
    start, sentence = 0, list[list[str]]()
    for number, line in enumerate([*lines, ""], start=1):
        cells = parting.split(line.strip(" "))
        if line.startswith("-DOCSTART-"):
            passed["document starts"] += 1
        elif not sentence and line.startswith("#") and len(cells) != width:
            passed["comments"] += 1
            continue
        elif line.strip():
            start = start if sentence else number
            sentence.append(cells)
            continue
        if sentence:
            yield start, sentence
        sentence = []
