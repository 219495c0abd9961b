"""The threshold under which an index says that it has no answer, found on questions made from the index itself.

Made questions use the words of their sentences, and people do not.  So a quarter of each question's words is replaced
by words of other places of the index.  The threshold is the one that holds back at most one in twenty of these; how
many of the same questions are held back once the documents that answer them are hidden is measured, by halves of the
questions: the threshold of one half is looked at on the other.

Deliberately absent: fitting the weights of the features to the index.  A few dozen made questions would move them
towards what is peculiar to made questions.
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
from lavra.rag.questions import MadeQuestion, make_questions
from lavra.rag.words import runs

NUM_QUESTIONS: Final = 40
FEWEST: Final = 10
"""Questions with which a threshold is worth calibrating; with fewer the usual one stays."""
_REPLACED: Final = 0.25  # share of a made question's words
_HELD_BACK: Final = 0.05  # share of the questions with an answer that may be held back
_LOWEST, _HIGHEST = 0.1, 0.5  # thresholds outside say more of the made questions than of people's


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probabilities:
    """How likely the documents answer one question, by the rule: all documents, and those without the answer."""

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
    """A rule with the threshold of this index, and how well it does; the same rule where too few questions can be made.

    Args:
        answerer: of the index.
        table: of the index.
        rule: whose weights are used.
        seed: of what is drawn.
        count: questions wanted.
        seconds: from which no further question is asked, once there are enough.
        progress: is shown how far it is.
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
    """Both probabilities of a question; empty where the search does not find its passage."""
    prepared = answerer.prepare(Question(text=question, groups=NOBODY))
    hidden = _without(prepared, made)
    if len(hidden.passages) == len(prepared.passages):
        return []
    return [_Probabilities(there=rule.probability(prepared.fit), hidden=rule.probability(answerer.look_at(hidden).fit))]


def _without(prepared: PreparedQuestion, made: MadeQuestion) -> PreparedQuestion:
    """The question without the document that answers; without its answering chunks where no other was found."""
    others = tuple(one for one in prepared.passages if one.chunk.document != made.document)
    if not others:
        others = tuple(one for one in prepared.passages if one.chunk.end <= made.start or made.end <= one.chunk.start)
    return replace(prepared, passages=others)


def _vocabulary(made: Sequence[MadeQuestion]) -> list[str]:
    return sorted({word for one in made for word in _content(one.question)})


def _content(question: str) -> list[str]:
    return [word for word in runs(question) if word.casefold() not in COMMON_WORDS]


def _blurred(question: str, words: Sequence[str], draw: random.Random) -> str:
    """A question with some of its words replaced by other questions' words."""
    replaced = {word for word in _content(question) if draw.random() < _REPLACED}
    return " ".join(draw.choice(words) if word.strip("?.,;:") in replaced else word for word in question.split())


def _threshold(found: Sequence[_Probabilities]) -> float:
    return float(np.clip(np.quantile([one.there for one in found], _HELD_BACK), _LOWEST, _HIGHEST))


def _measured(found: Sequence[_Probabilities]) -> tuple[float, float]:
    """Precision and recall of holding back, each half of the questions by the threshold of the other half."""
    rightly = wrongly = missed = 0
    for mine, others in ((found[::2], found[1::2]), (found[1::2], found[::2])):
        threshold = _threshold(others)
        wrongly += sum(one.there < threshold for one in mine)
        rightly += sum(one.hidden < threshold for one in mine)
        missed += sum(one.hidden >= threshold for one in mine)
    held_back = rightly + wrongly
    return (rightly / held_back if held_back else 1.0), rightly / max(1, rightly + missed)
