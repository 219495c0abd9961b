"""The outline of a document, and its parts: a section that fits with all its subsections stays whole; a longer section
is divided into the text before its subsections and the subsections themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lavra.text.definitions import find_definitions
from lavra.text.whole import Heading, WholeText


@dataclass(slots=True, kw_only=True)
class OutlinePart:
    """A part of a text with the parts nested in it.

    Attributes:
        start: place of its first character.
        end: place behind its last character.
        children: the nested parts, in order; none overlap.
    """

    start: int
    end: int
    children: list[OutlinePart] = field(default_factory=list)


def heading_outline(whole: WholeText) -> OutlinePart:
    """The sections that a document's headings begin; a section ends at the next heading of its level or above."""
    ends = _ends(whole.headings, len(whole.text))
    return _outline([(each.start, end) for each, end in zip(whole.headings, ends, strict=True)], len(whole.text))


def code_outline(whole: WholeText) -> OutlinePart:
    """The definitions of a source file, nested as in the file."""
    found = find_definitions(whole.text, extension_of_name(whole.name))
    return _outline([(each.start, each.end) for each in found], len(whole.text))


def extension_of_name(name: str) -> str:
    """The extension of a document's name, in lower case with the dot, without that of a compression.

    >>> extension_of_name("src/Main.java.gz#2")
    '.java'
    """
    file = name.rpartition("/")[2].partition("#")[0].lower().removesuffix(".gz").removesuffix(".bz2")
    return f".{file.rpartition('.')[2]}" if "." in file else ""


def outline_parts(section: OutlinePart, text: str, fits: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """The parts of a section, in order; joined, they are the section.

    Args:
        section: a section of the text.
        text: the whole text.
        fits: returns whether the text between two places is no longer than a chunk may be.
    """
    if not section.children or fits(section.start, section.end):
        yield section.start, section.end
        return
    place = section.start
    for child in section.children:
        before = text[place : child.start].strip()
        is_alone = "\n" in before or (bool(before) and place != section.start)
        if is_alone:
            yield place, child.start
        for start, end in outline_parts(child, text, fits):
            yield (start if is_alone or start != child.start else place), end  # a bare title goes with the next
        place = child.end
    if text[place : section.end].strip():
        yield place, section.end


def _ends(headings: Sequence[Heading], length: int) -> list[int]:
    """The places where the section of each heading ends."""
    ends, open_sections = [length] * len(headings), list[int]()
    for number, heading in enumerate(headings):
        while open_sections and headings[open_sections[-1]].level >= heading.level:
            ends[open_sections.pop()] = heading.start
        open_sections.append(number)
    return ends


def _outline(spans: Sequence[tuple[int, int]], length: int) -> OutlinePart:
    """The tree of spans, which are in the order they begin; each span lies within or behind the spans before it."""
    root = OutlinePart(start=0, end=length)
    around = [root]
    for start, end in spans:
        while len(around) > 1 and around[-1].end <= start:
            around.pop()
        section = OutlinePart(start=start, end=min(end, around[-1].end))
        around[-1].children.append(section)
        around.append(section)
    return root
