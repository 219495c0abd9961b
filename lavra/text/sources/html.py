"""Read HTML: the main text of a page, without menus, adverts and footers.

Extraction is trafilatura's (Barbaresi 2021, ACL demo): heuristics on the element tree, tables kept, comments left out.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import trafilatura
from lxml import etree  # type: ignore[import-untyped]

from lavra.base.types import Document
from lavra.text.encoding import html_charset
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, open_text, text_documents
from lavra.text.tally import Tally

HEAD_CHARS = 100_000  # the beginning of a page, which holds its title
MAX_CHARS = 20_000_000  # trafilatura refuses longer pages silently


_TITLE = re.compile(r"<title[^>]*>([^<]*)</title", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The content read from a page.

    Attributes:
        text: the main text.
        title: title of the page, as a browser shows it; may be empty.
        headings: level, from 1, and text of each heading in the main text, in order.
    """

    text: str
    title: str
    headings: tuple[tuple[int, str], ...]


def read_html(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The document of a page.

    Raises:
        UnreadableError: the page is empty or too large, or has no main text.
    """
    yield from text_documents(file, open_page(file, tally).text, "", config, tally)


def open_page(file: File, tally: Tally) -> Page:
    """The main text of an `.html` file, with its title and headings.

    Raises:
        UnreadableError: the page is empty or too large, or has no main text.
    """
    with open_text(file, tally, html_charset(file.head())) as stream:
        return read_page(stream.read(MAX_CHARS + 1))


def main_text(page: str) -> str:
    """The main text of a page.

    Raises:
        UnreadableError: the page is empty or too large, or has no main text.
    """
    return read_page(page).text


def read_page(page: str) -> Page:
    """The main text of a page, with its title and headings.

    Raises:
        UnreadableError: the page is empty or too large, or has no main text.
    """
    if not page.strip():
        raise UnreadableError("empty")
    if len(page) > MAX_CHARS:
        raise UnreadableError("page too large", f"over {MAX_CHARS:,} characters")
    try:
        found = trafilatura.bare_extraction(page, include_comments=False)
    except (ValueError, RecursionError, etree.LxmlError) as error:
        raise UnreadableError("damaged page", str(error)) from error
    text = unicodedata.normalize("NFC", getattr(found, "text", "") or "").strip()
    if not text:
        raise UnreadableError("no main text in the page")
    return Page(text=text, title=_title(page), headings=tuple(_headings(getattr(found, "body", None))))


def _headings(body: Any) -> Iterator[tuple[int, str]]:
    """The level and the text of each heading that is in the main text."""
    for head in body.iter("head") if body is not None else ():
        level = (head.get("rend") or "h2")[-1]
        title = " ".join(unicodedata.normalize("NFC", "".join(head.itertext())).split())
        if title:
            yield (int(level) if level.isdigit() else 2), title


def _title(page: str) -> str:
    found = _TITLE.search(page, 0, HEAD_CHARS)
    return " ".join(html.unescape(found[1]).split()) if found else ""
