"""The places of the tokens of a text; the size of a chunk counts these tokens.

The caller passes the tokenizer, so that a chunk fits the encoder that reads it.  A long text goes to the tokenizer in
blocks that end where a paragraph ends, so that memory stays bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from lavra.text.cutting import CutConfig, cut

TokenSpans = Callable[[str], Sequence[tuple[int, int]]]
"""The start and end of each token of a text, in characters, in order; special tokens are left out."""

_BLOCK_CHARS: Final = 65_536
_UNSPACED: Final = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def word_tokens(text: str) -> list[tuple[int, int]]:
    """The tokenizer where no other is given: words, marks, and each letter of scripts without spaces.

    >>> word_tokens("Olá, 世界")
    [(0, 3), (3, 4), (5, 6), (6, 7)]
    """
    return [match.span() for match in _WORD.finditer(text)]


class PlacedTokens:
    """The tokens of a text by number.

    Args:
        text: the text.
        tokenize: returns the places of its tokens.
    """

    def __init__(self, text: str, tokenize: TokenSpans) -> None:
        starts, ends = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for block in cut([text], CutConfig(size=_BLOCK_CHARS)):
            spans = np.asarray(tokenize(block.text), dtype=np.int64).reshape(-1, 2)
            spans = spans[spans[:, 1] > spans[:, 0]]  # a mark for "a word begins" may have no characters
            starts.append(spans[:, 0] + block.start)
            ends.append(spans[:, 1] + block.start)
        self._starts = np.maximum.accumulate(np.concatenate(starts))
        self._ends = np.maximum.accumulate(np.concatenate(ends))
        self._length = len(text)

    def __len__(self) -> int:
        return len(self._starts)

    def start(self, number: int) -> int:
        """The place where a token begins; the end of the text for a number behind the last token."""
        return int(self._starts[number]) if number < len(self._starts) else self._length

    def end(self, number: int) -> int:
        """The place where a token ends."""
        return int(self._ends[number])

    def at(self, place: int) -> int:
        """The number of the first token that ends behind a place."""
        return int(np.searchsorted(self._ends, place, side="right"))

    def before(self, place: int) -> int:
        """The number of tokens that begin before a place."""
        return int(np.searchsorted(self._starts, place, side="left"))

    def count(self, start: int, end: int) -> int:
        """The number of tokens with characters between two places."""
        return max(0, self.before(end) - self.at(start))
