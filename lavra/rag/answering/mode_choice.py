"""Decide whether a model's answers are better than quotations, on questions made from the index.

Both answer the same questions, made by rule from documents that everybody may read.  The F1 of their words with the
known answers is compared (Rajpurkar et al. 2016), each by the few words of its first sentence that have the wanted
shape.  Quoting wins a draw, because it cannot state anything that no document states.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lavra.base.errors import InputError
from lavra.base.ports import Progress, silent
from lavra.base.retrieval import Answer, AnswerMode, Question
from lavra.metrics.answers import answer_f1
from lavra.rag.answering.answerer import DocumentAnswerer, NoRoomError
from lavra.rag.answering.public_chunks import NOBODY, PublicChunks
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import MadeQuestion, QuestionKind
from lavra.text.function_words import english_or_portuguese

NUM_QUESTIONS: Final = 40
_FEWEST: Final = 8  # least number of questions for a decision
_CLEAR: Final = 3.0  # standard errors of the mean difference from which more questions would change nothing
_SHORT: Final = (QuestionKind.BLANK, QuestionKind.DEFINITION, QuestionKind.WRITTEN)  # answers of a few words
_MAX_TOKENS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChoice:
    """The mode of answering questions to an index, and its reason.

    Attributes:
        model: name of the model that was compared.
        generated: mean F1 of the model's answers, from 0 to 1.
        quoted: mean F1 of quoting.
        num_questions: number of questions asked; 0 where no questions could be made.
        no_room: whether the model's context had no room for a passage in any of them.
    """

    model: str
    generated: float
    quoted: float
    num_questions: int
    no_room: bool = False

    @property
    def mode(self) -> AnswerMode:
        """The mode that scored better."""
        return AnswerMode.GENERATED if self.generated > self.quoted else AnswerMode.EXTRACTIVE

    @property
    def reason(self) -> str:
        """The reason of the mode, in a sentence."""
        if not self.num_questions:
            return f"{self.mode.value}: no questions could be made from this index to compare {self.model} with quoting"
        if self.no_room:
            return f"{self.mode.value}: the context of {self.model} has no room for a passage beside an answer"
        return (
            f"{self.mode.value}: {self.model} scored {self.generated:.2f} F1, quoting {self.quoted:.2f} on "
            f"{self.num_questions} questions made from this index"
        )

    def to_json(self) -> dict[str, Any]:
        """The choice as plain data, for a card."""
        return {
            "model": self.model,
            "generated": self.generated,
            "quoted": self.quoted,
            "num_questions": self.num_questions,
            "no_room": self.no_room,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModeChoice:
        """Read the choice from a card's data.

        Raises:
            InputError: the data has other fields than these.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"the card's choice of mode cannot be read ({error}); choose again") from error


def choose_mode(
    answerer: DocumentAnswerer,
    table: ChunkTable,
    model: str,
    *,
    seed: int = 0,
    count: int = NUM_QUESTIONS,
    seconds: float = 180.0,
    progress: Progress = silent,
) -> ModeChoice:
    """Answer questions in both modes until the difference is clear, the questions are used up or the time is over.

    A question that leaves the model no room for a passage counts as answered wrong.

    Args:
        answerer: answers questions to the index; it has a writer.
        table: the chunk table of the index.
        model: name of the writer's model.
        seed: decides the random choices.
        count: number of questions wanted.
        seconds: time after which no further question is asked, once there are eight.
        progress: shows how far the comparison is.
    """
    made = [one for one in make_questions(PublicChunks(table), count=3 * count, seed=seed) if one.kind in _SHORT]
    asked = made[:count]
    pairs: list[tuple[float, float]] = []
    without_room = 0
    ends = time.monotonic() + seconds
    for number, one in enumerate(asked, start=1):
        try:
            generated = _f1(answerer, one, AnswerMode.GENERATED)
        except NoRoomError:
            generated, without_room = 0.0, without_room + 1
        pairs.append((generated, _f1(answerer, one, AnswerMode.EXTRACTIVE)))
        progress(
            "choosing how to answer",
            number,
            len(asked),
            f"{model} {_mean(pairs, 0):.2f}, quoting {_mean(pairs, 1):.2f}",
        )
        if number >= _FEWEST and (_is_clear(pairs) or time.monotonic() > ends):
            break
    return ModeChoice(
        model=model,
        generated=_mean(pairs, 0),
        quoted=_mean(pairs, 1),
        num_questions=len(pairs),
        no_room=0 < without_room == len(pairs),
    )


def _f1(answerer: DocumentAnswerer, made: MadeQuestion, mode: AnswerMode) -> float:
    answer = answerer.answer(Question(text=made.question, groups=NOBODY, mode=mode, max_tokens=_MAX_TOKENS))
    language = english_or_portuguese(made.question) or "en"
    return 0.0 if answer.abstained else answer_f1(_few_words(answerer, made, answer), made.answer, language)


def _few_words(answerer: DocumentAnswerer, made: MadeQuestion, answer: Answer) -> str:
    if answer.short is not None:
        return answer.short.text
    first = answer.sentences[0].text
    return answerer.shortened(made.question, first) or first


def _mean(pairs: Sequence[tuple[float, float]], side: int) -> float:
    return round(math.fsum(pair[side] for pair in pairs) / len(pairs), 4) if pairs else 0.0


def _is_clear(pairs: Sequence[tuple[float, float]]) -> bool:
    apart = np.array([one - other for one, other in pairs])
    error = float(apart.std(ddof=1)) / math.sqrt(len(apart))
    return abs(float(apart.mean())) > max(_CLEAR * error, 0.1)
