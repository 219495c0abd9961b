"""Read PDF files page by page; consecutive pages form documents, and a document's source gives its first and last page.

pypdf gives the lines of a page.  Words divided at the end of a line are joined, and a short line that ends a sentence
ends its paragraph.  Running heads stay in the text; pictures and the order of columns stay as the file has them.  With
`page_documents` each page is a document of its own.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError, PyPdfError

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, text_documents
from lavra.text.tally import Tally

CACHED_PAGES = 32  # pypdf keeps every object it has met: the reader is renewed after this number of pages
SHORT_LINE = 0.85  # share of the length of the page's long lines; a shorter line that ends a sentence ends a paragraph
# Errors that reading a damaged page may raise: pypdf looks into dictionaries that lack required entries.
_DAMAGES = (
    *(PyPdfError, DependencyError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
    *(RecursionError, NotImplementedError, zlib.error),
)
_DIVIDED = re.compile(r"([^\W\d_]+)([-\u2010\u00ad])[ \t]*\n+[ \t]*([^\W\d_]+)(\S*)[ \t]*\n?")
_SENTENCE_END = re.compile(r"""[.!?:…。！？]["'”’»)\]]*$""")
# Portuguese pronouns behind a hyphen of their own (disse-lhe); shorter ones are never half a divided word.
_PRONOUNS = frozenset({"lhe", "lhes"})


