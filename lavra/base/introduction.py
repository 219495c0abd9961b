"""A model's words to whoever meets it: what it is good for, as it was measured, and beginnings that suit it.

They stand in the card of the model's folder, outside its identity; the chat page shows them where nothing is said yet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lavra.base.card import CARD_FILE, add_metrics, read_card

INTRODUCTION: Final = "introduction"
"""The metric of the card."""


@dataclass(frozen=True, kw_only=True)
class Introduction:
    """How a model is introduced.

    Attributes:
        good_for: what was measured, in sentences; empty where nothing was.
        beginnings: of texts, or of conversations, that the model can go on with.
    """

    good_for: str = ""
    beginnings: tuple[str, ...] = ()


def write_introduction(folder: Path, introduction: Introduction) -> None:
    """Add it to the card of a model's folder.

    Raises:
        InputError: there is no card, or its id does not match its content.
    """
    add_metrics(folder, {INTRODUCTION: asdict(introduction)})


def read_introduction(folder: Path | None) -> Introduction:
    """Of a model's folder; where its card has none, the abilities that `lavra evaluate` measured.

    Raises:
        InputError: the card's id does not match its content.
    """
    if folder is None or not (folder / CARD_FILE).exists():
        return Introduction()
    metrics = read_card(folder).metrics
    if INTRODUCTION in metrics:
        told = metrics[INTRODUCTION]
        return Introduction(good_for=str(told["good_for"]), beginnings=tuple(map(str, told["beginnings"])))
    can = metrics.get("evaluation", {}).get("abilities", {}).get("It can", [])
    return Introduction(good_for=" ".join(map(str, can)))
