"""HTML: the main text of a page, without menus, adverts and footers.

Extraction is trafilatura's (Barbaresi 2021, ACL demo): heuristics on the element tree, tables kept, comments left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import trafilatura
from lxml import etree  # type: ignore[import-untyped]

from lavra.base.types import Document
from lavra.text.encoding import html_charset
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, open_text, text_documents
from lavra.text.tally import Tally

MAX_CHARS = 20_000_000  # trafilatura refuses more, and says nothing


def read_html(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The document of a page.

    Raises:
        UnreadableError: it is empty or too large, or has no main text.
    """
    with open_text(file, tally, html_charset(file.head())) as stream:
        page = stream.read(MAX_CHARS + 1)
    yield from text_documents(file, main_text(page), "", config, tally)


def main_text(page: str) -> str:
    """The main text of a page.

    Raises:
        UnreadableError: it is empty or too large, or has no main text.
    """
    if not page.strip():
        raise UnreadableError("empty")
    if len(page) > MAX_CHARS:
        raise UnreadableError("page too large", f"over {MAX_CHARS:,} characters")
    try:
        text = trafilatura.extract(page, include_comments=False)
    except (ValueError, RecursionError, etree.LxmlError) as error:
        raise UnreadableError("damaged page", str(error)) from error
    if not text:
        raise UnreadableError("no main text in the page")
    return str(text)
