"""The base of every reader: a file with its name and kind, its decoded text, documents made from it.

A reader is a generator `read(file, config, tally) -> Iterator[Document]`.  It counts its repairs, and raises
`UnreadableError` for a file it cannot use; the caller decides whether that is an error (the user named the file) or a
count (the file lay in a folder).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO

from lavra.base.errors import ConfigError
from lavra.base.types import Document
from lavra.text.cutting import PART, PART_OF, CutConfig, cut
from lavra.text.encoding import HEAD_BYTES, REPLACED, Opener, detect_encoding, printable_name, valid_unicode
from lavra.text.sources.compressed import Compression, open_compressed
from lavra.text.tally import Tally

READ_CHARS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """Settings of readers: how files become documents.

    Attributes:
        text_field: the field of jsonl, or the column of csv and parquet, that holds the text.
        piece_chars: prose files longer than this are read in parts of about this many characters, cut at headings or
            blank lines where there are some.
        max_chars: code files, pages and rows stay whole up to this many characters; longer ones are cut like prose.
        whole_rows: a table without that field gives whole rows, every field with its name on a line of its own, as
            retrieval needs them.  Otherwise it is not read.
        page_documents: make each page of a PDF a document of its own, as retrieval needs them.  Otherwise consecutive
            pages form a document, and its source gives its first and last page.
    """

    text_field: str = "text"
    piece_chars: int = 65_536
    max_chars: int = 1_000_000
    whole_rows: bool = False
    page_documents: bool = False

    def __post_init__(self) -> None:
        if not self.text_field:
            raise ConfigError("text_field is empty; name the field that holds the text, for example 'text'")
        if not 256 <= self.piece_chars <= self.max_chars:
            raise ConfigError(
                f"piece_chars is {self.piece_chars}; it must be between 256 and max_chars ({self.max_chars})"
            )
        if self.max_chars > 16_000_000:
            raise ConfigError(f"max_chars is {self.max_chars}; at most 16,000,000, so that memory stays bounded")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to read.

    Attributes:
        path: path of the file.
        source: name of the file in documents and reports.
        extension: extension in lower case with its dot, without `.gz` or `.bz2`.
        reader: name of its reader: a key of `kinds.READERS`.
        kind: kind of its documents (see `Document.kind`).
        compression: compression of its bytes.
    """

    path: Path
    source: str
    extension: str
    reader: str
    kind: str
    compression: Compression = ""

    def open(self) -> BinaryIO:
        """The file's bytes, decompressed."""
        return open_compressed(self.path, self.compression)

    def head(self) -> bytes:
        """The file's first bytes, which hold declarations."""
        with self.open() as file:
            return file.read(HEAD_BYTES)


class UnreadableError(Exception):
    """Error: a file gives no (more) text; `reason` is a phrase to count by, `detail` the remedy or the defect."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


DocumentReader = Callable[[File, ReadConfig, Tally], Iterator[Document]]
"""Makes documents from one file."""


def open_text(file: File, tally: Tally, declared: str | None = None) -> TextIO:
    """Open the file decoded, newlines unchanged; the encoding and its issues are counted.

    Raises:
        UnreadableError: the file is not text.
    """
    encoding = _encoding_of(file.open, tally, declared)
    return io.TextIOWrapper(file.open(), encoding=encoding, errors="replace", newline="")


def decode(data: bytes, tally: Tally, declared: str | None = None) -> str:
    """Decode a text that is a part of a file; the encoding and its issues are counted.

    Raises:
        UnreadableError: the bytes are not text.
    """
    encoding = _encoding_of(lambda: io.BytesIO(data), tally, declared)
    return data.decode(encoding, "replace")


def _encoding_of(open_file: Opener, tally: Tally, declared: str | None) -> str:
    encoding = detect_encoding(open_file, declared)
    if encoding is None:
        raise UnreadableError("binary", "or text in an encoding of its own: save it as UTF-8")
    tally.encodings[encoding.name] += 1
    tally.encoding_issues.update(encoding.issues)
    if encoding.num_invalid:
        tally.encoding_issues[REPLACED] += encoding.num_invalid
    return encoding.name


def whole_or_pieces(stream: TextIO, *, whole: int, piece: int) -> Iterator[str]:
    """The stream's text in one piece if it has at most `whole` characters, else in pieces of about `piece`."""
    first = stream.read(whole + 1)
    if len(first) <= whole:
        yield first
        return

    def blocks() -> Iterator[str]:
        yield first
        while block := stream.read(READ_CHARS):
            yield block

    yield from (section.text for section in cut(blocks(), CutConfig(size=piece)))


def make_document(
    file: File,
    text: str,
    row: str,
    tally: Tally,
    meta: Mapping[str, str] | None = None,
    part: int | None = None,
) -> Document:
    """A document with a stable id, which depends on the place and the content of the text.

    Args:
        file: the document's file.
        text: text of the document.
        row: place of the text in the file; "" where the text is the file.
        tally: counts of the reading.
        meta: further facts about the text.
        part: number of the part, where the file or row is longer than a document may be.
    """
    whole = f"{file.source}#{row}" if row else file.source
    source = whole if part is None else f"{whole}{'.' if row else '#'}{part}"
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        text = valid_unicode(text)
        encoded = text.encode()
        tally.encoding_issues["lone surrogates replaced"] += 1
    tally.documents_read += 1
    tally.bytes_read += len(encoded)
    identity = hashlib.sha256(source.encode("utf-8", "surrogateescape") + b"\0" + encoded).hexdigest()[:16]
    meta = dict(meta or {}) if part is None else {**(meta or {}), PART_OF: printable_name(whole), PART: str(part)}
    return Document(id=identity, text=text, source=printable_name(source), kind=file.kind, meta=meta)


def documents_of(
    file: File, texts: Iterator[str], row: str, tally: Tally, meta: Mapping[str, str] | None = None
) -> Iterator[Document]:
    """A document for each text; several documents are numbered parts of one."""
    first = next(texts, None)
    if first is None:
        return
    second = next(texts, None)
    if second is None:
        yield make_document(file, first, row, tally, meta)
        return
    tally.documents_cut += 1
    for number, text in enumerate(chain((first, second), texts), start=1):
        yield make_document(file, text, row, tally, meta, part=number)


def text_documents(
    file: File, text: str, row: str, config: ReadConfig, tally: Tally, meta: Mapping[str, str] | None = None
) -> Iterator[Document]:
    """The document of a row or page, or several documents when it is longer than `max_chars`."""
    yield from documents_of(file, _parts(text, config.max_chars, config.piece_chars), row, tally, meta)


def prose_documents(
    file: File, text: str, row: str, config: ReadConfig, tally: Tally, meta: Mapping[str, str] | None = None
) -> Iterator[Document]:
    """The document of a chapter or paper, or several documents when it is longer than `piece_chars`."""
    yield from documents_of(file, _parts(text, config.piece_chars, config.piece_chars), row, tally, meta)


def _parts(text: str, longest: int, size: int) -> Iterator[str]:
    """The text, or sections of about `size` characters where it is over the `longest` allowed."""
    if len(text) <= longest:
        return iter([text])
    return (section.text for section in cut([text], CutConfig(size=size)))
