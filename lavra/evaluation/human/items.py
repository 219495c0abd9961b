"""The items that an annotator is shown singly, and the annotator's judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lavra.evaluation.human.votes import Winner


class ItemKind(Enum):
    """The kind of an item."""

    RATING = "rating"  # one answer, on scales
    PAIR = "pair"  # two answers to one prompt, side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyItem:
    """An item to judge.

    Attributes:
        number: number within the study, from 1.
        kind: one answer or a pair.
        question_id: id of the prompt.
        prompt: text that the models were asked.
        model_a: model that wrote the answer; of a pair, the model whose name sorts first.
        answer_a: answer of `model_a`.
        model_b: PAIR: the other model.
        answer_b: PAIR: answer of `model_b`.
        reference: a text to judge the answer's truth by, or empty.
        expected: attention check: the ratings that an attentive annotator gives, by scale.
        expected_winner: attention check that is a pair: the vote of an attentive annotator.
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
        """Whether the item was planted to check that the annotator reads."""
        return bool(self.expected) or self.expected_winner is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """An item at its place in the order of one annotator.

    Attributes:
        annotator: number of the annotator, from 1.
        place: place in the annotator's order, from 1.
        item: number of the item.
        swapped: PAIR: whether `model_b`'s answer is shown first.
    """

    annotator: int
    place: int
    item: int
    swapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """An annotator's judgement of an item.

    Attributes:
        ratings: RATING: 1 to 5 by scale; `None` is `cannot tell`.
        winner: PAIR: the model with the better answer.
        skipped: whether the annotator does not want to judge the item.
        comment: comment of the annotator.
        seconds: time that the item was looked at.
        done: whether the annotator has gone on to the next item; otherwise the judgement is a draft and counts nowhere.
    """

    ratings: Mapping[str, int | None] = field(default_factory=dict)
    winner: Winner | None = None
    skipped: bool = False
    comment: str = ""
    seconds: float = 0.0
    done: bool = False
