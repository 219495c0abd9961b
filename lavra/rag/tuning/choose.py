"""Choose a setup.

The best mean on a hundred questions is partly luck, so the simplest setup is chosen whose gain is within one standard
error of the best setup's (Breiman et al. 1984, section 3.4.3); the error is of the paired difference, question by
question.  Simplest means: the index's own way of cutting before others, and both arms before one.

Questions made by rule share words with their answers.  They cannot measure the worth of a search by meaning to
people, who use other words; so where all questions are made by rule, both arms stay on unless one is clearly worse, by
two standard errors.  A point is within the error in any case: a smaller gain does not justify cutting an index anew.

A reranker costs far more time than the rest of a search.  It is chosen where it likely adds two points of nDCG@10:
where the mean difference less its standard error is at least 0.02.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lavra.base.arrays import Float64s
from lavra.rag.questions.question import QuestionKind
from lavra.rag.tuning.config import Search
from lavra.rag.tuning.trial import Trial
from lavra.text.chunking.config import ChunkConfig

LEAST_RERANK_GAIN: Final = 0.02
_POINT: Final = 0.01
_BY_RULE: Final = {QuestionKind.BLANK, QuestionKind.DEFINITION, QuestionKind.HEADING, QuestionKind.TOPIC}
_SIMPLE_FIRST: Final = (Search.HYBRID, Search.WEIGHTED, Search.WORDS, Search.DENSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupChoice:
    """The chosen setup, and the reasons.

    Attributes:
        trial: result of the chosen setup.
        best: result of the setup with the best mean.
        reasons: grounds of the choice, a sentence each.
    """

    trial: Trial
    best: Trial
    reasons: tuple[str, ...]


def choose(trials: Sequence[Trial], current: ChunkConfig, kinds: Sequence[QuestionKind]) -> SetupChoice:
    """Choose the setup.

    Args:
        trials: results on the same questions; at least one without a reranker.
        current: the way the index is cut now.
        kinds: origins of the questions.
    """
    plain = [trial for trial in trials if not trial.setup.reranked]
    best = max(plain, key=lambda trial: float(trial.gains().mean()))
    by_rule = set(kinds) <= _BY_RULE
    near = [trial for trial in plain if _is_near(trial, best, 2.0 if by_rule and _has_both(trial) else 1.0)]
    taken = min(near, key=lambda trial: _cost(trial, current, best))
    reasons = [_why(taken, best)]
    if by_rule:
        reasons.append(
            "all questions were made by rule and share words with their answers, which favours bm25: check with "
            "questions of your own (--questions FILE)"
        )
    reranked = [trial for trial in trials if trial.setup == replace(taken.setup, reranked=True)]
    if reranked:
        mean, error = _mean_and_error(reranked[0].rank_gains() - taken.rank_gains())
        on = mean - error >= LEAST_RERANK_GAIN
        reasons.append(
            f"reranking is {'on' if on else 'off'}: it adds {100 * mean:+.1f} points of nDCG@10 (standard error "
            f"{100 * error:.1f}), and {100 * LEAST_RERANK_GAIN:.0f} beyond the error are asked for"
        )
        taken = reranked[0] if on else taken
    return SetupChoice(trial=taken, best=best, reasons=tuple(reasons))


def _has_both(trial: Trial) -> bool:
    return trial.setup.search in (Search.HYBRID, Search.WEIGHTED)


def _cost(trial: Trial, current: ChunkConfig, best: Trial) -> tuple[object, ...]:
    """The cost of a setup, its weightiest part first; among other ways of cutting, the best trial's comes first."""
    chunking = trial.setup.chunking
    return (
        chunking != current,
        chunking != best.setup.chunking,
        _SIMPLE_FIRST.index(trial.setup.search),
        -float(trial.gains().mean()),
    )


def _is_near(trial: Trial, best: Trial, errors: float) -> bool:
    mean, error = _difference(best, trial)
    return mean <= max(errors * error, _POINT)


def _difference(first: Trial, second: Trial) -> tuple[float, float]:
    """The mean and standard error of the first trial's gain over the second, question by question."""
    return _mean_and_error(first.gains() - second.gains())


def _mean_and_error(apart: Float64s) -> tuple[float, float]:
    return float(apart.mean()), float(np.std(apart, ddof=1) / math.sqrt(len(apart))) if len(apart) > 1 else 0.0


def _why(taken: Trial, best: Trial) -> str:
    if taken is best:
        return "the setup has the best mean gain"
    mean, error = _difference(best, taken)
    return (
        f"the setup is the simplest near the best one, which gains {100 * mean:.1f} points more (standard error "
        f"{100 * error:.1f})"
    )
