"""What one annotator is shown at a time, and what they say to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lavra.evaluation.human.votes import Winner


class ItemKind(Enum):
    """What is asked about."""

    RATING = "rating"  # one answer, on scales
    PAIR = "pair"  # two answers to one prompt, side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyItem:
    """One thing to judge.

    Attributes:
        number: within the study, from 1.
        kind: what is asked about it.
        question_id: of the prompt.
        prompt: what the models were asked.
        model_a: whose answer it is; of a pair, the one whose name sorts first.
        answer_a: what it wrote.
        model_b: PAIR: the other model.
        answer_b: PAIR: what that wrote.
        reference: a text to judge the answer's truth by, or empty.
        expected: of an attention check: the ratings an attentive annotator gives, by scale.
        expected_winner: of an attention check that is a pair: the vote of an attentive annotator.
    """

    number: int
    kind: ItemKind
    question_id: str
    prompt: str
    model_a: str
    answer_a: str
    model_b: str = ""
    answer_b: str = ""
    reference: str = ""
    expected: Mapping[str, int] = field(default_factory=dict)
    expected_winner: Winner | None = None

    @property
    def is_check(self) -> bool:
        """Whether it is planted to see that answers are read."""
        return bool(self.expected) or self.expected_winner is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """An item in the order of one annotator.

    Attributes:
        annotator: number of the annotator, from 1.
        place: in their order, from 1.
        item: number of the item.
        swapped: PAIR: `model_b`'s answer is shown first.
    """

    annotator: int
    place: int
    item: int
    swapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What an annotator says about an item.

    Attributes:
        ratings: RATING: 1 to 5 by scale; `None` is `cannot tell`.
        winner: PAIR: whose answer is better.
        skipped: the annotator does not want to judge it.
        comment: of the annotator.
        seconds: the item was looked at.
        done: the annotator has gone on; what is not done is a draft and counts nowhere.
    """

    ratings: Mapping[str, int | None] = field(default_factory=dict)
    winner: Winner | None = None
    skipped: bool = False
    comment: str = ""
    seconds: float = 0.0
    done: bool = False
