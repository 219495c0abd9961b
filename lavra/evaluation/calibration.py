"""Calibration of a model's probabilities of choices: of the items it is 80 % sure of, 80 % should be right.

The probabilities of an item are the softmax of its choices' log-likelihoods, as lm-evaluation-harness' `brier_score`
takes them; `lavra.metrics.calibration` counts.  Items with several right choices are left out: these choices share the
probability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lavra.base.arrays import Float64s
from lavra.evaluation.items import ItemScore, OutputType
from lavra.evaluation.results import Calibration, CalibrationPoint
from lavra.metrics.calibration import brier_score, expected_calibration_error, reliability
from lavra.metrics.probabilities import softmax


def calibration_of(scores: Sequence[ItemScore]) -> Calibration | None:
    """Compare confidence with accuracy over the multiple-choice items of a task; `None` if there are none.

    Args:
        scores: the item scores of a task.
    """
    kept = [one for one in scores if _has_choice(one)]
    if not kept:
        return None
    chances = [choice_probabilities(one) for one in kept]
    confidences = np.array([each.max() for each in chances])
    right = np.array([each.argmax() == one.item.gold for each, one in zip(chances, kept, strict=True)])
    briers = [brier_score(np.array([one.item.gold]), each[None]) for each, one in zip(chances, kept, strict=True)]
    return Calibration(
        error=expected_calibration_error(confidences, right),
        brier=float(np.mean(briers)),
        points=tuple(
            CalibrationPoint(confidence=one.confidence, accuracy=one.accuracy, count=one.count)
            for one in reliability(confidences, right)
            if one.count
        ),
        num_items=len(kept),
    )


def choice_probabilities(score: ItemScore) -> Float64s:
    """(C,) probability of each choice of a multiple-choice item, from the choices' log-likelihoods."""
    logprobs = np.array(score.response.logprobs[: len(score.item.choices)], dtype=np.float64)
    return np.minimum(softmax(logprobs), 1.0)


def _has_choice(score: ItemScore) -> bool:
    return (
        score.item.kind is OutputType.MULTIPLE_CHOICE
        and score.response.unscored is None
        and isinstance(score.item.gold, int)
        and len(score.response.logprobs) >= len(score.item.choices) > 1
    )
