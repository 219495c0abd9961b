"""Marks of single turns to be learnt or only read: OpenAI's `weight`, and the fields of other tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavra.data.labelled.tables import UnusableError, shown

WEIGHT = "weight"
WEIGHTS = (WEIGHT, "train", "trainable", "loss")
"""Fields of a message that mark it as learnt or only read: 1 or 0, true or false."""


def weight_of(message: Mapping[str, Any], name: str) -> int:
    """1 for a turn to be learnt, as every turn without a mark is; 0 for a turn that is only read.

    Raises:
        UnusableError: a mark is neither 0 nor 1.
    """
    for field in WEIGHTS:
        value = message.get(field)
        if value is None:
            continue
        if not isinstance(value, int | float) or value not in (0, 1):
            raise UnusableError(
                f"{name} has the {field} {shown(value)}",
                f"write {field} 1 for a turn to be learnt, 0 for one that is not",
            )
        if value == 0:
            return 0
    return 1
