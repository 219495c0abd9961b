"""Headings of Markdown against an implementation of CommonMark, and of the other markups by example."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from lavra.text.whole import Heading, WholeText
from lavra.text.wholes.headings import find_headings, markdown_headings

DOCS = Path(__file__).parents[3] / "docs"
PIECES = [
    *("# a\n", "## b ##\n", "text\n", "more *text*\n", "===\n", "---\n", "\n", "\n", "```\n", "~~~~ py\n", "~~~~\n"),
    *(
        "    # code\n",
        "> quote\n",
        "- item\n",
        "* * *\n",
        "1. x\n",
        "#no\n",
        " # sp\n",
        "<div>\n",
        "   ---  \n",
        "- - -\n",
    ),
    *("\t# t\n", "####### seven\n", "# \n", "<!-- x\n", "-->\n", "\r\n", "`code` x\r\n"),
]


def by_commonmark(text: str) -> list[tuple[int, int, str]]:
    """Level, line and title of each heading that is in no list or quote and not empty, by markdown-it."""
    tokens = MarkdownIt("commonmark").parse(text)
    found = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0:
            parts = tokens[place + 1].children or []
            title = "".join(" " if part.type == "softbreak" else part.content for part in parts)
            found.append((int(token.tag[1]), token.map[0] if token.map else -1, " ".join(title.split())))
    return [each for each in found if each[2]]


def by_lavra(text: str) -> list[tuple[int, int, str]]:
    return [
        (each.level, len(re.findall(r"\r\n?|\n", text[: each.start])), each.title) for each in markdown_headings(text)
    ]


def test_markdown_headings_are_those_of_commonmark_on_real_pages() -> None:
    pages = [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))]
    assert len(pages) > 30
    for page in pages[::3]:
        assert by_lavra(page) == by_commonmark(page)


def test_markdown_headings_are_those_of_commonmark_on_random_lines() -> None:
    draw = random.Random(0)
    different = []
    for _ in range(300):
        text = "".join(draw.choices(PIECES, k=8))
        if [each[:2] for each in by_lavra(text)] != [each[:2] for each in by_commonmark(text)]:
            different.append(text)
    # What is left are lists whose items hold indented blocks: 300 texts of nothing but border cases.
    assert len(different) <= 6, different


def test_front_matter_is_no_heading() -> None:
    assert markdown_headings("---\ntitle: x\n---\n\n# y\n") == [Heading(level=1, start=18, title="y")]
    assert markdown_headings("Title\n---\ntext\n") == [Heading(level=2, start=0, title="Title")]


RST = "=====\nTitle\n=====\n\nOne\n---\n\ntext\n\nTwo\n~~~\n\nlonger than marks\n---\n\nThree\n-----\n"
TEX = (
    "\\documentclass{article}\n\\section{One \\emph{first}}\n% \\section{no}\ntext\n"
    "\\subsection*{Two}\n\\section[s]{Three}\n"
)


@pytest.mark.parametrize(
    ("extension", "text", "expected"),
    [
        (".rst", RST, [(1, "Title"), (2, "One"), (3, "Two"), (2, "Three")]),
        (".tex", TEX, [(1, "One first"), (2, "Two"), (1, "Three")]),
        (".adoc", "= Title\n\n== One\n\ntext = no\n\n=== Two\n", [(1, "Title"), (2, "One"), (3, "Two")]),
        (".org", "* One\ntext\n** Two :tag:\n*bold* no\n", [(1, "One"), (2, "Two")]),
    ],
)
def test_headings_of_other_markups(extension: str, text: str, expected: list[tuple[int, str]]) -> None:
    found = find_headings(text, "markdown", extension)
    assert [(each.level, each.title) for each in found] == expected
    assert list(find_headings(text, "text", ".txt")) == []


def test_a_place_has_the_path_of_the_titles_above_it() -> None:
    text = "a\n# One\nb\n### Deep\nc\n## Two\nd\n# Three\ne\n"
    whole = WholeText(name="x", text=text, headings=tuple(markdown_headings(text)))
    paths = {letter: whole.heading_path(text.index(f"{letter}\n")) for letter in "abcd"}
    assert paths == {"a": (), "b": ("One",), "c": ("One", "Deep"), "d": ("One", "Two")}
    assert whole.heading_path(len(text)) == ("Three",)
