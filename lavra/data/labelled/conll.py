"""CoNLL files: a word and its tag a line, a blank line between sentences.

Columns are parted by tabs where most lines have one, else by spaces.  The first column is the word, or the second
behind running numbers (CoNLL-U); the tag is the last, or the only one that looks like tags of spans; or the caller says
otherwise.  `-DOCSTART-` lines, comments, and CoNLL-U's ranges (`2-3`) and empty nodes (`4.1`) are passed over and
counted; they decide nothing.  A sentence with a bad line is left out whole: its other words without that one would be
another sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lavra.base.errors import InputError, setting
from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, read_text
from lavra.metrics.tag_schemes import OUTSIDE, is_marked

WORD_COLUMN, TAG_COLUMN = "words", "tags"
CONLLU_COLUMNS = 10
UPOS = 3
# Not str.split: a no-break space is part of a word.
_BLANKS = re.compile(r"[ \t]+")
_NUMBER = re.compile(r"[1-9][0-9]*")
_BESIDE = re.compile(r"[0-9]+[-.][0-9]+")
_WORDS = frozenset({"word", "words", "token", "tokens", "form", "text"})
_TAGS = frozenset({"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "entity", "pos"})
_MOST = 0.9  # share of lines beginning with a number from which the numbers are not words


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The layout of the lines of a file.

    Attributes:
        parting: the separator of columns.
        width: columns of most lines.
        word, tag: indexes of the columns.
        numbered: the first column numbers the words of a sentence.
        tags: values of the tag's column on lines that do not begin with `#`.
        note: a sentence about the layout found, shown to the user.
    """

    parting: re.Pattern[str]
    width: int
    word: int
    tag: int
    numbered: bool
    tags: frozenset[str]
    note: str

    def cells(self, line: str) -> list[str]:
        return self.parting.split(line.strip(" "))

    def is_whole(self, cells: Sequence[str]) -> bool:
        return len(cells) == self.width and bool(cells[self.word].strip() and cells[self.tag].strip())

    def is_comment(self, line: str, *, within: bool) -> bool:
        """Whether a line with `#` is not a word: it has other columns, or a tag no word of the file has."""
        cells = self.cells(line)
        if within and not (line.startswith("# ") and len(cells) > 1):
            return False  # a word, or a damaged line of one
        return len(cells) != self.width or cells[self.tag] not in self.tags


def read_conll(path: Path, *, word: int | None = None, tag: int | None = None) -> LabelledTable:
    """The sentences of a file, one row each.

    Args:
        path: the file; the name may end in `.gz`.
        word: column of the words from 1; by default the first, or the second where running numbers stand first.
        tag: column of the tags from 1; the last usually, and none where there is one column only.

    Raises:
        InputError: it cannot be read, is not text, or has fewer columns than those named.
    """
    notes = Notes(str(path))
    lines = [line.removesuffix("\r") for line in read_text(path, notes).removeprefix("\ufeff").split("\n")]
    layout = _layout(lines, word, tag)
    if max(layout.word, layout.tag) >= layout.width:
        named = setting("--columns words=1 tags=2", "columns={'words': '1', 'tags': '2'}")
        raise InputError(
            f"column {max(layout.word, layout.tag) + 1} is named and the lines of {path} have {layout.width}; "
            f"number them from 1, as in {named}"
        )
    passed: Counter[str] = Counter()
    rows = []
    for sentence in _sentences(lines, layout, passed):
        start = sentence[0][0]
        bad = next(((number, cells) for number, cells in sentence if not layout.is_whole(cells)), None)
        if bad is not None:
            what = f"the line {_shown(bad[1])} has {len(bad[1])} filled columns where the file has {layout.width}"
            remedy = "give every word its tag, and part columns alike in the whole file"
            notes.add(bad[0], what, remedy, dropped=True)
            continue
        values = {WORD_COLUMN: [cells[layout.word] for _, cells in sentence]}
        if layout.width > 1:
            values[TAG_COLUMN] = [cells[layout.tag] for _, cells in sentence]
        lines_of = tuple(number for number, _ in sentence)
        rows.append(Row(place=Place(file=str(path), line=start), values=values, word_lines=lines_of))
    columns = (WORD_COLUMN, TAG_COLUMN) if layout.width > 1 else (WORD_COLUMN,)
    described = {"columns": layout.note} if layout.note else {}
    described |= {name: f"{count} lines passed over" for name, count in passed.items()}
    return LabelledTable(columns=columns, rows=tuple(rows), issues=tuple(notes.issues), notes=described)


