"""The pieces a tokenizer cuts each given word into, and the special tokens it puts around a text.

transformers does the same with `is_split_into_words=True`.  Byte-level tokenizers mark a word's beginning by the space
before it, so each word is read with one; the others mark it by themselves.

Characters of scripts without spaces are words here and none to a tokenizer: those that stand side by side are read
together, as they are in running text, and each token belongs to the first character it covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers

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
        lengths: (W,) pieces of each word; a word of control characters may have none, and so has one that shares its
            piece with a word before it.
        owners: (W,) the word whose piece speaks for each: itself, but for those that share one.
    """

    ids: Int32s
    lengths: Int64s
    owners: Int64s


@dataclass(frozen=True, kw_only=True)
class WordFrame:
    """The special tokens around a single text.

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
        """The number of special tokens in all."""
        return len(self.before) + len(self.after)

    def around(self, ids: Int32s) -> Int32s:
        """The tokens of a text within the frame."""
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


Runs = Sequence[Sequence[str]]
"""A sentence: the words of each run that is read together, most often one."""


def cut_words(sentences: Sequence[Runs], places: Sequence[Place], form: RowFormat) -> Iterator[WordPieces]:
    """The pieces of each sentence.

    Args:
        sentences: the words of each sentence, in the runs that are read together.
        places: the place of each sentence in its file.
        form: the format of the rows, with the tokenizer.

    Raises:
        InputError: a word is not valid Unicode, or no text at all.
    """
    cutter = _Cutter(form)
    for start in range(0, len(sentences), _CHUNK):
        chunk = sentences[start : start + _CHUNK]
        try:
            encodings = cutter.encode(chunk)
        except TypeError as error:
            raise _not_words(chunk, places[start : start + _CHUNK]) from error
        for runs, encoding in zip(chunk, encodings, strict=True):
            yield cutter.pieces(runs, encoding)


class _Cutter:
    """A tokenizer that reads runs of words."""

    def __init__(self, form: RowFormat) -> None:
        self._backend = form.tokenizer.spelling_backend
        self._unknown = form.tokenizer.unk_id
        self._by_space = "ByteLevel" in form.tokenizer.definition.decoders

    def encode(self, sentences: Sequence[Runs]) -> list[tokenizers.Encoding]:
        """The encoding of each sentence; the tokenizer takes each run for one word."""
        texts = [[self._spaced("".join(run)) for run in runs] for runs in sentences]
        return self._backend.encode_batch(texts, is_pretokenized=True, add_special_tokens=False)

    def pieces(self, runs: Runs, encoding: tokenizers.Encoding) -> WordPieces:
        """A sentence's pieces by word."""
        numbers, ids = np.asarray(encoding.word_ids, dtype=np.int64), np.asarray(encoding.ids, dtype=np.int32)
        counts = np.bincount(numbers, minlength=len(runs))
        if all(len(run) == 1 for run in runs):
            return WordPieces(ids=ids, lengths=counts, owners=np.arange(len(runs)))
        offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        ends = np.cumsum(counts)
        parts = [
            self._run(run, ids[end - count : end], offsets[end - count : end])
            for run, end, count in zip(runs, ends.tolist(), counts.tolist(), strict=True)
        ]
        firsts = np.cumsum([0, *(len(run) for run in runs)])
        return WordPieces(
            ids=np.concatenate([part.ids for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            owners=np.concatenate([part.owners + first for part, first in zip(parts, firsts, strict=False)]),
        )

    def _run(self, run: Sequence[str], ids: Int32s, offsets: Int64s) -> WordPieces:
        """The pieces of one run: each is of the first word it covers."""
        owners = np.arange(len(run))
        if len(run) == 1:
            return WordPieces(ids=ids, lengths=np.array([len(ids)]), owners=owners)
        starts = np.cumsum([0, *(len(word) for word in run[:-1])])
        shift = len(self._spaced(run[0])) - len(run[0])
        first = np.searchsorted(starts, np.maximum(offsets[:, 0] - shift, 0), side="right") - 1
        last = np.searchsorted(starts, np.maximum(offsets[:, 1] - shift - 1, 0), side="right") - 1
        if self._unknown is not None and bool(((ids == self._unknown) & (last > first)).any()):
            return self._apart(run)  # one unknown character must not hide the others
        lengths = np.bincount(first, minlength=len(run))
        for word, stop in zip(first.tolist(), last.tolist(), strict=True):
            own = owners[word + 1 : stop + 1]
            own[lengths[word + 1 : stop + 1] == 0] = word
        return WordPieces(ids=ids, lengths=lengths, owners=owners)

    def _apart(self, run: Sequence[str]) -> WordPieces:
        (encoding,) = self.encode([[[word] for word in run]])
        return self.pieces([[word] for word in run], encoding)

    def _spaced(self, word: str) -> str:
        return word if not self._by_space or word.startswith(" ") else f" {word}"


def _not_words(sentences: Sequence[Runs], places: Sequence[Place]) -> InputError:
    for runs, place in zip(sentences, places, strict=True):
        for number, word in enumerate((word for run in runs for word in run), start=1):
            try:
                word.encode()
            except UnicodeEncodeError:
                return InputError(f"{place}: word {number} is not valid Unicode; write the file again as UTF-8")
    return InputError("a word is not a str; decode or convert it first")
