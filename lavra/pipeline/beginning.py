"""The beginning of a text, for a model to complete: the words after `next:` in a suggested `lavra generate`.

A beginning is the first words of a sentence, because the model has learnt how sentences continue.
In code, it is a definition up to its parenthesis.
Words that hold a quote are taken last, because they need escapes in a shell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from lavra.base.types import Document
from lavra.pipeline.samples.passages import Passages
from lavra.text.sentences import has_unspaced_letters, sentence_spans

_LOOKED_AT: Final = 20  # documents
_READ: Final = 20_000  # characters of each
_NUM_WORDS: Final = 4
_LETTERS: Final = 8  # letters of a beginning, in a script without spaces
_SHORTEST, _LONGEST = 8, 40  # characters
_DEFINED: Final = re.compile(r"^[ \t]*((?:async def|def|class|func|function|fn|void|int) +(?!_)\w+\()", re.MULTILINE)
_AROUND: Final = " \t\"'“”‘’«»—–-_*#()[]"
_BEHIND: Final = _AROUND + ",;:."


def choose_beginning(documents: Iterable[Document]) -> str:
    """The best beginning in some documents; empty where they have none.

    Args:
        documents: held-out documents.
    """
    found = [one for document in islice(documents, _LOOKED_AT) for one in _beginnings(document)]
    return min(found, key=_quotes, default="")


def choose_beginnings(documents: Iterable[Document], count: int) -> list[str]:
    """At most `count` different beginnings, from different documents first.

    Args:
        documents: held-out documents.
        count: largest number of beginnings.
    """
    offers = [_beginnings(document) for document in islice(documents, _LOOKED_AT)]
    in_turn = [offer[turn] for turn in range(count) for offer in offers if turn < len(offer)]
    return sorted(dict.fromkeys(in_turn), key=_quotes)[:count]


def beginning_of(text: str) -> str:
    """The first words of a text; empty where there are none."""
    first = next((text[one.start : one.end] for one in sentence_spans(text[:_READ])), "")
    return _first_words(first)


def _beginnings(document: Document) -> list[str]:
    """The beginnings in a document, the best first."""
    text = document.text[:_READ]
    defined = _DEFINED.search(text)
    if defined is not None:
        return [defined[1]]
    passages = Passages(text)
    paragraphs = sorted(passages.paragraphs, key=lambda one: one.span.start - one.span.end)[:_LOOKED_AT]
    return [words for words in (beginning_of(passages.part(one.span)) for one in paragraphs) if len(words) >= _SHORTEST]


def _first_words(sentence: str) -> str:
    words = sentence.strip(_AROUND).split()
    while words and not any(map(str.isalpha, words[0])):  # the number of a verse is not part of its text
        words = words[1:]
    if has_unspaced_letters(sentence):
        return "".join(words)[:_LETTERS]
    return " ".join(words[:_NUM_WORDS])[:_LONGEST].rstrip(_BEHIND)


def _quotes(beginning: str) -> int:
    return sum(beginning.count(mark) for mark in "'\"`$\\!")
