"""The wrongly answered items of a task, so that a reader can follow a score down to prompt and answer.

A multiple-choice item is wrong if the likeliest choice is not the right choice.  Any other item is wrong if all its
scores that are plain numbers from 0 to 1 are 0.  Perplexities and corpus-level scores (BLEU) have no wrong items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lavra.evaluation.items import EvalItem, Gold, ItemScore, OutputType
from lavra.evaluation.results import Failure

MOST_FAILURES: Final = 24
"""Most failures of a task that a result keeps."""


def failures_of(scores: Sequence[ItemScore], most: int = MOST_FAILURES) -> tuple[tuple[Failure, ...], int]:
    """The first wrong answers of a task, and the number of all its wrong answers.

    Args:
        scores: the item scores of a task, in order.
        most: most failures that are kept.
    """
    wrong = [one for one in scores if is_wrong(one)]
    return tuple(_failure(one) for one in wrong[:most]), len(wrong)


def is_wrong(score: ItemScore) -> bool:
    """Whether an item has an answer and the answer is wrong."""
    if score.response.unscored is not None:
        return False
    if score.item.kind is OutputType.MULTIPLE_CHOICE:
        return score.chosen is not None and not _is_gold(score.chosen, score.item.gold)
    numbers = [value for value in score.values.values() if isinstance(value, int | float)]
    shares = [value for value in numbers if 0 <= value <= 1]
    return bool(shares) and max(shares) == 0


def _is_gold(chosen: int, gold: Gold) -> bool:
    return chosen in gold if isinstance(gold, tuple) else chosen == gold


def _failure(score: ItemScore) -> Failure:
    item = score.item
    return Failure(
        doc_id=item.doc_id,
        prompt=item.prompt or (item.pairs[0].context if item.pairs else ""),
        choices=item.choices if item.kind is OutputType.MULTIPLE_CHOICE else (),
        expected=_expected(item),
        answer=_answer(score),
    )


def _expected(item: EvalItem) -> str:
    golds = item.gold if isinstance(item.gold, tuple) else (item.gold,)
    if item.kind is OutputType.LOGLIKELIHOOD and item.pairs:
        return item.pairs[0].continuation
    named = [item.choices[gold] if isinstance(gold, int) and gold < len(item.choices) else str(gold) for gold in golds]
    return " | ".join(named)


def _answer(score: ItemScore) -> str:
    if score.item.kind is OutputType.MULTIPLE_CHOICE and score.chosen is not None:
        return score.item.choices[score.chosen]
    if score.item.kind is OutputType.LOGLIKELIHOOD:
        return "greedy decoding writes something else"
    return score.response.texts[0] if score.response.texts else ""
