"""A model's introduction for its users: its measured abilities, and beginnings of texts that suit it.

It stands in the card of the model's folder, outside the identity; the chat page shows it before the first message.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lavra.base.card import CARD_FILE, add_metrics, read_card

INTRODUCTION: Final = "introduction"
"""The key of the introduction among the card's metrics."""


@dataclass(frozen=True, kw_only=True)
class Introduction:
    """The introduction of a model.

    Attributes:
        good_for: measured abilities, in sentences; empty where nothing was measured.
        beginnings: beginnings of texts, or of conversations, that the model can continue.
    """

    good_for: str = ""
    beginnings: tuple[str, ...] = ()


def write_introduction(folder: Path, introduction: Introduction) -> None:
    """Add the introduction to the card of a model's folder.

    Raises:
        InputError: the folder has no card, or the card's id does not match its content.
    """
    add_metrics(folder, {INTRODUCTION: asdict(introduction)})


def read_introduction(folder: Path | None) -> Introduction:
    """Read the introduction of a model's folder; without one, it lists the abilities that `lavra evaluate` measured.

    Raises:
        InputError: the card's id does not match its content.
    """
    if folder is None or not (folder / CARD_FILE).exists():
        return Introduction()
    metrics = read_card(folder).metrics
    if INTRODUCTION in metrics:
        stored = metrics[INTRODUCTION]
        return Introduction(good_for=str(stored["good_for"]), beginnings=tuple(map(str, stored["beginnings"])))
    can = metrics.get("evaluation", {}).get("abilities", {}).get("It can", [])
    return Introduction(good_for=" ".join(map(str, can)))
