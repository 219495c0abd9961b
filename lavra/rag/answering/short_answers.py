"""Find the few words of a sentence that answer a question: a name, a date, a number.

With a head of the task `answer` (SQuAD's), they are its span.  Without a head, a rule chooses: of the stretches that
have the shape of the wanted kind and that the question does not name itself, it takes the stretch nearest to the
question's own words.  Where nothing has the shape, there is no short answer, and the sentence stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lavra.base.ports import Predictor
from lavra.base.predictions import AnswerRequest, SpanAnswer
from lavra.base.retrieval import Passage
from lavra.rag.answering.asked import COMMON_WORDS, shapes_of, wanted
from lavra.rag.answering.rarity import AskedWord, Rarity
from lavra.rag.words import Analyzer

_READ: Final = 5  # number of passages that a head reads
_WORD: Final = re.compile(r"\w[\w'’-]*")


def short_span(
    question: str, sentence: str, asked: Sequence[AskedWord], *, analyzer: Analyzer, rarity: Rarity
) -> tuple[int, int] | None:
    """Find the characters of a sentence that answer, by rule.

    Args:
        question: text of the user's question.
        sentence: text that answers the question.
        asked: the question's words, analysed.
        analyzer: turns texts into terms.
        rarity: the weights of words.
    """
    found = [
        span
        for shape in shapes_of(wanted(question))
        for match in shape.finditer(sentence)
        if (span := _without_asked(sentence, match.span(), question)) is not None
    ]
    if not found:
        return None
    places = _places(sentence, asked, analyzer, rarity)
    return min(found, key=lambda span: (_distance(span, places), span[0]))


def span_by_head(
    head: Predictor, question: str, passages: Sequence[Passage], shares: Sequence[float]
) -> tuple[int, SpanAnswer] | None:
    """Find the likeliest span of the first passages, by its probability and its passage's score.

    Args:
        head: a head of the task `answer`.
        question: text of the user's question.
        passages: results of the search, the best first.
        shares: (P,) weight of each passage, from 0 to 1.

    Returns:
        The place of the passage and the span in its text; nothing where no passage has one.
    """
    read = passages[:_READ]
    found = head.predict([AnswerRequest(question=question, context=one.chunk.text) for one in read])
    spans = [(number, one.value) for number, one in enumerate(found) if one.value.text.strip()]
    return max(spans, key=lambda one: one[1].score * shares[one[0]], default=None)


def _without_asked(sentence: str, span: tuple[int, int], question: str) -> tuple[int, int] | None:
    """Strip from a stretch the words at its ends that the question has already; nothing where it has no others."""
    known = {word.casefold() for word in _WORD.findall(question)} | COMMON_WORDS
    words = [
        (span[0] + match.start(), span[0] + match.end(), match[0].casefold() in known)
        for match in _WORD.finditer(sentence[span[0] : span[1]])
    ]
    while words and words[0][2]:
        words.pop(0)
    while words and words[-1][2]:
        words.pop()
    return (words[0][0], words[-1][1]) if words else None


def _places(sentence: str, asked: Sequence[AskedWord], analyzer: Analyzer, rarity: Rarity) -> list[tuple[int, float]]:
    """The places of the question's words in a sentence, and the weight of each."""
    found = []
    for match in _WORD.finditer(sentence):
        terms = frozenset(analyzer.query_words(match[0]))
        weight = max((rarity.weight(word) for word in asked if word & terms), default=0.0)
        if weight:
            found.append((match.start(), weight))
    return found


def _distance(span: tuple[int, int], places: Sequence[tuple[int, float]]) -> float:
    """Mean distance, in characters, to the question's words, by their weights."""
    total = sum(weight for _, weight in places)
    if not total:
        return 0.0
    return sum(weight * min(abs(place - span[0]), abs(place - span[1])) for place, weight in places) / total
