"""Attention checks: planted items whose right judgement is known, since the shown answer states it.

Such instructed items (Meade and Craig 2012, "Identifying careless responses in survey data") look like the other items;
an annotator who reads them passes.  An annotator who fails a check is reported with their ratings, and never dropped in
silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.items import ItemKind, Judgement, StudyItem
from lavra.evaluation.human.votes import Winner

CHECK_MODEL: Final = "(attention check)"


def planted_items(
    answers: Sequence[ModelAnswer], kind: ItemKind, scales: Sequence[str], *, count: int, first: int, draw: Random
) -> list[StudyItem]:
    """Make checks of one kind, each under a prompt of the study.

    Args:
        answers: answers of the study.
        kind: kind of the checks.
        scales: names of the scales on which answers are rated.
        count: number of checks.
        first: item number of the first check.
        draw: random generator that chooses prompts and right answers.
    """
    make = _rating_check if kind is ItemKind.RATING else _pair_check
    return [make(draw.choice(answers), scales, first + index, draw) for index in range(count)]


def _rating_check(under: ModelAnswer, scales: Sequence[str], number: int, draw: Random) -> StudyItem:
    step = draw.choice((1, 2, 4))
    return StudyItem(
        number=number,
        kind=ItemKind.RATING,
        question_id=f"check-{number}",
        prompt=under.prompt,
        model_a=CHECK_MODEL,
        answer_a=f"This text checks that answers are read. Please choose {step} for every question about it.",
        expected=dict.fromkeys(scales, step),
    )


def _pair_check(under: ModelAnswer, _: Sequence[str], number: int, draw: Random) -> StudyItem:
    winner = draw.choice((Winner.MODEL_A, Winner.MODEL_B))
    texts = ["This text checks that answers are read. Please choose the other one.", "Please choose this text."]
    first, second = texts if winner is Winner.MODEL_B else reversed(texts)
    return StudyItem(
        number=number,
        kind=ItemKind.PAIR,
        question_id=f"check-{number}",
        prompt=under.prompt,
        model_a=CHECK_MODEL,
        answer_a=first,
        model_b=CHECK_MODEL,
        answer_b=second,
        expected_winner=winner,
    )


def passed(item: StudyItem, judgement: Judgement) -> bool:
    """Whether a check was judged as its text asks; a skipped check was not."""
    if item.kind is ItemKind.PAIR:
        return judgement.winner is item.expected_winner
    return dict(judgement.ratings) == dict(item.expected)
