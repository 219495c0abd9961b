"""Exact match and F1 of answers, as the official SQuAD scripts count them.

An answer is compared with every reference and its best score counts.  Both are written in small letters without
punctuation and articles first (Rajpurkar et al. 2016).  SQuAD 2.0 (2018) adds passages without an answer, where the
empty answer is the right one.  Articles are the language's; outside English, punctuation is Unicode's, as in MLQA
(Lewis et al. 2019), because `«` and `—` are not ASCII.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.metrics.intervals import LEVEL, RESAMPLES, Bools, Interval, score_intervals

ARTICLES: Mapping[str, tuple[str, ...]] = {
    "en": ("a", "an", "the"),
    "es": ("un", "una", "unos", "unas", "el", "la", "los", "las"),
    "pt": ("o", "a", "os", "as", "um", "uma", "uns", "umas"),
}
_ASCII_PUNCTUATION = frozenset(string.punctuation)


class SquadVersion(Enum):
    """The version of the script; the two differ where an answer is empty."""

    V1 = "1.1"  # the F1 of two empty answers is 0
    V2 = "2.0"  # an empty answer is right where there is none, and wrong elsewhere


def normal_answer(text: str, language: str = "en") -> str:
    """An answer without case, punctuation, articles and blanks, which do not count.

    Raises:
        ConfigError: no articles are listed for the language.
    """
    if language not in ARTICLES:
        raise ConfigError(f"language is {language!r}, whose articles are not known{nearest(language, ARTICLES)}")
    letters = "".join(one for one in text.lower() if not _is_punctuation(one, language))
    return " ".join(re.sub(rf"\b({'|'.join(ARTICLES[language])})\b", " ", letters).split())


def _is_punctuation(character: str, language: str) -> bool:
    if character in _ASCII_PUNCTUATION:
        return True
    return language != "en" and unicodedata.category(character).startswith("P")


def exact_match(predicted: str, expected: str, language: str = "en") -> float:
    """1 where the answers are the same once written alike, else 0."""
    return float(normal_answer(predicted, language) == normal_answer(expected, language))


def answer_f1(predicted: str, expected: str, language: str = "en", version: SquadVersion = SquadVersion.V2) -> float:
    """F1 of the words two answers share."""
    found, wanted = normal_answer(predicted, language).split(), normal_answer(expected, language).split()
    if version is SquadVersion.V2 and not (found and wanted):
        return float(found == wanted)
    shared = (Counter(found) & Counter(wanted)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(found), shared / len(wanted)
    return 2.0 * precision * recall / (precision + recall)


@dataclass(frozen=True, kw_only=True)
class AnswerScores:
    """Scores of answered questions.

    Attributes:
        exact_match: mean over the questions, 0 to 1 (the scripts print percents).
        f1: mean over the questions.
        exact_by_question: (N,) of each question.
        f1_by_question: (N,) of each question.
        has_answer: (N,) True where the passage has one.
    """

    exact_match: float
    f1: float
    exact_by_question: Float64s
    f1_by_question: Float64s
    has_answer: Bools

    def to_values(self) -> dict[str, float]:
        """The scores by name; those of questions with and without an answer apart where there are both."""
        found = {"exact_match": self.exact_match, "f1": self.f1}
        if self.has_answer.all() or not self.has_answer.any():
            return found
        for name, taken in (("has_answer", self.has_answer), ("no_answer", ~self.has_answer)):
            found[f"{name}_exact_match"] = float(self.exact_by_question[taken].mean())
            found[f"{name}_f1"] = float(self.f1_by_question[taken].mean())
        return found


def answer_scores(
    predicted: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    language: str = "en",
    version: SquadVersion = SquadVersion.V2,
) -> AnswerScores:
    """Scores of answers.

    Args:
        predicted: an answer for each question; empty means that the passage has no answer.
        references: every answer people gave to each question; none where the passage has none.
        language: the language whose articles do not count.
        version: the version of the script.

    Raises:
        ConfigError: the language is unknown.
        InputError: there are no questions, the numbers differ, or version 1.1 meets a question without an answer.
    """
    if len(predicted) != len(references):
        raise InputError(f"{len(references)} questions have {len(predicted)} predictions; give one for each")
    if not predicted:
        raise InputError("there are no questions to score; give at least 1")
    exact, f1s, has_answer = [], [], []
    for number, (answer, given) in enumerate(zip(predicted, references, strict=True), start=1):
        wanted = list(given)
        if version is SquadVersion.V2:
            wanted = [one for one in given if normal_answer(one, language)] or [""]
        elif not wanted:
            raise InputError(f"question {number} has no answer; score it as SQuAD 2.0")
        exact.append(max(exact_match(answer, one, language) for one in wanted))
        f1s.append(max(answer_f1(answer, one, language, version) for one in wanted))
        has_answer.append(bool(given))
    exact_array, f1_array = np.array(exact, dtype=np.float64), np.array(f1s, dtype=np.float64)
    return AnswerScores(
        exact_match=float(exact_array.mean()),
        f1=float(f1_array.mean()),
        exact_by_question=exact_array,
        f1_by_question=f1_array,
        has_answer=np.array(has_answer, dtype=np.bool_),
    )


def answer_intervals(
    scores: AnswerScores, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap intervals of the two means, questions drawn again; arguments as in `score_intervals`."""
    exact, f1s = scores.exact_by_question, scores.f1_by_question
    return score_intervals(
        lambda taken: {"exact_match": float(exact[taken].mean()), "f1": float(f1s[taken].mean())},
        len(exact),
        resamples=resamples,
        level=level,
        seed=seed,
    )


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Above which doubt it is best to give no answer.

    Attributes:
        score: the mean that is reached there.
        doubt: answers with more doubt than this are held back; minus infinity holds all of them back.
    """

    score: float
    doubt: float


def best_threshold(scores: Float64s, doubts: Float64s, has_answer: Bools) -> Threshold:
    """The threshold of doubt that gives the best mean, found by looking at the truth: an upper bound (SQuAD 2.0).

    Unlike the official script it never parts questions of equal doubt, which no threshold can.

    Args:
        scores: (N,) exact match or F1 of each question if its answer is given.
        doubts: (N,) the model's doubt, higher where it takes "no answer" for likelier; any scale.
        has_answer: (N,) whether the passage has one; holding back is right where it has none.

    Raises:
        InputError: the lengths differ or there are no questions.
    """
    if not len(scores) == len(doubts) == len(has_answer) or not len(scores):
        raise InputError(f"{len(scores)} scores have {len(doubts)} doubts; give one for each question, at least 1")
    order = np.argsort(doubts, kind="stable")
    held_back = 1.0 - has_answer[order]
    # reached[n] is the sum when the n surest answers are given and the others held back.
    reached = held_back.sum() + np.concatenate([[0.0], np.cumsum(scores[order] - held_back)])
    rising = np.concatenate([[-np.inf], doubts[order]])
    possible = np.append(rising[1:] > rising[:-1], True)
    best = int(np.argmax(np.where(possible, reached, -np.inf)))
    return Threshold(score=float(reached[best] / len(scores)), doubt=float(rising[best]))
