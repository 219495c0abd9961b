"""WinoGrande (Sakaguchi et al. 2020): the choices are contexts, and the text after the gap is scored."""

from __future__ import annotations

from typing import Any


def doc_to_text(row: dict[str, Any]) -> int:
    """The number of the right option."""
    return {"1": 0, "2": 1}[row["answer"]]


def doc_to_target(row: dict[str, Any]) -> str:
    """The text after the gap."""
    return str(row["sentence"][row["sentence"].index("_") + 1 :].strip())


def doc_to_choice(row: dict[str, Any]) -> list[str]:
    """The text before the gap, followed by each option in turn."""
    before = row["sentence"][: row["sentence"].index("_")]
    return [before + row["option1"], before + row["option2"]]
