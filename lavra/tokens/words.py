"""Find the beginnings of words from token ids alone, for whole-word masking.

A piece continues a word when its vocabulary marks it so (`##` in WordPiece), or else when it neither begins with
white space nor changes the class of character (letter, digit, other): the borders at which GPT-2's pattern cuts.  A
token that is one space belongs to the word after it; bytes beyond ASCII count as letters, since a token may hold half
a character.
The idea is BERT's whole-word masking (google-research/bert, May 2019 release).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from lavra.tokens.definition import BYTE_OF, BYTE_TOKENS, SPACE_MARK, Definition


class CharClass(Enum):
    """The classes of characters that a pre-tokenizer tells apart."""

    SPACE = "space"
    LETTER = "letter"
    DIGIT = "digit"
    OTHER = "other"


@dataclass(frozen=True)
class _TokenEnds:
    """The ends of a token.

    Attributes:
        first: class of its first character.
        last: class of its last character.
        alone: whether the token is a word by itself, as special tokens are.
        continues: whether the vocabulary marks the token as the continuation of a word.
        is_space: whether the token is one space and nothing else.
    """

    first: CharClass
    last: CharClass
    alone: bool
    continues: bool = False
    is_space: bool = False


_ALONE = _TokenEnds(CharClass.OTHER, CharClass.OTHER, alone=True)
_BYTE_INDEX = {token: byte for byte, token in enumerate(BYTE_TOKENS)}


class WordTable:
    """The ends of every token of a vocabulary."""

    def __init__(self, edges: Mapping[int, _TokenEnds], marks_continuation: bool) -> None:
        self._edges = edges
        self._marks_continuation = marks_continuation

    @classmethod
    def build(cls, vocab: Mapping[str, int], definition: Definition, special: Collection[int]) -> WordTable:
        """Classify each token once, so that `starts` is a table look-up."""
        edges = {
            token_id: _ALONE if token_id in special else _edges(token, definition) for token, token_id in vocab.items()
        }
        return cls(edges, marks_continuation=bool(definition.continuation))

    def starts(self, ids: Sequence[int]) -> list[bool]:
        """(T,) whether each token begins a word; special tokens are words by themselves."""
        out: list[bool] = []
        before = _ALONE
        for token_id in ids:
            here = self._edges.get(token_id, _ALONE)
            out.append(self._begins(before, here))
            before = here
        return out

    def _begins(self, before: _TokenEnds, here: _TokenEnds) -> bool:
        if before.alone or here.alone:
            return True
        if self._marks_continuation:
            return not here.continues
        if here.first is CharClass.SPACE:
            return True
        return here.first is not before.last and not before.is_space


def _edges(token: str, definition: Definition) -> _TokenEnds:
    if definition.continuation:
        return _TokenEnds(
            CharClass.OTHER, CharClass.OTHER, alone=False, continues=token.startswith(definition.continuation)
        )
    classes = list(_classes(token, definition))
    is_space = token in (" ", SPACE_MARK) or (definition.is_byte_level and BYTE_OF.get(token) == 0x20)
    return _TokenEnds(classes[0], classes[-1], alone=False, is_space=is_space) if classes else _ALONE


def _classes(token: str, definition: Definition) -> Iterable[CharClass]:
    """Classes of the first and last character, each from the byte it stands for where the vocabulary is of bytes."""
    ends = (token[:1], token[-1:]) if token else ()
    if definition.is_byte_level:
        return [_byte_class(BYTE_OF.get(end, 0x80)) for end in ends]
    if token in _BYTE_INDEX:
        return [_byte_class(_BYTE_INDEX[token])]
    return [_char_class(" " if end == SPACE_MARK else end) for end in ends]


def _byte_class(byte: int) -> CharClass:
    return CharClass.LETTER if byte >= 0x80 else _char_class(chr(byte))


def _char_class(character: str) -> CharClass:
    if character.isspace():
        return CharClass.SPACE
    if character.isalpha():
        return CharClass.LETTER
    return CharClass.DIGIT if character.isnumeric() else CharClass.OTHER
