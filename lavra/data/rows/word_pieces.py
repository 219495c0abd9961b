"""The pieces a tokenizer cuts each given word into, and the special tokens it puts around a text.

What transformers does with `is_split_into_words=True`.  Byte-level tokenizers mark a word's beginning by the space
before it, so each word is read with one; the others mark it by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import InputError
from lavra.data.labelled.samples import Place
from lavra.data.rows.encoding import RowFormat

_CHUNK = 1024  # sentences cut at once


@dataclass(frozen=True, kw_only=True)
class WordPieces:
    """A sentence in pieces.

    Attributes:
        ids: (T,) of all words, one after the other.
        lengths: (W,) pieces of each word; a word of control characters may have none.
    """

    ids: Int32s
    lengths: Int64s


@dataclass(frozen=True, kw_only=True)
class WordFrame:
    """What stands around a single text.

    Attributes:
        before, after: special tokens, such as `[CLS]` and `[SEP]`.
        before_types, text_type, after_types: their token types, and that of the text.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    before_types: tuple[int, ...]
    text_type: int
    after_types: tuple[int, ...]

    @property
    def length(self) -> int:
        """Special tokens in all."""
        return len(self.before) + len(self.after)

    def around(self, ids: Int32s) -> Int32s:
        """A text framed."""
        return np.concatenate([self.before, ids, self.after]).astype(np.int32)

    def types(self, length: int) -> Int32s:
        """(T,) token types of a framed row of that length."""
        text = np.full(length - self.length, self.text_type)
        return np.concatenate([self.before_types, text, self.after_types]).astype(np.int32)


def frame_of(form: RowFormat) -> WordFrame:
    """The frame, read off a framed word."""
    encoding = form.tokenizer.spelling_backend.encode("a")
    text = np.flatnonzero(np.asarray(encoding.special_tokens_mask) == 0)
    first, stop = int(text[0]), int(text[-1]) + 1
    return WordFrame(
        before=tuple(encoding.ids[:first]),
        after=tuple(encoding.ids[stop:]),
        before_types=tuple(encoding.type_ids[:first]),
        text_type=encoding.type_ids[first],
        after_types=tuple(encoding.type_ids[stop:]),
    )


def cut_words(sentences: Sequence[Sequence[str]], places: Sequence[Place], form: RowFormat) -> Iterator[WordPieces]:
    """The pieces of each sentence.

    Args:
        sentences: their words.
        places: where each was read.
        form: whose tokenizer cuts.

    Raises:
        InputError: a word is not valid Unicode, or no text at all.
    """
    backend = form.tokenizer.spelling_backend
    by_space = "ByteLevel" in form.tokenizer.definition.decoders
    for start in range(0, len(sentences), _CHUNK):
        chunk = [[_spaced(word) if by_space else word for word in words] for words in sentences[start : start + _CHUNK]]
        try:
            encodings = backend.encode_batch(chunk, is_pretokenized=True, add_special_tokens=False)
        except TypeError as error:
            raise _not_words(sentences[start : start + _CHUNK], places[start : start + _CHUNK]) from error
        for words, encoding in zip(chunk, encodings, strict=True):
            numbers = np.asarray(encoding.word_ids, dtype=np.int64)
            yield WordPieces(
                ids=np.asarray(encoding.ids, dtype=np.int32), lengths=np.bincount(numbers, minlength=len(words))
            )


def _spaced(word: str) -> str:
    return word if word.startswith(" ") else f" {word}"


def _not_words(sentences: Sequence[Sequence[str]], places: Sequence[Place]) -> InputError:
    for words, place in zip(sentences, places, strict=True):
        for number, word in enumerate(words, start=1):
            try:
                word.encode()
            except UnicodeEncodeError:
                return InputError(f"{place}: word {number} is not valid Unicode; write the file again as UTF-8")
    return InputError("a word is not a str; decode or convert it first")
