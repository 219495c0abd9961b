"""Wrong items: which count, what is kept of them, and the calibration of choices' probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lavra.evaluation.calibration import calibration_of, choice_probabilities
from lavra.evaluation.failures import failures_of, is_wrong
from lavra.evaluation.items import EvalItem, ItemScore, OutputType, Response, ScoredPair, Unscored


def choice(doc_id: int, logprobs: tuple[float, ...], gold: Any, **more: Any) -> ItemScore:
    names = tuple("ABCD"[: len(logprobs)])
    pairs = tuple(ScoredPair(context=f"question {doc_id}", continuation=f" {name}") for name in names)
    item = EvalItem(
        task="t", doc_id=doc_id, document={}, kind=OutputType.MULTIPLE_CHOICE, pairs=pairs, choices=names, gold=gold
    )
    return ItemScore(item=item, response=Response(logprobs=logprobs, **more), chosen=int(np.argmax(logprobs)))


def written(value: Any, text: str = "wrong", gold: Any = "right") -> ItemScore:
    item = EvalItem(task="t", doc_id=3, document={}, kind=OutputType.GENERATE_UNTIL, prompt="p", gold=gold)
    return ItemScore(item=item, response=Response(texts=(text,)), values={("none", "exact_match"): value})


def test_a_choice_is_wrong_where_the_likeliest_is_not_right() -> None:
    assert is_wrong(choice(0, (-1.0, -2.0), 1))
    assert not is_wrong(choice(0, (-1.0, -2.0), 0))
    assert not is_wrong(choice(0, (-1.0, -2.0), (0, 1)))
    assert not is_wrong(choice(0, (-1.0, -2.0), 1, unscored=Unscored.TOO_LONG))


@pytest.mark.parametrize(("value", "wrong"), [(0.0, True), (1.0, False), (0.4, False), (("gold", "text"), False)])
def test_a_written_answer_is_wrong_where_its_scores_are_zero(value: Any, wrong: bool) -> None:
    assert is_wrong(written(value)) is wrong


def test_a_perplexity_knows_no_wrong_item() -> None:
    assert not is_wrong(written(-12.5))
    assert not is_wrong(written((-12.5, 4)))


def test_failures_are_the_first_ones_and_all_are_counted() -> None:
    scores = [choice(number, (-1.0, -2.0, -3.0), number % 2) for number in range(50)]
    kept, number = failures_of(scores, most=3)
    assert number == 25
    assert [one.doc_id for one in kept] == [1, 3, 5]
    assert (kept[0].prompt, kept[0].choices) == ("question 1", ("A", "B", "C"))
    assert (kept[0].expected, kept[0].answer) == ("B", "A")
    ((one,), _) = failures_of([written(0.0, gold=("right", "also right"))])
    assert (one.expected, one.answer, one.choices) == ("right | also right", "wrong", ())


def test_probabilities_are_the_softmax_of_the_choices_alone() -> None:
    found = choice_probabilities(choice(0, (math.log(0.6), math.log(0.2)), 0))
    assert found == pytest.approx([0.75, 0.25])


def test_calibration_is_what_a_plain_count_gives() -> None:
    """A model that is always 75 % sure, and right six times of ten."""
    scores = [choice(number, (math.log(0.75), math.log(0.25)), int(number >= 6)) for number in range(10)]
    found = calibration_of(scores)
    assert found is not None
    assert found.num_items == 10
    assert found.error == pytest.approx(0.75 - 0.6)
    assert found.brier == pytest.approx(0.6 * 2 * 0.25**2 + 0.4 * 2 * 0.75**2)
    assert [(one.confidence, one.accuracy, one.count) for one in found.points] == [(pytest.approx(0.75), 0.6, 10)]


def test_items_of_different_numbers_of_choices_and_unscored_ones() -> None:
    scores = [
        choice(0, (0.0, 0.0), 0),
        choice(1, (0.0, 0.0, 0.0, 0.0), 1),
        choice(2, (0.0, -1.0), (0, 1)),
        choice(3, (0.0, 0.0), 0, unscored=Unscored.NO_LOGPROBS),
        written(0.0),
    ]
    found = calibration_of(scores)
    assert found is not None
    assert found.num_items == 2
    assert found.brier == pytest.approx((0.5 + 0.75) / 2)
    assert calibration_of([written(0.0)]) is None