@dataclass(kw_only=True)
class _Run:
    """Consecutive pages: their text, the first page's number and the last page's."""

    text: str = ""
    first: int = 0
    last: int = 0

    def add(self, number: int, text: str) -> None:
        """Append a page."""
        self.text += page_gap(self.text) + text
        self.first = self.first or number
        self.last = number

    def is_full(self, piece: int) -> bool:
        """Whether the text is long enough; from half of `piece` on, it is full at the end of a sentence."""
        return len(self.text) >= piece or (len(self.text) >= piece // 2 and bool(_SENTENCE_END.search(self.text)))


def read_pdf(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.pdf` file.

    Raises:
        UnreadableError: the file is damaged or encrypted, or its pages are pictures.
    """
    run = _Run()
    for number, text in read_pages(file, tally):
        run.add(number, text)
        if config.page_documents or run.is_full(config.piece_chars):
            yield from _documents(file, run, config, tally)
            run = _Run()
    yield from _documents(file, run, config, tally)


def read_pages(file: File, tally: Tally) -> Iterator[tuple[int, str]]:
    """The number, from 1, and the text of each page with text; divided words are not joined yet.

    Raises:
        UnreadableError: the file is damaged or encrypted, or its pages are pictures.
    """
    if file.compression:
        raise UnreadableError("compressed pdf", "pdf compresses itself: unpack it first")
    with file.path.open("rb") as stream:
        yield from _pages(_open(stream, tally), tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """An entry of a file's outline.

    Attributes:
        level: depth of nesting; 1 is the outermost.
        page: the page that it leads to, from 1.
        title: title of the part of the document that begins there.
    """

    level: int
    page: int
    title: str


def read_bookmarks(file: File) -> list[Bookmark]:
    """The outline of a `.pdf` file, in its order; empty where the file has none or is damaged."""
    with file.path.open("rb") as stream, _repairs_counted(Tally()):
        try:
            reader = PdfReader(stream)
            if reader.is_encrypted:
                reader.decrypt("")
            return list(_bookmarks(reader, reader.outline, 1))
        except (DependencyError, *_DAMAGES):
            return []


def _bookmarks(reader: PdfReader, entries: Any, level: int) -> Iterator[Bookmark]:
    for entry in entries:
        if isinstance(entry, list):
            yield from _bookmarks(reader, entry, level + 1)
            continue
        page = reader.get_destination_page_number(entry)
        title = " ".join(str(entry.title or "").split())
        if page is not None and page >= 0 and title:
            yield Bookmark(level=level, page=page + 1, title=title)


def page_gap(before: str) -> str:
    """The text between a page and the next: a blank line where the page ends with a sentence, else a line break."""
    return "\n\n" if _SENTENCE_END.search(before) else "\n" if before else ""


def _documents(file: File, run: _Run, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    if not run.text:
        return
    pages = f"{run.first}" if run.first == run.last else f"{run.first}-{run.last}"
    part = f"page {pages}" if run.first == run.last else f"pages {pages}"
    meta = dict(tally.facts) | {"pages": pages}
    yield from text_documents(file, f"{join_divided(run.text)}\n", part, config, tally, meta)


def _open(stream: Any, tally: Tally) -> PdfReader:
    with _repairs_counted(tally):
        try:
            reader = PdfReader(stream)
            if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
                raise UnreadableError("encrypted pdf", "it has a password; save a copy without one")
            title = reader.metadata.title if reader.metadata else None
            language = reader.root_object.get("/Lang")
        except DependencyError as error:
            raise UnreadableError("encrypted pdf", f"save a copy without encryption ({error})") from error
        except _DAMAGES as error:
            raise UnreadableError("damaged pdf", str(error)) from error
    found = (("title", title), ("language", language))
    tally.facts.update({name: " ".join(value.split()) for name, value in found if isinstance(value, str) and value})
    return reader


def _pages(reader: PdfReader, tally: Tally) -> Iterator[tuple[int, str]]:
    """Each page's number, from 1, and its text; pages without text are counted."""
    found = False
    number = 0
    for number in range(1, _num_pages(reader) + 1):
        with _repairs_counted(tally):
            try:
                text = paragraphs(reader.pages[number - 1].extract_text())
            except _DAMAGES:
                tally.rows_skipped["page of a pdf that is damaged"] += 1
                continue
            if number % CACHED_PAGES == 0:
                reader.resolved_objects.clear()
        if not text:
            tally.rows_skipped["page of a pdf without text"] += 1
            continue
        found = True
        yield number, text
    if not found:
        pages = f"its {number} pages show no letters" if number != 1 else "its page shows no letters"
        raise UnreadableError("no text layer", f"{pages}; recognise the text with an OCR program")


def _num_pages(reader: PdfReader) -> int:
    try:
        return len(reader.pages)
    except _DAMAGES as error:
        raise UnreadableError("damaged pdf", str(error)) from error


@contextmanager
def _repairs_counted(tally: Tally) -> Iterator[None]:
    """Count pypdf's log messages instead of printing them."""
    logger, counter = logging.getLogger("pypdf"), _Counter()
    propagate = logger.propagate
    logger.addHandler(counter)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(counter)
        logger.propagate = propagate
        if counter.number:
            tally.file_issues["page of a pdf repaired"] += 1


class _Counter(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.number = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.number += 1


def paragraphs(page: str) -> str:
    """The page's lines, with a blank line where a short line ends a sentence."""
    lines = [line.rstrip() for line in page.strip().splitlines()]
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return ""
    short = SHORT_LINE * lengths[int(0.9 * (len(lengths) - 1))]
    parts = [
        f"{line}\n\n" if 0 < len(line) < short and _SENTENCE_END.search(line) else f"{line}\n" for line in lines[:-1]
    ]
    return "".join([*parts, lines[-1]])


def join_divided(text: str) -> str:
    """The text with the words joined that a hyphen divides at the end of a line.

    This works without a dictionary: both halves are in lower case, or the first begins in upper case; the text has the
    word with its hyphen nowhere else within a line; and the second half has three letters or more, a rule of
    typesetters.
    """

    def join(match: re.Match[str]) -> str:
        first, hyphen, second, rest = match.groups()
        is_word = first[1:].islower() if len(first) > 1 else first.islower()
        if hyphen != "\u00ad":
            if not (is_word and second.islower()):
                return match.group()
            if len(second) < 3 or second in _PRONOUNS or f"{first}{hyphen}{second}" in text:
                return f"{first}{hyphen}{second}{rest}\n"
        return f"{first}{second}{rest}\n"

    return _DIVIDED.sub(join, text)
