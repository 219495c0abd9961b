"""Copies of a text with one token masked each, for an encoder's score (Salazar et al. 2020, eq. 1); no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lavra.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MaskedCopies:
    """The settings of masking a text's tokens one after the other.

    Attributes:
        mask_id: the mask token.
        before: special tokens put in front ([CLS]).
        after: special tokens put behind ([SEP]).
        window: most tokens read at once, special ones included; a copy of a longer text has the tokens around the mask.
    """

    mask_id: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    window: int

    def __post_init__(self) -> None:
        if self._max_length < 1:
            num_special = len(self.before) + len(self.after)
            raise ConfigError(f"window={self.window} has no room for text beside {num_special} special tokens")

    @property
    def _max_length(self) -> int:
        """Number of the text's tokens in a copy."""
        return self.window - len(self.before) - len(self.after)

    def copy(self, ids: Sequence[int], place: int) -> tuple[list[int], int]:
        """The copy of a text with one token masked, and the index of the mask in it."""
        start = min(max(0, place - self._max_length // 2), max(0, len(ids) - self._max_length))
        text = list(ids[start : start + self._max_length])
        text[place - start] = self.mask_id
        return [*self.before, *text, *self.after], len(self.before) + place - start
