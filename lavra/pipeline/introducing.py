"""What `up` writes into the cards of the models it made: what each is good for, and three beginnings of the user's own.

A model that goes on with text gets the first words of held-out sentences, one that was taught to answer held-out
questions, of each kind in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from lavra.base.introduction import Introduction, write_introduction
from lavra.base.types import Document
from lavra.pipeline.beginning import choose_beginnings
from lavra.pipeline.samples.sample import KINDS, Instruction
from lavra.pipeline.stages.adapt import AdaptFigures

NUM_BEGINNINGS: Final = 3
_LONGEST_QUESTION: Final = 160  # characters


def introduce_model(folder: Path, verdict: str, heldout: Iterable[Document]) -> None:
    """Write what a model is good for, and beginnings from documents of which it has learnt none."""
    beginnings = choose_beginnings(heldout, NUM_BEGINNINGS)
    write_introduction(folder, Introduction(good_for=verdict, beginnings=tuple(beginnings)))


def introduce_taught(folder: Path, figures: AdaptFigures, heldout: Sequence[Instruction]) -> None:
    """Write what teaching did to a model's answers, and questions of which it has learnt none."""
    before, after = (_mean(nats.values()) for nats in (figures.nats_before, figures.nats_after))
    good_for = (
        f"Taught to answer in {figures.steps:,} steps. True answers to {sum(figures.measured.values()):,} held-out "
        f"questions cost {after:.2f} nats a token, {before:.2f} before."
    )
    write_introduction(folder, Introduction(good_for=good_for, beginnings=tuple(_questions(heldout))))


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / max(1, len(known))


def _questions(heldout: Sequence[Instruction]) -> list[str]:
    """Short ones, of every kind in turn."""
    short = [one for one in heldout if len(one.instruction) <= _LONGEST_QUESTION]
    by_kind = [[one.instruction for one in short if one.kind == kind] for kind in KINDS]
    in_turn = [kind[turn] for turn in range(NUM_BEGINNINGS) for kind in by_kind if turn < len(kind)]
    return list(dict.fromkeys(in_turn))[:NUM_BEGINNINGS]
