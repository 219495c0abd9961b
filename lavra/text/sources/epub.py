"""Read EPUB books: one document for each chapter, in reading order.

The container names the package, and the package gives the order of the pages (its spine); `xhtml` reads each page.  The
table of contents is left out, footnotes stand behind their chapter.  A book with obfuscated fonts can be read; a book
with encrypted pages (DRM) cannot.  EPUB 3.3, https://www.w3.org/TR/epub-33/; EPUB 2 has the same parts.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, decode, prose_documents
from lavra.text.sources.xhtml import xhtml_text
from lavra.text.sources.zipped import open_zip, read_member
from lavra.text.tally import Tally

FACTS = ("title", "language")
CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
_ENCODING = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([-\w]+)["']""")
PAGE_TYPES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A page of a book.

    Attributes:
        page: its name in the zip file.
        text: its text, with headings in Markdown's form.
        title: its title in the table of contents; empty where the table does not list it.
    """

    page: str
    text: str
    title: str


@dataclass(frozen=True, kw_only=True)
class _Package:
    """The contents of the package file.

    Attributes:
        pages: names of the pages in the zip file, in reading order, the table of contents left out.
        facts: title and language of the book.
        titles: titles of pages in the table of contents.
    """

    pages: tuple[str, ...]
    facts: dict[str, str]
    titles: dict[str, str]


def read_epub(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of an `.epub` file.

    Raises:
        UnreadableError: the file is damaged, encrypted, or without pages.
    """
    for chapter in read_chapters(file, tally):
        name, facts = posixpath.basename(chapter.page), dict(tally.facts)
        yield from prose_documents(file, f"{chapter.text}\n", name, config, tally, facts)


def read_chapters(file: File, tally: Tally) -> Iterator[Chapter]:
    """The pages of an `.epub` file that have text, in reading order.

    Raises:
        UnreadableError: the file is damaged, encrypted, or without pages.
    """
    with open_zip(file.path, "epub") as archive:
        package = _package(archive, tally)
        _check_encryption(archive, package.pages)
        tally.facts.update(package.facts)
        for name in package.pages:
            data = read_member(archive, name)
            if data is None:
                tally.file_issues["page of a book missing"] += 1
                continue
            try:
                text = xhtml_text(decode(data, tally, _declared(data)))
            except UnreadableError as error:
                tally.rows_skipped[f"page of a book: {error.reason}"] += 1
                continue
            if not text:
                tally.rows_skipped["page of a book without text"] += 1
                continue
            yield Chapter(page=name, text=text, title=package.titles.get(name, ""))


def _package(archive: zipfile.ZipFile, tally: Tally) -> _Package:
    """The pages and facts of the package."""
    container = _xml(archive, CONTAINER)
    path = next((root.get("full-path") for root in container.iterfind(".//{*}rootfile")), None)
    if not path:
        raise UnreadableError("damaged epub", f"{CONTAINER} names no package")
    package = _xml(archive, path)
    folder = posixpath.dirname(path)
    items = {item.get("id"): item for item in package.iterfind("{*}manifest/{*}item")}
    pages = []
    for reference in package.iterfind("{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        reason = _why_not(item)
        if item is None or reason:
            tally.rows_skipped[reason] += 1
            continue
        pages.append(posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "").partition("#")[0]))))
    if not pages:
        raise UnreadableError("damaged epub", "its spine names no pages")
    found = {name: package.findtext(f"{{*}}metadata/{{http://purl.org/dc/elements/1.1/}}{name}") for name in FACTS}
    facts = {name: " ".join(value.split()) for name, value in found.items() if value and value.strip()}
    titles = _titles(archive, [posixpath.join(folder, unquote(name)) for name in _contents(items.values())])
    return _Package(pages=tuple(dict.fromkeys(pages)), facts=facts, titles=titles)


def _contents(items: Iterable[etree._Element]) -> Iterator[str]:
    """The files of the table of contents, in EPUB 3's form and then in EPUB 2's form."""
    found = [(item.get("href", ""), item) for item in items if item is not None]
    yield from (name for name, item in found if "nav" in item.get("properties", "").split())
    yield from (name for name, item in found if item.get("media-type") == "application/x-dtbncx+xml")


def _titles(archive: zipfile.ZipFile, names: Sequence[str]) -> dict[str, str]:
    """The title of each page in a table of contents; the first title where the table lists several places of a page."""
    titles: dict[str, str] = {}
    for name in names:
        try:
            root = _xml(archive, posixpath.normpath(name))
        except UnreadableError:  # the pages can be read without it
            continue
        links = [(each.get("href", ""), "".join(each.itertext())) for each in root.iterfind(".//{*}nav//{*}a")]
        points = root.iterfind(".//{*}navPoint")
        links += [
            (each.find("{*}content").get("src", ""), each.findtext("{*}navLabel/{*}text") or "")
            for each in points
            if each.find("{*}content") is not None
        ]
        for target, title in links:
            page = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(target.partition("#")[0])))
            if title.strip():
                titles.setdefault(page, " ".join(title.split()))
    return titles


def _why_not(item: etree._Element | None) -> str:
    """The reason why an entry of the spine is not a page to read; empty when it is a page."""
    if item is None:
        return "page of a book that its manifest lacks"
    if "nav" in item.get("properties", "").split():
        return "table of contents of a book"
    return "" if item.get("media-type", "") in PAGE_TYPES else "page of a book of another type than XHTML"


def _check_encryption(archive: zipfile.ZipFile, pages: tuple[str, ...]) -> None:
    """Check that no page is encrypted; fonts may be obfuscated."""
    if ENCRYPTION not in archive.namelist():
        return
    names = {unquote(each.get("URI", "")) for each in _xml(archive, ENCRYPTION).iterfind(".//{*}CipherReference")}
    hidden = [name for name in pages if name in names]
    if hidden:
        detail = f"{len(hidden)} of {len(pages)} pages are locked by DRM; give a copy without it"
        raise UnreadableError("encrypted book", detail)


def _declared(page: bytes) -> str | None:
    """The encoding in a page's XML declaration."""
    found = _ENCODING.match(page[:200])
    return found.group(1).decode("ascii") if found else None


def _xml(archive: zipfile.ZipFile, name: str) -> etree._Element:
    data = read_member(archive, name)
    if data is None:
        raise UnreadableError("damaged epub", f"{name} is missing")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableError("damaged epub", f"{name}: {error}") from error
