"""`docs/glossary.md` is in the order of the alphabet, and its pages, verbs and flags exist."""

from __future__ import annotations

import importlib
import re
from typing import Any, cast

from lavra.cli.main import VERBS, verb_parser
from tests.house.pages import PAGES

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGES["glossary.md"].splitlines()
    if line.startswith("| ") and not line.startswith("| word |")
]


def test_the_words_are_in_the_order_of_the_alphabet() -> None:
    words = [word.casefold() for word, _, _ in ROWS]
    assert 60 <= len(words) <= 100
    assert words == sorted(set(words))


def test_each_word_has_a_sentence_and_a_place() -> None:
    assert [word for word, meaning, place in ROWS if not meaning.endswith(".") or not place] == []


def test_verbs_and_flags_exist() -> None:
    parsers = [verb_parser(name, cast(Any, importlib.import_module(verb.module))) for name, verb in VERBS.items()]
    flags = {flag for parser in parsers for action in parser._actions for flag in action.option_strings}
    named = {name for _, _, place in ROWS for name in re.findall(r"`([^`]+)`", place)}
    assert named - flags - {f"lavra {verb}" for verb in VERBS} == set()


def test_linked_pages_and_headings_exist() -> None:
    links = [link for row in ROWS for link in re.findall(r"\]\(([^)]+)\)", row[2])]
    assert len(links) > 60
    missing = [link for link in links if not there(*link.partition("#")[::2])]
    assert missing == []


def there(page: str, heading: str) -> bool:
    """Whether a page exists, with that heading where one is named."""
    titles = re.findall(r"^#+ (.*)$", PAGES.get(page, ""), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
    return page in PAGES and (not heading or heading in anchors)
