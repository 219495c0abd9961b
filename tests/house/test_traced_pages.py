"""The pages that follow one step and one request: their sessions of Python run, and pictures show the same figures."""

from __future__ import annotations

import doctest
import re

import pytest

from tests.house.pages import DOCS, PAGES, blocks

TRACED = ("training-step", "request")


def session(page: str, name: str) -> doctest.DocTest:
    """All `pycon` blocks of a page as one session."""
    parts = [body for language, body in blocks(page) if language == "pycon"]
    assert parts, f"{name} has no session"
    return doctest.DocTestParser().get_doctest("\n".join(parts), {}, name, None, None)


def complaints(test: doctest.DocTest) -> str:
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", TRACED)
def test_the_session_prints_what_the_page_shows(name: str) -> None:
    page = PAGES[f"{name}.md"]
    assert complaints(session(page, name)) == ""


def test_another_output_is_noticed() -> None:
    assert "Expected" in complaints(session("```pycon\n>>> 1 + 1\n3\n```\n", "wrong"))


@pytest.mark.parametrize("name", TRACED)
def test_the_picture_shows_figures_of_the_page(name: str) -> None:
    page = PAGES[f"{name}.md"].replace(",", "")
    assert f"images/{name}.svg" in page
    texts = re.findall(r"<text[^>]*>(.*?)</text>", (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8"))
    figures = re.findall(r"\d+\.\d+|\d{2,}", " ".join(texts).replace(",", ""))
    assert figures
    assert [figure for figure in figures if figure not in page] == []
