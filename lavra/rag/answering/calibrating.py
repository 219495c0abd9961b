"""Calibrate the threshold under which an index holds back answers, on questions made from the index itself.

Made questions use the words of their sentences, unlike people's.  So a quarter of each question's words is replaced
by words of other places of the index.  The chosen threshold holds back at most one in twenty of these.  How
many of the same questions it holds back once the documents that answer them are hidden is measured, by halves of the
questions: the threshold of each half is tested on the other.

Deliberately absent: fitting the weights of the features to the index.  A few dozen made questions would move them
towards peculiarities of made questions.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lavra.base.ports import Progress, silent
from lavra.base.retrieval import Question
from lavra.rag.answering.abstaining import AbstentionRule
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.answering.asked import COMMON_WORDS
from lavra.rag.answering.drafting import PreparedQuestion
from lavra.rag.answering.public_chunks import NOBODY, PublicChunks
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import MadeQuestion
from lavra.rag.words import runs

NUM_QUESTIONS: Final = 40
FEWEST: Final = 10
"""The least number of questions for a calibration; with fewer, the usual threshold stays."""
_REPLACED: Final = 0.25  # share of a made question's words that is replaced
_HELD_BACK: Final = 0.05  # share of the questions with an answer that may be held back
_LOWEST, _HIGHEST = 0.1, 0.5  # thresholds outside these bounds fit made questions more than people's


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probabilities:
    """The rule's probabilities that one question has an answer: in all documents, and in those without the answer."""

    there: float
    hidden: float


def calibrate_abstention(
    answerer: DocumentAnswerer,
    table: ChunkTable,
    rule: AbstentionRule,
    *,
    seed: int = 0,
    count: int = NUM_QUESTIONS,
    seconds: float = 60.0,
    progress: Progress = silent,
) -> AbstentionRule:
    """Calibrate the rule's threshold on this index and measure it; the same rule where too few questions can be made.

    Args:
        answerer: answers questions to the index.
        table: the chunk table of the index.
        rule: gives the weights.
        seed: decides the random choices.
        count: number of questions wanted.
        seconds: time after which no further question is asked, once there are enough.
        progress: shows how far the calibration is.
    """
    public = PublicChunks(table)
    made = make_questions(public, count=count, seed=seed)
    draw = random.Random(seed)
    words = _vocabulary(made)
    found: list[_Probabilities] = []
    ends = time.monotonic() + seconds
    for number, one in enumerate(made, start=1):
        found += _looked_at(answerer, one, _blurred(one.question, words, draw), rule)
        progress("calibrating", number, len(made))
        if len(found) >= 2 * FEWEST and time.monotonic() > ends:
            break
    if len(found) < FEWEST:
        return rule
    precision, recall = _measured(found)
    return replace(rule, threshold=_threshold(found), precision=precision, recall=recall, num_questions=len(found))


def _looked_at(
    answerer: DocumentAnswerer, made: MadeQuestion, question: str, rule: AbstentionRule
) -> list[_Probabilities]:
    """Compute both probabilities of a question; empty where the search does not find its passage."""
    prepared = answerer.prepare(Question(text=question, groups=NOBODY))
    hidden = _without(prepared, made)
    if len(hidden.passages) == len(prepared.passages):
        return []
    return [_Probabilities(there=rule.probability(prepared.fit), hidden=rule.probability(answerer.look_at(hidden).fit))]


def _without(prepared: PreparedQuestion, made: MadeQuestion) -> PreparedQuestion:
    """Hide the document that answers; only its answering chunks are hidden where no other document was found."""
    others = tuple(one for one in prepared.passages if one.chunk.document != made.document)
    if not others:
        others = tuple(one for one in prepared.passages if one.chunk.end <= made.start or made.end <= one.chunk.start)
    return replace(prepared, passages=others)


def _vocabulary(made: Sequence[MadeQuestion]) -> list[str]:
    return sorted({word for one in made for word in _content(one.question)})


def _content(question: str) -> list[str]:
    return [word for word in runs(question) if word.casefold() not in COMMON_WORDS]


def _blurred(question: str, words: Sequence[str], draw: random.Random) -> str:
    """Replace some words of a question by other questions' words."""
    replaced = {word for word in _content(question) if draw.random() < _REPLACED}
    return " ".join(draw.choice(words) if word.strip("?.,;:") in replaced else word for word in question.split())


def _threshold(found: Sequence[_Probabilities]) -> float:
    return float(np.clip(np.quantile([one.there for one in found], _HELD_BACK), _LOWEST, _HIGHEST))


def _measured(found: Sequence[_Probabilities]) -> tuple[float, float]:
    """Measure precision and recall of holding back, each half of the questions by the threshold of the other half."""
    rightly = wrongly = missed = 0
    for mine, others in ((found[::2], found[1::2]), (found[1::2], found[::2])):
        threshold = _threshold(others)
        wrongly += sum(one.there < threshold for one in mine)
        rightly += sum(one.hidden < threshold for one in mine)
        missed += sum(one.hidden >= threshold for one in mine)
    held_back = rightly + wrongly
    return (rightly / held_back if held_back else 1.0), rightly / max(1, rightly + missed)
