"""How a model's weights are stored and held, in words."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.units import format_size


@dataclass(frozen=True, kw_only=True)
class HeldWeights:
    """How a model's weights are stored, and how they are held in memory.

    Attributes:
        stored: in the folder: a type (`bfloat16`), or how it was compressed (`int8`).
        held: in memory, in the same words.
        num_bytes: they take there.
    """

    stored: str
    held: str
    num_bytes: int

    @property
    def expanded(self) -> bool:
        """Whether memory holds another form than the folder."""
        return self.held != self.stored

    def __str__(self) -> str:
        form = f"{self.stored} expanded to {self.held}" if self.expanded else self.held
        return f"{form}, {format_size(self.num_bytes)}"
