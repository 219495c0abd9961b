"""Guess the next tokens from an earlier occurrence of the last tokens (Saxena 2023, "Prompt lookup decoding").

Texts that repeat themselves (code, quotations, edits) often continue as they did before.  A guess costs only
the extra positions of one pass, and changes no token: each token is chosen as always and a guess only saves passes.
"""

from __future__ import annotations

from collections.abc import Sequence


class PromptLookup:
    """Remembers where each run of `ngram` tokens last occurred.

    Args:
        ngram: tokens that must match.
        most: tokens guessed at once.
    """

    def __init__(self, ngram: int, most: int) -> None:
        self._ngram, self._most = ngram, most
        self._after: dict[tuple[int, ...], int] = {}
        self._read = 0  # runs that end before this position are known

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """The tokens after the latest earlier occurrence of the last tokens; empty if there is no such occurrence."""
        end = len(tokens)
        if end < self._ngram or most < 1:
            return []
        last = tuple(tokens[end - self._ngram : end])
        place = self._learn(tokens, end).get(last)
        if place is None:
            return []
        guesses: list[int] = []
        for _ in range(min(most, self._most)):  # on into the guesses themselves, where the text repeats itself
            guesses.append(tokens[place] if place < end else guesses[place - end])
            place += 1
        return guesses

    def close(self) -> None:
        """Do nothing: there are no resources."""

    def _learn(self, tokens: Sequence[int], end: int) -> dict[tuple[int, ...], int]:
        """Record all runs except the run at the end of the text."""
        for place in range(max(self._read, self._ngram), end):
            self._after[tuple(tokens[place - self._ngram : place])] = place
        self._read = end
        return self._after
