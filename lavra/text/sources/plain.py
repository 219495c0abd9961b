"""Read text, Markdown and source code: the file is the document.

Prose longer than `piece_chars` is cut at blank lines; code stays whole up to `max_chars`, so that a model sees a module
from its imports to its end.
"""

from __future__ import annotations

from collections.abc import Iterator

from lavra.base.types import Document
from lavra.text.encoding import python_cookie
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, documents_of, open_text, whole_or_pieces
from lavra.text.tally import Tally


def read_plain(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a text, Markdown or code file."""
    declared = python_cookie(file.head()) if file.extension in (".py", ".pyi", ".pyw") else None
    whole = config.max_chars if file.kind == "code" else config.piece_chars
    with open_text(file, tally, declared) as stream:
        texts = whole_or_pieces(stream, whole=whole, piece=config.piece_chars)
        first = next(texts)
        if not first:
            raise UnreadableError("empty")
        yield from documents_of(file, _chain(first, texts), "", tally)


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
