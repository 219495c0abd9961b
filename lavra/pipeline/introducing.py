"""Introductions in the cards of the models of `up`: a verdict, and three beginnings from the user's own text.

A model that completes text gets the first words of held-out sentences.
A model that answers gets held-out questions, of each kind in turn.
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
    """Write a model's verdict, and beginnings from held-out documents, into its card."""
    beginnings = choose_beginnings(heldout, NUM_BEGINNINGS)
    write_introduction(folder, Introduction(good_for=verdict, beginnings=tuple(beginnings)))


def introduce_taught(folder: Path, figures: AdaptFigures, heldout: Sequence[Instruction]) -> None:
    """Write the effect of teaching on a model's answers, and held-out questions, into its card."""
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
    """Short held-out questions, of every kind in turn."""
    short = [one for one in heldout if len(one.instruction) <= _LONGEST_QUESTION]
    by_kind = [[one.instruction for one in short if one.kind == kind] for kind in KINDS]
    in_turn = [kind[turn] for turn in range(NUM_BEGINNINGS) for kind in by_kind if turn < len(kind)]
    return list(dict.fromkeys(in_turn))[:NUM_BEGINNINGS]