def _shown(cells: Sequence[str]) -> str:
    return repr("\t".join(cells) if any(" " in cell for cell in cells) else " ".join(cells))


def _layout(lines: Sequence[str], word: int | None, tag: int | None) -> _Layout:
    """Find the layout that most lines have; neither comments nor a few bad lines change it."""
    filled = [line for line in lines if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    filled = filled or [line for line in lines if line.strip()]
    by_tabs = sum("\t" in line for line in filled) * 2 > len(filled)
    parting = re.compile("\t") if by_tabs else _BLANKS
    table = [parting.split(line.strip(" ")) for line in filled]
    widths = Counter(map(len, table))
    width = widths.most_common(1)[0][0] if widths else 2
    table = [cells for cells in table if len(cells) == width]
    numbers = sum(bool(_NUMBER.fullmatch(cells[0]) or _BESIDE.fullmatch(cells[0])) for cells in table)
    numbered = width > 2 and numbers >= _MOST * len(table) and any(cells[0] == "1" for cells in table)
    word_at = (word or (2 if numbered else 1)) - 1
    tag_at = (tag - 1) if tag else _tag_column(table, width, word_at, numbered=numbered)
    note = f"words are column {word_at + 1}, tags column {tag_at + 1} of {width}" if numbered else ""
    return _Layout(
        parting=parting,
        width=width,
        word=word_at,
        tag=tag_at,
        numbered=numbered,
        tags=frozenset(cells[tag_at] for cells in table if tag_at < width),
        note=f"{note} (the first numbers the words)" if note else "",
    )


def _tag_column(table: Sequence[Sequence[str]], width: int, word: int, *, numbered: bool) -> int:
    """The last column; where it holds no tags of spans, the only other one that does, or CoNLL-U's parts of speech."""
    others = [at for at in range(width) if at != word and _marks_spans([cells[at] for cells in table])]
    if width - 1 in others or len(others) > 1:
        return width - 1
    if others:
        return others[0]
    return UPOS if numbered and width == CONLLU_COLUMNS else width - 1


def _marks_spans(cells: Sequence[str]) -> bool:
    marked = sum(is_marked(cell) for cell in cells)
    return marked > 0 and (marked + sum(cell == OUTSIDE for cell in cells)) * 2 > len(cells)


def _sentences(lines: Sequence[str], layout: _Layout, passed: Counter[str]) -> Iterator[list[tuple[int, list[str]]]]:
    """The number and the columns of the lines of each sentence."""
    sentence: list[tuple[int, list[str]]] = []
    is_first = True
    for number, line in enumerate([*lines, ""], start=1):
        kind = _kind(line, layout, within=bool(sentence), is_first=is_first)
        is_first = is_first and kind in ("blank", "comments", "document starts")
        if kind == "word":
            sentence.append((number, layout.cells(line)))
            continue
        if kind in ("blank", "document starts"):
            if sentence:
                yield sentence
            sentence = []
        if kind != "blank":
            passed[kind] += 1


def _kind(line: str, layout: _Layout, *, within: bool, is_first: bool) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("-DOCSTART-"):
        return "document starts"
    if line.startswith("#") and layout.is_comment(line, within=within):
        return "comments"
    cells = layout.cells(line)
    if layout.numbered and _BESIDE.fullmatch(cells[0]):
        return "ranges" if "-" in cells[0] else "empty nodes"
    if is_first and layout.is_whole(cells):
        names = cells[layout.word].lower(), cells[layout.tag].lower()
        if names[0] in _WORDS and names[1] in _TAGS:
            return "header"
    return "word"
