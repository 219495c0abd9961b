"""A claim or a sentence of the evidence, read: its words, its numbers, its names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lavra.ground.names import name_words
from lavra.ground.numbers import Number, read_numbers
from lavra.ground.words import Language, Word, read_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A claim or a sentence of the evidence, read.

    Attributes:
        text: sentence as written.
        words: all its words.
        numbers: all its numbers.
        names: places where the words of its names begin.
    """

    text: str
    words: Sequence[Word]
    numbers: Sequence[Number]
    names: frozenset[int]

    def numbers_in(self, words: Sequence[Word]) -> list[Number]:
        """The numbers that stand among some of the words, side by side."""
        start, end = words[0].start, words[-1].end
        return [one for one in self.numbers if one.start < end and start < one.end]

    def words_in(self, number: Number) -> list[Word]:
        """The words that a number is written with, its unit included."""
        return [word for word in self.words if number.start <= word.start < number.end]


def read_statement(text: str, language: Language) -> Statement:
    """Read a sentence."""
    words = read_words(text, language)
    names = frozenset(word.start for word in name_words(text, words))
    return Statement(text=text, words=words, numbers=read_numbers(text), names=names)
