"""Turn wiki markup into prose: links become their text, headings Markdown's, and the rest is removed.

Removed are templates, tables, references, files, categories, links to other languages, comments and formulas, and
headings under which nothing is left.  mwparserfromhell parses; the output of templates is lost, and brackets that it
leaves empty are removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import MissingDependencyError

_TAGS_LEFT_OUT = frozenset(
    {
        *("ref", "references", "table", "gallery", "math", "chem", "ce", "timeline", "score", "imagemap", "graph"),
        *("templatedata", "section", "mapframe", "maplink", "categorytree", "inputbox", "hiero", "indicator", "style"),
    }
)
_LINES = frozenset({"br", "hr", "p", "div", "tr", "blockquote"})
_BULLETS = {"*": "- ", "#": "- ", ";": "", ":": ""}
_REMEDY = "use Python 3.11 to 3.13, where lavra brings it (it has no wheel for 3.14 yet)"
_FILES, _CATEGORIES = frozenset({"file", "image", "media"}), frozenset({"category"})
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}|simple)(?:-[a-z]+)*:\S")
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_QUOTES = re.compile(r"'{2,5}")
_EMPTY_BRACKETS = re.compile(r"[ \t]?\(\s*[,;:]?\s*\)")
_AFTER_BRACKET = re.compile(r"\(\s*[,;:]\s*")
_SPACES = re.compile(r"[ \t\xa0]+")
_BEFORE_STOP = re.compile(r" +([,.;:)])")
_EMPTY_ITEM = re.compile(r"^[-:;*#]+\s*$")


class MarkupError(Exception):
    """Error: a page's markup cannot be parsed."""


@dataclass(frozen=True, kw_only=True)
class LinkNames:
    """A wiki's names of the namespaces whose links are not prose.

    Attributes:
        files: names for pictures and sounds (`Ficheiro`); English names count in every wiki.
        categories: names for categories (`Categoria`).
    """

    files: str
    categories: str

    def is_left_out(self, target: str) -> bool:
        """Whether a link to this page is not prose."""
        prefix = target.partition(":")[0].strip().lower() if ":" in target else ""
        names = _FILES | _CATEGORIES | {self.files.lower(), self.categories.lower()}
        return prefix in names


class Prose:
    """A converter from markup to prose.

    Raises:
        MissingDependencyError: mwparserfromhell is not installed (it has no wheel for Python 3.14).
    """

    def __init__(self) -> None:
        try:
            import mwparserfromhell  # noqa: PLC0415 - missing on some Pythons
        except ImportError as error:
            raise MissingDependencyError("mwparserfromhell", "reading a Wikipedia dump", remedy=_REMEDY) from error
        self._parse: Callable[..., Any] = mwparserfromhell.parse
        self._nodes = mwparserfromhell.nodes
        self._error = mwparserfromhell.parser.ParserError

    def of(self, markup: str, names: LinkNames) -> str:
        """The prose of a page.

        Raises:
            MarkupError: the parser gives up.
        """
        try:
            code = self._parse(_SWITCH.sub("", markup), skip_style_tags=True)
            text = "".join(self._pieces(code, names))
        except (self._error, RecursionError) as error:
            raise MarkupError(str(error)) from error
        return _tidy(text)

    def _pieces(self, code: Any, names: LinkNames) -> Iterator[str]:
        for node in code.nodes if code is not None else ():
            match type(node).__name__:
                case "Text":
                    yield str(node.value)
                case "Heading":
                    yield f"\n\n{'#' * node.level} {''.join(self._pieces(node.title, names)).strip()}\n\n"
                case "Wikilink":
                    yield from self._link(node, names)
                case "ExternalLink":
                    shown = node.title if node.title is not None else None if node.brackets else node.url
                    yield from self._pieces(shown, names)
                case "HTMLEntity":
                    yield str(node.normalize())
                case "Tag":
                    yield from self._tag(node, names)

    def _link(self, node: Any, names: LinkNames) -> Iterator[str]:
        target = str(node.title).strip()
        if names.is_left_out(target) or (node.text is None and _LANGUAGE.match(target)):
            return
        yield from self._pieces(node.text if node.text is not None else node.title, names)

    def _tag(self, node: Any, names: LinkNames) -> Iterator[str]:
        name = str(node.tag).strip().lower()
        if name in _TAGS_LEFT_OUT:
            return
        if node.wiki_markup in _BULLETS:
            yield _BULLETS[node.wiki_markup]
            return
        around = "\n" if name in _LINES else ""
        yield around
        if node.contents is not None:
            yield from self._pieces(node.contents, names)
            yield around


def _tidy(text: str) -> str:
    """The lines without remains of the markup: quotes, empty brackets and items, headings without text."""
    text = _EMPTY_BRACKETS.sub("", _QUOTES.sub("", text))
    text = _BEFORE_STOP.sub(r"\1", _AFTER_BRACKET.sub("(", _SPACES.sub(" ", text)))
    blocks: list[str] = []
    for line in (line.strip() for line in text.split("\n")):
        if not line or _EMPTY_ITEM.match(line):
            continue
        level = _level(line)
        while level and blocks and _level(blocks[-1]) >= level:  # the heading before has no text under it
            blocks.pop()
        blocks.append(line)
    while blocks and _level(blocks[-1]):
        blocks.pop()
    parts: list[str] = []
    for before, block in zip(["", *blocks], blocks, strict=False):
        together = block.startswith("- ") and before.startswith("- ")
        parts += [("\n" if together else "\n\n") if parts else "", block]
    return "".join(parts)


def _level(line: str) -> int:
    """The level of a heading; 0 for other lines."""
    mark = line.partition(" ")[0]
    return len(mark) if mark and not mark.strip("#") and len(mark) <= 6 else 0
