"""Words of a text in any script: the strings between spaces, or two letters where a script has no spaces."""

from __future__ import annotations

import re
from typing import Final

from lavra.text.sentences import has_unspaced_letters

_WORD: Final = re.compile(r"[^\W\d_]+")
_PAIR_OF_LETTERS: Final = 2


def words_of(text: str) -> list[str]:
    """Words without marks and digits, in order, as they are written."""
    words: list[str] = _WORD.findall(text)
    return [piece for word in words for piece in _pieces(word)] if has_unspaced_letters(text) else words


def _pieces(word: str) -> list[str]:
    if not has_unspaced_letters(word):
        return [word]
    return [word[at : at + _PAIR_OF_LETTERS] for at in range(0, len(word), _PAIR_OF_LETTERS)]
