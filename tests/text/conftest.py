"""Texts and documents for tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lavra.base.types import Document
from tests.text.naive import words_of

MakeText = Callable[[int, int], str]
MakeDocument = Callable[..., Document]


@pytest.fixture
def make_text() -> MakeText:
    """A text from a seed and a number of words."""
    return words_of


@pytest.fixture
def make_document() -> MakeDocument:
    """A document with the given text, name and kind."""

    def make(text: str, name: str, kind: str = "text") -> Document:
        return Document(id=name, text=text, source=name, kind=kind)

    return make
