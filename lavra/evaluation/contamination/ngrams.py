"""Turn a text into 64-bit hashes of its word n-grams; wrapping, spacing, case and punctuation do not count.

A word is a run of letters and digits in small letters and without accents (`Ação` and `acao` are the same word), or
one Chinese or Japanese character.  GPT-3's filter (Brown et al. 2020, appendix C) and lm-evaluation-harness drop
punctuation and case likewise.  A word's hash is that of its UTF-8 bytes (BLAKE2b), an n-gram's a polynomial of its
words' hashes: the same in every process and on every machine.

Deliberately absent: words of other scripts without spaces, such as Thai; there a whole phrase is one word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_SINGLE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # kana and Chinese characters
_WORD = re.compile(rf"[^\W_{_SINGLE}]+|[{_SINGLE}]")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_BLANK = re.compile(r"\s")
_PIECE = 1 << 20  # most characters of a text that are in memory as words
_KNOWN_WORDS = 1 << 19
_BASE = 0xD1342543DE82EF95  # odd, so that multiplication loses no bits
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = (np.uint64(bits) for bits in (30, 27, 31))


def words_of(text: str) -> list[str]:
    """Split a text into words in the form in which they are compared."""
    if text.isascii():
        return _WORD.findall(text.lower())
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).casefold()
    return _WORD.findall(plain)


class WordHasher(dict[str, int]):
    """The hash of each word, computed once and kept, up to a bound."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN_WORDS:
            self.clear()
        value = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = value
        return value

    def hash_text(self, text: str) -> Hashes:
        """(W,) hash of each word of a text."""
        words = words_of(text)
        return np.fromiter(map(self.__getitem__, words), dtype=np.uint64, count=len(words))

    def hash_long_text(self, text: str, overlap: int) -> Iterator[Hashes]:
        """Hash the words of a text in pieces; each piece begins with the last `overlap` words of the piece before."""
        before = np.zeros(0, dtype=np.uint64)
        for piece in _pieces(text):
            hashes = np.concatenate([before, self.hash_text(piece)])
            yield hashes
            before = hashes[max(0, len(hashes) - overlap) :]


def ngram_hashes(words: Hashes, n: int) -> Hashes:
    """(max(0, W - n + 1),) hash of each n-gram of a text's words (W,)."""
    size = len(words) - n + 1
    if size < 1:
        return np.zeros(0, dtype=np.uint64)
    total = words[:size].copy()
    for offset in range(1, n):
        total = total * np.uint64(_BASE) + words[offset : offset + size]
    # The finaliser of splitmix64 (Steele et al. 2014): an index cuts hashes at their top bits, so all bits must matter.
    total = (total ^ (total >> _SHIFT_30)) * _MIX_1
    total = (total ^ (total >> _SHIFT_27)) * _MIX_2
    mixed: Hashes = total ^ (total >> _SHIFT_31)
    return mixed


def _pieces(text: str) -> Sequence[str]:
    """Cut a text at blanks into pieces of about a million characters."""
    if len(text) <= _PIECE:
        return [text]
    pieces, start = [], 0
    while start < len(text):
        blank = _BLANK.search(text, start + _PIECE)
        end = blank.start() if blank else len(text)
        pieces.append(text[start:end])
        start = end
    return pieces
