"""Find the headings of texts that mark them: Markdown, reStructuredText, AsciiDoc, Org, LaTeX, and definitions of code.

Markdown is read by the rules of CommonMark (version 0.31: sections 4.2 ATX headings, 4.3 setext headings, 4.5 fenced
code blocks), except that headings within lists and quotes do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from lavra.text.definitions import DefinitionSpan, find_definitions
from lavra.text.whole import Heading

MODULE: Final = "module"
"""Title of the text of a source file that stands outside its definitions, behind the first definition."""


def find_headings(text: str, kind: str, extension: str) -> tuple[Heading, ...]:
    """The headings of a text by its marks.

    Args:
        text: text of the document.
        kind: kind of the document.
        extension: extension of its file, in lower case with the dot; it decides the markup.
    """
    if kind == "code":
        return tuple(definition_headings(text, find_definitions(text, extension)))
    if kind != "markdown":
        return ()
    return tuple(_MARKUPS.get(extension, markdown_headings)(text))


def definition_headings(text: str, definitions: list[DefinitionSpan]) -> Iterator[Heading]:
    """A heading where each definition begins, and where the definition around it goes on behind it."""
    around: list[DefinitionSpan] = []
    for one in definitions:
        yield from _closed(text, around, one.start)
        around.append(one)
        yield Heading(level=one.level, start=one.start, title=one.name)
    yield from _closed(text, around, len(text))


def _closed(text: str, around: list[DefinitionSpan], place: int) -> Iterator[Heading]:
    """The headings of definitions that go on behind inner ones that end before a place; takes these off the list."""
    while around and around[-1].end <= place:
        ended = around.pop()
        following = min([place, *(each.end for each in around)])
        if text[ended.end : following].strip():
            outer = around[-1] if around else None
            yield Heading(level=outer.level if outer else 1, start=ended.end, title=outer.name if outer else MODULE)


_LINE: Final = re.compile(r"(?P<bare>[^\r\n]*)(?:\r\n?|\n|\Z)")
_FENCE: Final = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_ATX: Final = re.compile(r" {0,3}(?P<marks>#{1,6})(?:[ \t]+(?P<title>.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE: Final = re.compile(r" {0,3}(?P<mark>=+|-+)[ \t]*$")
_RULE: Final = r"([-*_])(?:[ \t]*\1){2,}[ \t]*$"
_CONTAINER: Final = re.compile(r" {0,3}(?:>|[-+*](?:[ \t]|$)|\d{1,9}[.)](?:[ \t]|$)|\|)")
_ENDS_PARAGRAPH: Final = re.compile(rf" {{0,3}}(?:>|[-+*][ \t]+\S|1[.)][ \t]+\S|{_RULE})")
_NO_PARAGRAPH: Final = re.compile(rf" {{0,3}}(?:\[[^\]]+\]:|{_RULE})| {{4}}|\t")
_HTML_BLOCK: Final = re.compile(
    r" {0,3}</?(?:address|article|aside|blockquote|body|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption"
    r"|figure|footer|form|h[1-6]|head|header|hr|html|iframe|li|link|main|menu|nav|ol|p|section|summary|table|tbody|td|tfoot|th"
    r"|thead|title|tr|ul)(?:[\s>]|/>|$)",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS: Final = re.compile(r"(\*{1,3}|_{2,3}|`+)(?=\S)(.+?)(?<=\S)\1")
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")


def markdown_headings(text: str) -> list[Heading]:
    """The headings of a Markdown text, outside code, lists, quotes, HTML and front matter; empty ones are left out."""
    front = _FRONT_MATTER.match(text)
    lines = _MarkdownLines()
    for line in _LINE.finditer(text, front.end() if front else 0):
        lines.read(line.start(), line["bare"])
    return lines.headings


class _MarkdownLines:
    """A reader of Markdown, line by line; it keeps the state that the lines before leave."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self._fence = ""  # the open fence
        self._is_comment = self._is_html = self._is_nested = False  # until its end or a blank line
        self._paragraph: list[tuple[int, str]] = []  # its lines so far, by where they start

    def read(self, start: int, line: str) -> None:
        """Read the next line, without its end."""
        if self._is_inside(line):
            return
        atx, under = _ATX.match(line), _UNDERLINE.match(line)
        if atx is not None:
            self._close()
            self.headings += _heading(len(atx["marks"]), start, atx["title"] or "")
        elif self._paragraph and under is not None:
            title = " ".join(part.strip() for _, part in self._paragraph)
            self.headings += _heading(1 if under["mark"][0] == "=" else 2, self._paragraph[0][0], title)
            self._close()
        elif not line.strip():
            self._close()
        elif self._paragraph and not _ENDS_PARAGRAPH.match(line):
            self._paragraph.append((start, line))
        elif _CONTAINER.match(line) and not re.match(rf" {{0,3}}{_RULE}", line):
            self._close()
            self._is_nested = True  # lines without a mark belong to it, up to a blank line
        elif _NO_PARAGRAPH.match(line):
            self._close()
        elif not self._is_nested:
            self._paragraph.append((start, line))

    def _close(self) -> None:
        self._paragraph, self._is_nested = [], False

    def _is_inside(self, line: str) -> bool:
        """Whether a line is part of code, of a comment or of HTML."""
        opened = _FENCE.match(line)
        if self._fence:
            is_end = opened is not None and opened["mark"].startswith(self._fence) and not opened["info"].strip()
            self._fence = "" if is_end else self._fence
        elif self._is_comment or line.lstrip(" ").startswith("<!--"):
            self._is_comment = "-->" not in line
            self._close()
        elif self._is_html or _HTML_BLOCK.match(line):
            self._is_html = bool(line.strip())
            self._close()
        elif opened is not None and not (opened["mark"][0] == "`" and "`" in opened["info"]):
            self._fence = opened["mark"]
            self._close()
        else:
            return False
        return True


