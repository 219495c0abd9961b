"""Read Word files: paragraphs, headings, lists and tables in the document's order, footnotes behind them.

python-docx opens the file and finds its styles; the text is taken from the elements themselves, since python-docx's
paragraphs leave out content controls and tracked insertions.  Headers, footers, comments, pictures and deleted text are
not read.  A file is held in memory as a whole (see `zipped` for the bounds).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import OpcError
from lxml import etree  # type: ignore[import-untyped]

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, prose_documents
from lavra.text.sources.zipped import open_zip, read_member
from lavra.text.tally import Tally

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # repeats the same content
_CHARACTERS = {
    f"{_W}tab": "\t",
    f"{_W}br": "\n",
    f"{_W}cr": "\n",
    f"{_W}noBreakHyphen": "\N{NON-BREAKING HYPHEN}",
}
_FOOTNOTES = ("word/footnotes.xml", "word/endnotes.xml")
_SEPARATORS = frozenset({"separator", "continuationSeparator", "continuationNotice"})


def read_docx(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.docx` file.

    Raises:
        UnreadableError: the file is damaged, or has no text.
    """
    with open_zip(file.path, "docx") as archive:
        notes = [read_member(archive, name) for name in _FOOTNOTES]
    try:
        word = docx.Document(io.BytesIO(file.path.read_bytes()))
        blocks = [*_blocks(word.element.body, _headings(word)), *_footnotes(notes)]
    except (OpcError, KeyError, ValueError, AttributeError, etree.LxmlError) as error:
        raise UnreadableError("damaged docx", str(error)) from error
    text = _joined(blocks)
    if not text:
        raise UnreadableError("no text in it", "pictures of pages need an OCR program")
    title, language = word.core_properties.title, word.core_properties.language
    facts = {name: value for name, value in (("title", title), ("language", language)) if value}
    tally.facts.update(facts)
    yield from prose_documents(file, f"{text}\n", "", config, tally, facts)


def _headings(word: Any) -> dict[str, int]:
    """The level of each paragraph style that is a heading, by its id; Word keeps English names in every language."""
    levels = {}
    for style in word.styles:
        name = (style.name or "").lower()
        if name == "title":
            levels[style.style_id] = 1
        elif name.startswith("heading ") and name[8:].isdigit():
            levels[style.style_id] = min(6, int(name[8:]))
    return levels


def _blocks(parent: Any, headings: dict[str, int]) -> Iterator[str]:
    """A text for each paragraph and each table; the items of a list begin with `- `."""
    for element in parent:
        if element.tag == f"{_W}p":
            text = _text(element).strip()
            if text:
                yield _prefix(element, headings) + text
        elif element.tag == f"{_W}tbl":
            rows = [_row(row, headings) for row in element.iterfind(f"{_W}tr")]
            yield "\n".join(row for row in rows if row.strip(" |"))
        elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"):
            yield from _blocks(element, headings)


def _row(row: Any, headings: dict[str, int]) -> str:
    """The row's cells; those of a table within a cell are part of that cell."""
    cells = [cell for cell in row.iter(f"{_W}tc") if next(cell.iterancestors(f"{_W}tr")) is row]
    return " | ".join(" ".join(" ".join(_blocks(cell, headings)).split()) for cell in cells)


def _prefix(paragraph: Any, headings: dict[str, int]) -> str:
    properties = paragraph.find(f"{_W}pPr")
    if properties is None:
        return ""
    style = properties.find(f"{_W}pStyle")
    name = style.get(f"{_W}val", "") if style is not None else ""
    if name in headings:
        return "#" * headings[name] + " "
    is_item = properties.find(f"{_W}numPr") is not None or name.lower().startswith("list")
    return "- " if is_item else ""


def _text(element: Any) -> str:
    """The text of all runs: plain, linked, inserted; deleted text has an element of another name."""
    parts = []
    for child in element:
        if child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in _CHARACTERS and element.tag == f"{_W}r":
            parts.append(_CHARACTERS[child.tag])
        elif child.tag != _FALLBACK:
            parts.append(_text(child))
    return "".join(parts)


def _footnotes(notes: list[bytes | None]) -> Iterator[str]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    for data in notes:
        if data is None:
            continue
        for note in etree.fromstring(data, parser):
            if note.get(f"{_W}type") not in _SEPARATORS:
                yield " ".join(_blocks(note, {}))


def _joined(blocks: list[str]) -> str:
    """The blocks joined: by a blank line, or by a line break between items of one list."""
    parts: list[str] = []
    for block in blocks:
        if not block:
            continue
        together = parts and block.startswith("- ") and parts[-1].startswith("- ")
        parts += ["\n" if together else "\n\n", block] if parts else [block]
    return "".join(parts)
