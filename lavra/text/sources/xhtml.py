"""Turn a page of a book into text: paragraphs apart, headings in Markdown's form, lists and tables by line.

Everything is kept, unlike on web pages, which are mostly menus.  Only HTML's entities are known: a document type and
the entities it may declare are removed before parsing, and nothing is fetched.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]
from lxml import html as lxml_html

from lavra.text.sources.reading import UnreadableError

_DECLARATION = re.compile(r"^\ufeff?\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>", re.DOTALL | re.IGNORECASE)
_ENTITY = re.compile(r"&(\w{2,31});")
_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_SPACES = re.compile(r"[ \t\r\n\f]+")
_AROUND_BREAKS = re.compile(r" *(\n+) *")
_AFTER_MARK = re.compile(r"^(#+|-)[ \n]+", re.MULTILINE)
_MANY_BREAKS = re.compile(r"\n{3,}")

_LEFT_OUT = frozenset({"head", "script", "style", "nav", "svg", "template", "noscript", "audio", "video", "rt", "rp"})
_PARAGRAPHS = frozenset(
    {
        *("p", "div", "section", "article", "aside", "header", "footer", "main", "blockquote", "figure", "figcaption"),
        *("ul", "ol", "dl", "table", "pre", "hr", "body", "address", "details", "summary", "caption"),
        *("h1", "h2", "h3", "h4", "h5", "h6"),
    }
)
_LINES = frozenset(["br", "li", "dt", "dd", "tr"])
_TYPE = "{http://www.idpf.org/2007/ops}type"
_NOTES = frozenset({"footnote", "endnote", "rearnote", "footnotes", "endnotes", "rearnotes"})


def xhtml_text(page: str) -> str:
    """The text of a page; its footnotes stand behind it, and the marks that refer to them are left out.

    Raises:
        UnreadableError: the text is not a page.
    """
    root = _parse(page)
    body = next((each for each in root.iter() if _tag(each) == "body"), root)
    notes: list[etree._Element] = []
    parts = list(_pieces(body, notes))
    while notes:
        note = notes.pop(0)
        parts += ["\n\n", *_pieces(note, notes, is_note=True)]
    text = _AROUND_BREAKS.sub(r"\1", "".join(parts).replace("\x00", " "))
    return _MANY_BREAKS.sub("\n\n", _AFTER_MARK.sub(r"\1 ", text)).strip("\n ")


def _parse(page: str) -> etree._Element:
    """The tree of the page as XML, or as HTML where it is not well-formed."""
    page = _DOCTYPE.sub("", _DECLARATION.sub("", page))
    safe = {"no_network": True, "huge_tree": False}
    try:
        parser = etree.XMLParser(resolve_entities=False, load_dtd=False, **safe)
        return etree.fromstring(_ENTITY.sub(_character, page), parser)
    except etree.XMLSyntaxError:
        pass
    try:
        return lxml_html.document_fromstring(page, parser=lxml_html.HTMLParser(**safe))
    except (etree.LxmlError, ValueError, AssertionError) as error:
        raise UnreadableError("damaged page", str(error)) from error


def _character(match: re.Match[str]) -> str:
    name = match.group(1)
    if name in _OF_XML:
        return match.group()
    return html.entities.html5.get(f"{name};", match.group().replace("&", "&amp;"))


def _pieces(element: etree._Element, notes: list[etree._Element], *, is_note: bool = False) -> Iterator[str]:
    """The text in pieces, with line breaks where blocks begin and end; footnotes go to `notes`."""
    tag = _tag(element)
    types = frozenset((element.get(_TYPE) or "").split()) if tag else frozenset()
    if not tag or tag in _LEFT_OUT or "noteref" in types or "pagebreak" in types:
        return
    if types & _NOTES and not is_note:
        notes.append(element)
        return
    around = "\n\n" if tag in _PARAGRAPHS else "\n" if tag in _LINES else ""
    yield around + _before(element, tag)
    keep = tag == "pre"
    yield _inner(element.text, keep)
    for child in element:
        yield from _pieces(child, notes)
        yield _inner(child.tail, keep)
    if tag in ("td", "th") and element.getnext() is not None:
        yield " | "
    yield "\n\n" if tag in _PARAGRAPHS else ""


def _before(element: etree._Element, tag: str) -> str:
    if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
        return "#" * int(tag[1]) + " "
    return "- " if tag == "li" else ""


def _inner(text: str | None, keep: bool) -> str:
    """Text within an element; white space becomes one space, but in preformatted text lines stay."""
    if not text:
        return ""
    return text.replace("\r\n", "\n") if keep else _SPACES.sub(" ", text)


def _tag(element: etree._Element) -> str:
    """The element's name without its namespace; empty for comments and similar nodes."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""