def _heading(level: int, start: int, marked: str) -> list[Heading]:
    """A heading without the marks in its title; none where nothing is left of the title."""
    title = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", marked)).strip()
    return [Heading(level=level, start=start, title=" ".join(title.split()))] if title.strip("# \t") else []


_RST: Final = re.compile(
    r"(?:^(?P<over>[!-/:-@[-`{-~])(?P=over)+[ \t]*\n)?"
    r"^(?P<title>\S.*?)[ \t]*\n(?P<under>[!-/:-@[-`{-~])(?P=under)+[ \t]*$",
    re.MULTILINE,
)
_TEX: Final = re.compile(
    r"^[^%\n]*?\\(?P<name>part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{(?P<title>(?:[^{}]|\{[^{}]*\})+)\}",
    re.MULTILINE,
)
_TEX_LEVELS: Final = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_TEX_COMMAND: Final = re.compile(r"\\[a-zA-Z]+\*?|[{}~]")
_ADOC: Final = re.compile(r"^(?P<marks>={1,6})[ \t]+(?P<title>\S.*?)[ \t]*$", re.MULTILINE)
_ORG: Final = re.compile(r"^(?P<marks>\*+)[ \t]+(?P<title>\S.*?)(?:[ \t]+:[\w@:]+:)?[ \t]*$", re.MULTILINE)


def _rst_headings(text: str) -> Iterator[Heading]:
    """Titles over a line of marks at least as long; the order in which marks appear decides their level."""
    styles: list[tuple[bool, str]] = []
    for match in _RST.finditer(text):
        over, under, title = match["over"], match["under"], match["title"]
        if (over and over != under) or len(match[0].rpartition("\n")[2].rstrip()) < len(title):
            continue
        style = (bool(over), under)
        if style not in styles:
            styles.append(style)
        yield Heading(level=styles.index(style) + 1, start=match.start(), title=title)


def _tex_headings(text: str) -> Iterator[Heading]:
    found = list(_TEX.finditer(text))
    used = sorted({_TEX_LEVELS.index(match["name"]) for match in found})
    for match in found:
        title = " ".join(_TEX_COMMAND.sub(" ", match["title"]).split())
        if title:
            level = used.index(_TEX_LEVELS.index(match["name"])) + 1
            yield Heading(level=level, start=match.start(), title=title)


def _adoc_headings(text: str) -> Iterator[Heading]:
    return (Heading(level=len(each["marks"]), start=each.start(), title=each["title"]) for each in _ADOC.finditer(text))


def _org_headings(text: str) -> Iterator[Heading]:
    return (Heading(level=len(each["marks"]), start=each.start(), title=each["title"]) for each in _ORG.finditer(text))


_MARKUPS: Final[dict[str, Callable[[str], Iterator[Heading]]]] = {
    ".rst": _rst_headings,
    ".tex": _tex_headings,
    ".adoc": _adoc_headings,
    ".org": _org_headings,
}
