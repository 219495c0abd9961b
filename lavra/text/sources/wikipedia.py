"""Read Wikipedia dumps: the pages of a MediaWiki export (`pages-articles`), as a stream, one document for each article.

Articles are pages of namespace 0 that are no redirects; of several revisions the newest counts.  Elements are released
as soon as they are read, so that memory is one revision.  https://www.mediawiki.org/wiki/Help:Export
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

from lavra.base.types import Document
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, text_documents
from lavra.text.sources.wikitext import LinkNames, MarkupError, Prose
from lavra.text.tally import Tally

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_REDIRECT = re.compile(r"\s*#\s*\w+\s*:?\s*\[\[")  # #REDIRECT in any language
FILES, CATEGORIES = "6", "14"


@dataclass(kw_only=True)
class _Revision:
    """The newest revision of a page so far."""

    key: tuple[str, int] = ("", -1)
    text: str = ""
    model: str = ""


@dataclass(kw_only=True)
class _DumpHead:
    """The head of a dump: names of namespaces by their number."""

    names: dict[str, str] = field(default_factory=dict)

    def links(self) -> LinkNames:
        """The prefixes of links that are not prose."""
        return LinkNames(files=self.names.get(FILES, "File"), categories=self.names.get(CATEGORIES, "Category"))

    def namespace_of(self, title: str) -> str:
        """The number of a title's namespace, for dumps without this number."""
        prefix, colon, _ = title.partition(":")
        numbers = (number for number, name in self.names.items() if colon and name == prefix)
        return next(numbers, "0")


def read_wikipedia(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a dump, plain or with `.bz2` or `.gz`.

    Raises:
        UnreadableError: the file is not well-formed XML (to its end).
        MissingDependencyError: mwparserfromhell is not installed.
    """
    site, prose = _DumpHead(), Prose()
    with file.open() as stream:
        try:
            for title, revision, page in _pages(stream, site, tally):
                reason = _why_not(title, revision, page, site)
                text = "" if reason else _text(title, revision, prose, site, tally)
                if reason:
                    tally.rows_skipped[reason] += 1
                elif text:
                    meta = dict(tally.facts) | {"title": title}
                    yield from text_documents(file, text, title, config, tally, meta)
        except etree.XMLSyntaxError as error:
            raise UnreadableError("damaged dump", str(error)) from error


def _pages(stream: Any, site: _DumpHead, tally: Tally) -> Iterator[tuple[str, _Revision, Any]]:
    """Each page's title, newest revision and element, which is emptied afterwards."""
    newest = _Revision()
    tags = ("{*}siteinfo", "{*}revision", "{*}page")
    events = etree.iterparse(
        stream, events=("end",), tag=tags, resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    for _, element in events:
        kind = etree.QName(element).localname
        if kind == "siteinfo":
            _read_site(element, site, tally)
        elif kind == "revision":
            newest = _newer(newest, element)
        else:
            yield element.findtext("{*}title") or "", newest, element
            newest = _Revision()
        element.clear(keep_tail=True)
        while kind != "siteinfo" and element.getprevious() is not None:
            if etree.QName(element.getprevious()).localname not in (kind, "siteinfo"):
                break
            del element.getparent()[element.getparent().index(element.getprevious())]


def _read_site(element: Any, site: _DumpHead, tally: Tally) -> None:
    for each in element.iterfind("{*}namespaces/{*}namespace"):
        site.names[each.get("key", "")] = each.text or ""
    found = (("title", element.findtext("{*}sitename")), ("language", element.getparent().get(_LANGUAGE)))
    tally.facts.update({name: value for name, value in found if value})


def _newer(newest: _Revision, element: Any) -> _Revision:
    number = element.findtext("{*}id") or ""
    key = (element.findtext("{*}timestamp") or "", int(number) if number.isdigit() else 0)
    if key <= newest.key:
        return newest
    text, model = element.findtext("{*}text") or "", element.findtext("{*}model") or ""
    return _Revision(key=key, text=text, model=model)


def _why_not(title: str, revision: _Revision, page: Any, site: _DumpHead) -> str:
    """The reason why a page is not an article; empty when it is an article."""
    if (page.findtext("{*}ns") or site.namespace_of(title)) != "0":
        return "wiki page of another namespace"
    if page.find("{*}redirect") is not None or _REDIRECT.match(revision.text):
        return "wiki redirect"
    if revision.model not in ("", "wikitext"):
        return "wiki page of another model than wikitext"
    return "" if revision.text.strip() else "wiki page without text"


def _text(title: str, revision: _Revision, prose: Prose, site: _DumpHead, tally: Tally) -> str:
    try:
        text = prose.of(revision.text, site.links())
    except MarkupError:
        tally.rows_skipped["wiki markup that cannot be parsed"] += 1
        return ""
    if not text:
        tally.rows_skipped["wiki page without prose"] += 1
        return ""
    return f"# {title}\n\n{text}\n"
