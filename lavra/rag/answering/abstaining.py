"""Decide whether the documents have an answer at all, by how well the best passages fit the question.

A logistic regression on four features, each from 0 to 1: how many of the question's words, by rarity, stand in and
around the best sentence; how many stand in the passages at all; BM25's score of the best passage, divided by the most
it could be; and how near the best sentence is in meaning.  Its weights and threshold are calibrated for each index on
questions made from the index, and on the same questions with the documents that answer them hidden (`calibrating.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.retrieval import Passage
from lavra.rag.answering.ranking import RankedSentence
from lavra.rag.answering.rarity import AskedWord, Rarity
from lavra.rag.words import Analyzer
from lavra.text.function_words import english_or_portuguese

_BEST: Final = 3  # number of ranked sentences, the best of which gives a feature's value


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageFit:
    """The fit of passages to a question; each number is from 0 to 1.

    Attributes:
        sentence: share of the question's words, by rarity, in and around the best sentence.
        passages: share in all passages together.
        words: BM25's score of the best passage, divided by the most it could be.
        meaning: cosine of the best sentence and the question; 0 without an embedder.
    """

    sentence: float
    passages: float
    words: float
    meaning: float

    def values(self) -> tuple[float, ...]:
        """The features in the order of their fields."""
        return (self.sentence, self.passages, self.words, self.meaning)


FEATURES: Final = tuple(one.name for one in fields(PassageFit))


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstentionRule:
    """The rule that decides when an answer is held back.

    Attributes:
        weights: factor of each feature, by name.
        bias: number added to the weighted features.
        threshold: probability that the documents have an answer, under which the answer is held back.
        precision: share of the held-back answers that were rightly held back, on questions the rule was not fitted to.
        recall: share of the questions without an answer that were held back.
        num_questions: number of questions that the rule was fitted to; 0 for the usual rule.
    """

    weights: Mapping[str, float]
    bias: float
    threshold: float = 0.5
    precision: float | None = None
    recall: float | None = None
    num_questions: int = 0

    def __post_init__(self) -> None:
        if set(self.weights) != set(FEATURES):
            raise InputError(f"the weights are of {sorted(self.weights)}, not of {sorted(FEATURES)}; calibrate again")

    def probability(self, fit: PassageFit) -> float:
        """The probability that the documents have an answer."""
        total = self.bias + math.fsum(
            self.weights[name] * value for name, value in zip(FEATURES, fit.values(), strict=True)
        )
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))

    def holds_back(self, fit: PassageFit) -> bool:
        """Whether the answer is held back."""
        return self.probability(fit) < self.threshold

    def to_json(self) -> dict[str, Any]:
        """The rule as plain data, for a card."""
        return asdict(self) | {"weights": dict(self.weights)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AbstentionRule:
        """Read the rule from a card's data.

        Raises:
            InputError: the data has other fields than these.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"the card's rule of abstention cannot be read ({error}); calibrate again") from error


def usual_rule(*, has_meaning: bool) -> AbstentionRule:
    """The rule of an index that was not calibrated.

    Fitted to 150 questions each of XQuAD (English) and FaQuAD (Portuguese), drawn from every second one, with their
    documents and with these hidden, and to questions of the other set.  The other half of the questions is measured
    by `benchmarks/retrieval_answers.py`.

    Args:
        has_meaning: whether there is an embedder.
    """
    if has_meaning:
        weights = {"sentence": 4.37, "passages": 0.57, "words": 1.77, "meaning": 4.97}
        return AbstentionRule(weights=weights, bias=-6.2, threshold=0.25)
    weights = {"sentence": 5.01, "passages": 1.17, "words": 3.96, "meaning": 0.0}
    return AbstentionRule(weights=weights, bias=-4.49, threshold=0.2)


def measure_fit(
    asked: Sequence[AskedWord],
    passages: Sequence[Passage],
    ranked: Sequence[RankedSentence],
    *,
    analyzer: Analyzer,
    rarity: Rarity,
) -> PassageFit:
    """Measure how well passages fit a question.

    Args:
        asked: the question's words, analysed.
        passages: results of the search, the best first.
        ranked: their sentences, the best first.
        analyzer: turns texts into terms.
        rarity: the weights of words.
    """
    best = ranked[:_BEST]
    there = {
        term for one in passages for term in analyzer.words(one.chunk.text, str(one.chunk.meta.get("language", "")))
    }
    most = math.fsum(rarity.weight(word) for word in asked)
    words = max((one.scores.get("bm25", 0.0) for one in passages), default=0.0)
    return PassageFit(
        sentence=max((one.coverage for one in best), default=0.0),
        passages=rarity.coverage(asked, there),
        words=min(1.0, words / (2.2 * most)) if most else 0.0,  # k1 + 1 times the words' weights bounds BM25
        meaning=max((one.meaning for one in best), default=0.0),
    )


def abstention(question: str) -> str:
    """The sentence that reports that the documents have no answer, in the question's language."""
    return "Os documentos não dizem." if english_or_portuguese(question) == "pt" else "The documents do not say."


def abstains(text: str) -> bool:
    """Whether a model's text reports that the passages have no answer."""
    plain = " ".join(text.casefold().split())
    return any(phrase in plain for phrase in _PHRASES)


_PHRASES: Final = (
    "documents do not say",
    "documents don't say",
    "passages do not say",
    "passages do not have the answer",
    "passages don't have the answer",
    "not in the passages",
    "not mentioned in the passages",
    "passages do not mention",
    "passages do not contain",
    "passages do not provide",
    "documentos não dizem",
    "trechos não dizem",
    "não está nos trechos",
    "não está nos documentos",
)
