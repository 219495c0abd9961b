"""Paragraphs that planted claims are about, and the type of a rule that plants them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.text.sentences import sentence_spans

WORDS: Final = (8, 40)  # shortest and longest sentence that is used, in words


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A paragraph of an article.

    Attributes:
        article: number of the article.
        text: the paragraph.
        sentences: sentences long enough to be changed and short enough to be one claim.
        portuguese: whether it is Portuguese; English otherwise.
    """

    article: int
    text: str
    sentences: tuple[str, ...]
    portuguese: bool


Rule = Callable[[str, Paragraph, Sequence[Paragraph], random.Random], str | None]
"""A sentence, its paragraph and all paragraphs to a claim; `None` where it does not apply."""


def read_paragraphs(path: Path, *, portuguese: bool) -> list[Paragraph]:
    """The paragraphs of a file in SQuAD's form."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    texts = [(place, one["context"]) for place, article in enumerate(articles) for one in article["paragraphs"]]
    return [
        Paragraph(article=article, text=text, sentences=_usable(text), portuguese=portuguese)
        for article, text in dict.fromkeys(texts)
    ]


def _usable(text: str) -> tuple[str, ...]:
    found = [text[span.start : span.end] for span in sentence_spans(text)]
    return tuple(one for one in found if WORDS[0] <= len(one.split()) <= WORDS[1] and one[-1:] == ".")
