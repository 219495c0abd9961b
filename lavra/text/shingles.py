"""The shingles of a text: the hashes of its word 5-grams, which near-duplicate detection compares.

Words are runs of letters, digits and underscores, in ASCII lower case; punctuation and spacing do not count, so a
re-indented or re-punctuated copy has the same shingles.  Characters of three or four UTF-8 bytes (CJK, Thai,
Devanagari, most symbols) are words by themselves, as these scripts often have no spaces.  A whole batch of texts is
hashed at once with numpy, without a Python object for any word: prefix sums of a polynomial give each word's hash as
one difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64
_STEP = np.uint64(0xD1342543DE82EF95)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_32 = (np.uint64(bits) for bits in (30, 27, 31, 32))


def mix(x: U64) -> U64:
    """The finaliser of splitmix64 (Steele et al. 2014): every input bit moves every output bit."""
    x = (x ^ (x >> _SHIFT_30)) * _MIX_1
    x = (x ^ (x >> _SHIFT_27)) * _MIX_2
    return x ^ (x >> _SHIFT_31)


def _tables() -> tuple[U64, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """For each byte: a random number (both cases alike), whether it is in words, whether it always begins one."""
    codes = np.arange(256)
    lower = np.where((codes >= 65) & (codes <= 90), codes + 32, codes)
    value = mix(lower.astype(np.uint64) + np.uint64(1))
    is_digit, is_letter = (codes >= 48) & (codes <= 57), (lower >= 97) & (lower <= 122)
    return value, is_digit | is_letter | (codes == 95) | (codes >= 128), codes >= 0xE0


_VALUE, _IN_WORD, _BEGINS_WORD = _tables()


class Shingler:
    """A hasher of batches of texts; it keeps the powers of the polynomial between batches."""

    def __init__(self, words: int = 5) -> None:
        self.words = words
        self._grow(1 << 16)

    def __call__(self, texts: Sequence[bytes]) -> tuple[U32, I64]:
        """The shingles of each text.

        Args:
            texts: N texts in UTF-8.

        Returns:
            The shingles of all texts, (S,), and the place where each text's begin, (N,); every text has at least one.
        """
        data = np.frombuffer(b"\n".join(texts) + b"\n", dtype=np.uint8)
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        bounds = np.concatenate([[0], np.cumsum(lengths + 1)])  # (N+1,), each text with the newline after it
        prefix = self._prefix(data)
        starts, ends = _word_spans(data)
        hashes = (prefix[ends] - prefix[starts]) * self._inverse[starts]  # (W,)
        first = np.searchsorted(starts, bounds)  # (N+1,), each text's first word
        shingles, offsets = self._windows(hashes, first)
        wordless = np.flatnonzero(np.diff(first) == 0)
        whole = (prefix[bounds[wordless] + lengths[wordless]] - prefix[bounds[wordless]]) * self._inverse[
            bounds[wordless]
        ]
        shingles[offsets[wordless]] = whole  # text of punctuation alone: equal only to itself
        return (mix(shingles) >> _SHIFT_32).astype(np.uint32), offsets

    def _prefix(self, data: npt.NDArray[np.uint8]) -> U64:
        """Prefix sums of byte values times powers of the base, modulo 2**64, (len(data)+1,)."""
        if len(data) + 1 > len(self._power):
            self._grow(1 << len(data).bit_length())
        prefix = np.zeros(len(data) + 1, dtype=np.uint64)
        np.cumsum(_VALUE[data] * self._power[: len(data)], out=prefix[1:])
        return prefix

    def _windows(self, hashes: U64, first: I64) -> tuple[U64, I64]:
        """The hash of each window of `words` words; a text with fewer words is padded to one window."""
        num_words = np.diff(first)
        num_shingles = np.maximum(1, num_words - self.words + 1)
        padding = self.words  # after each text, so that no window reaches into the next text's words
        shift = np.arange(len(num_words)) * padding
        padded = np.zeros(len(hashes) + len(num_words) * padding, dtype=np.uint64)
        padded[np.arange(len(hashes)) + np.repeat(shift, num_words)] = hashes
        offsets = np.concatenate([[0], np.cumsum(num_shingles)[:-1]])
        begin = np.repeat(first[:-1] + shift - offsets, num_shingles) + np.arange(num_shingles.sum())  # (S,)
        total = padded[begin]
        for step in range(1, self.words):
            total = total * _STEP + padded[begin + step]
        return total, offsets

    def _grow(self, size: int) -> None:
        self._power = _powers(_BASE, size)
        self._inverse = _powers(pow(_BASE, -1, 1 << 64), size)


def _powers(base: int, size: int) -> U64:
    powers = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


def _word_spans(data: npt.NDArray[np.uint8]) -> tuple[I64, I64]:
    """The places where words begin and end (exclusive), (W,) each; the last byte is a newline and in no word."""
    in_word = _IN_WORD[data]
    begins = in_word.copy()
    begins[1:] &= ~in_word[:-1]
    begins |= _BEGINS_WORD[data]
    ends = in_word[:-1] & (~in_word[1:] | begins[1:])
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1
