"""The candidates that `TextModel.fill_mask` returns for each gap of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fill:
    """A candidate for a gap.

    Attributes:
        token: id of the token.
        text: the token as text.
        logprob: natural-log probability.

    Example:
        >>> (gap,) = lavra.load("tiny-bert").fill_mask("the film was a [MASK] day", top_k=2)
        >>> gap[0].logprob >= gap[1].logprob
        True
    """

    token: int
    text: str
    logprob: float
