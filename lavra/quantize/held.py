"""The types of a model's weights on disk and in memory, in words."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.units import format_size


@dataclass(frozen=True, kw_only=True)
class HeldWeights:
    """The types of a model's weights in the folder and in memory.

    Attributes:
        stored: in the folder: a type (`bfloat16`), or the scheme of compression (`int8`).
        held: in memory, in the same words.
        num_bytes: bytes of the weights in memory.
        rounding: root of the mean square of the change by opening in the weights that it rounded, over theirs; None
            where it rounded none.
    """

    stored: str
    held: str
    num_bytes: int
    rounding: float | None = None

    @property
    def expanded(self) -> bool:
        """Whether memory holds another form than the folder."""
        return self.held != self.stored

    @property
    def form(self) -> str:
        """Both types in one phrase."""
        if not self.expanded:
            return self.held
        if self.rounding is not None:
            return f"{self.stored} rounded to {self.held} (by {self.rounding:.2%})"
        return f"{self.stored} {'as' if self.held.startswith('int') else 'expanded to'} {self.held}"

    def __str__(self) -> str:
        return f"{self.form}, {format_size(self.num_bytes)}"
