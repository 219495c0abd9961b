"""The requests and answers of the rating page.

No field reveals to an annotator the model of an answer, the attention checks, or the judgements of others.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.evaluation.human.items import Assignment, ItemKind, Judgement, StudyItem
from lavra.evaluation.human.scales import RatingScale
from lavra.evaluation.human.votes import Winner

RatedStep = Annotated[int, Field(ge=1, le=5)]
ShownSide = Literal["first", "second", "tie"]


class JudgementBody(BaseModel):
    """A judgement in the annotator's terms: the answer shown first, or second.

    Attributes:
        ratings: ratings by scale; `null` is `cannot tell`.
        choice: the better of two answers.
        skipped: whether the annotator skips the item.
        comment: free text.
        seconds: time that the item was shown.
        done: whether the judgement is final; otherwise it is a draft.
    """

    model_config = ConfigDict(extra="forbid")

    ratings: dict[str, RatedStep | None] = Field(default_factory=dict, max_length=20)
    choice: ShownSide | None = None
    skipped: bool = False
    comment: str = Field(default="", max_length=5000)
    seconds: float = Field(default=0.0, ge=0, le=7 * 86400, allow_inf_nan=False)
    done: bool = False

    def judgement(self, assignment: Assignment) -> Judgement:
        """The judgement in terms of the models."""
        return Judgement(
            ratings=self.ratings,
            winner=None if self.choice is None else _winner(self.choice, assignment.swapped),
            skipped=self.skipped,
            comment=self.comment,
            seconds=self.seconds,
            done=self.done,
        )


class ScaleBody(BaseModel):
    """A scale."""

    name: str
    question: str
    steps: list[str]
    may_not_know: bool


class StudyBody(BaseModel):
    """The text before the first item, and the progress of the annotator."""

    title: str
    instructions: str
    annotator: str
    scales: list[ScaleBody]
    total: int
    done: list[int]
    closed: bool


class ItemBody(BaseModel):
    """An item, with the annotator's earlier judgement of it."""

    place: int
    kind: str
    prompt: str
    reference: str
    answers: list[str]
    judgement: JudgementBody | None


class SavedBody(BaseModel):
    """The progress of the annotator; `place` is the place of an item taken back."""

    done: list[int]
    place: int | None = None


def scale_body(scale: RatingScale) -> ScaleBody:
    """A scale as the page shows it."""
    return ScaleBody(name=scale.name, question=scale.question, steps=list(scale.steps), may_not_know=scale.may_not_know)


def item_body(item: StudyItem, assignment: Assignment, judgement: Judgement | None) -> ItemBody:
    """An item as its annotator may see it."""
    answers = [item.answer_a, item.answer_b] if item.kind is ItemKind.PAIR else [item.answer_a]
    return ItemBody(
        place=assignment.place,
        kind=item.kind.value,
        prompt=item.prompt,
        reference=item.reference,
        answers=answers[::-1] if assignment.swapped else answers,
        judgement=None if judgement is None else _judgement_body(judgement, assignment),
    )


def _judgement_body(judgement: Judgement, assignment: Assignment) -> JudgementBody:
    return JudgementBody(
        ratings=dict(judgement.ratings),
        choice=None if judgement.winner is None else _side(judgement.winner, assignment.swapped),
        skipped=judgement.skipped,
        comment=judgement.comment,
        seconds=judgement.seconds,
        done=judgement.done,
    )


def _winner(side: ShownSide, swapped: bool) -> Winner:
    if side == "tie":
        return Winner.TIE
    return Winner.MODEL_A if (side == "first") is not swapped else Winner.MODEL_B


def _side(winner: Winner, swapped: bool) -> ShownSide:
    if winner is Winner.TIE:
        return "tie"
    return "first" if (winner is Winner.MODEL_A) is not swapped else "second"
