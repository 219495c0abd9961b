"""Scores of questions with several right answer options, each judged by itself: MultiRC (Khashabi et al. 2018).

SuperGLUE (Wang et al. 2019) reports F1a, the F1 of "this option is right" over all options of all questions, and exact
match, the share of questions all of whose options are judged right.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.errors import InputError
from lavra.metrics.classification import f1
from lavra.metrics.intervals import Bools


@dataclass(frozen=True, kw_only=True)
class AnswerOptionScores:
    """How well options are judged.

    Attributes:
        f1a: F1 of the right options, over all options.
        exact_match: share of questions with every option judged right.
        exact_by_question: (Q,) of each question, in the order of their first options.
    """

    f1a: float
    exact_match: float
    exact_by_question: Float64s


def answer_option_scores(
    questions: Sequence[Hashable], expected: Sequence[bool], predicted: Sequence[bool]
) -> AnswerOptionScores:
    """Scores of answer options.

    Args:
        questions: (N,) which question each option belongs to, by anything that names it.
        expected: (N,) whether each option is right.
        predicted: (N,) whether it was judged to be.

    Raises:
        InputError: there are no options, or the lengths differ.
    """
    if not len(questions) == len(expected) == len(predicted):
        raise InputError(
            f"{len(questions)} options have {len(expected)} truths and {len(predicted)} predictions; give one for each"
        )
    if not questions:
        raise InputError("there are no answer options to score; give at least 1")
    truth: Bools = np.array(expected, dtype=np.bool_)
    answers: Bools = np.array(predicted, dtype=np.bool_)
    all_right = dict.fromkeys(questions, True)
    for question, same in zip(questions, truth == answers, strict=True):
        all_right[question] &= bool(same)
    exact = np.array(list(all_right.values()), dtype=np.float64)
    return AnswerOptionScores(
        f1a=f1(float((truth & answers).sum()), float(answers.sum()), float(truth.sum()))[2],
        exact_match=float(exact.mean()),
        exact_by_question=exact,
    )
