"""Texts and pairs of texts as rows of token ids.

The tokenizer's own post-processor frames them (`[CLS] a [SEP] b [SEP]`, `<s> a </s></s> b </s>`, `a </s>`, or not at
all), so a row is what `transformers.AutoTokenizer` makes of the same texts, token types included.  One thing differs
on purpose: a special token written in a text is spelled out (`split_special_tokens=True` of transformers), for data is
text nobody vouches for.

What is too long is cut, left out or refused, as the format says, and each case is a `Trouble`.  Cutting takes tokens
from the end of the longer text first and keeps the frame (`truncation="longest_first"`).  Deliberately absent:
cutting from the left, and windows over a long text, which `question_rows` and `tag_rows` make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import tokenizers
import torch

from lavra.base.arrays import Int32s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.data.labelled.samples import Place, Trouble
from lavra.tokens.tokenizer import Tokenizer

OnLong = Literal["cut", "drop", "refuse"]
Text = str | tuple[str, str]

CUT = ": cut at the end of the longer text"
"""How the trouble of a text that was cut ends."""

_CHUNK = 1024  # texts encoded at once: bounds the library's objects alive


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """How texts become rows.

    Attributes:
        tokenizer: its post-processor frames the texts.
        max_tokens: tokens a row holds at most, frame included; the model's context bounds it.
        num_token_types: token types the model has; with fewer than 2 rows carry none.
        on_long: what happens to a row over `max_tokens`: `cut`, `drop` (leave the sample out) or `refuse` (an error).
        multiple: rows of a batch are padded to the longest one, rounded up to a multiple of this many tokens, which
            spares the machine odd shapes; 1 rounds nothing.
    """

    tokenizer: Tokenizer
    max_tokens: int
    num_token_types: int = 0
    on_long: OnLong = "cut"
    multiple: int = 8

    def __post_init__(self) -> None:
        if self.on_long not in get_args(OnLong):
            raise ConfigError(f"on_long is {self.on_long!r}{nearest(str(self.on_long), get_args(OnLong))}")
        for name, value, least in (("multiple", self.multiple, 1), ("num_token_types", self.num_token_types, 0)):
            if value < least:
                raise ConfigError(f"{name} is {value}; it must be at least {least}")
        if self.max_tokens <= self.frame_tokens(pairs=False):
            raise ConfigError(
                f"max_tokens is {self.max_tokens} and the tokenizer's own special tokens take "
                f"{self.frame_tokens(pairs=False)} of a row; leave room for text"
            )

    def frame_tokens(self, *, pairs: bool) -> int:
        """Special tokens the post-processor puts around a text, or around a pair."""
        return int(self.tokenizer.backend.num_special_tokens_to_add(pairs))

    @property
    def pad_id(self) -> int:
        """What fills a row; the attention mask hides it, so any token serves a tokenizer without padding."""
        for token_id in (self.tokenizer.pad_id, self.tokenizer.eos_id):
            if token_id is not None:
                return token_id
        return 0

    def width(self, longest: int, most: int | None = None) -> int:
        """Tokens the rows of a batch are padded to.

        Args:
            longest: tokens of the longest.
            most: what a row holds; `max_tokens` unless given.
        """
        bound = self.max_tokens if most is None else most
        return min(-(-longest // self.multiple) * self.multiple, max(bound, longest))

    @cached_property
    def cutter(self) -> tokenizers.Tokenizer:
        """The library's tokenizer with truncation on; a copy, for the switch is a state shared by all threads."""
        copy = tokenizers.Tokenizer.from_str(self.tokenizer.spelling_backend.to_str())
        copy.encode_special_tokens = True
        copy.enable_truncation(self.max_tokens, strategy="longest_first")
        return copy


@dataclass(frozen=True, kw_only=True)
class EncodedRows:
    """Rows of token ids and where they come from.

    Attributes:
        ids: one (T,) array a row, of as many lengths as there are rows.
        types: (T,) token type of each token of each row, or `None` for a model without.
        sources: number of each row's text among those that were given.
        troubles: one for each text cut or left out.
    """

    ids: tuple[Int32s, ...]
    types: tuple[Int32s, ...] | None
    sources: tuple[int, ...]
    troubles: tuple[Trouble, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def kept(self, rows: Sequence[int], sources: Sequence[int]) -> EncodedRows:
        """Some of the rows, with other sources."""
        return EncodedRows(
            ids=tuple(self.ids[row] for row in rows),
            types=None if self.types is None else tuple(self.types[row] for row in rows),
            sources=tuple(sources),
            troubles=self.troubles,
        )


def encode_rows(texts: Sequence[Text], places: Sequence[Place], form: RowFormat) -> EncodedRows:
    """Rows of texts and of pairs.

    Args:
        texts: each a text or a (first, second) pair.
        places: where each was read.
        form: how they become rows.

    Raises:
        InputError: a text is not valid Unicode, or too long where `on_long` is `refuse`.
        ConfigError: pairs, and no room for both in `max_tokens`; a token type the model lacks.
    """
    ids: list[Int32s] = []
    types: list[Int32s] = []
    single: dict[int, Int32s] = {}  # the types of rows of one text, all 0, by their length: one array for many rows
    sources: list[int] = []
    pair = next((index for index, text in enumerate(texts) if not isinstance(text, str)), None)
    troubles = [] if pair is None else pair_troubles(places[pair], form)
    for index, (encoding, full) in enumerate(_encodings(texts, places, form)):
        trouble = _length_trouble(full, places[index], form)
        if trouble is not None:
            troubles.append(trouble)
            if trouble.dropped:
                continue
        ids.append(np.array(encoding.ids, dtype=np.int32))
        own = np.array(encoding.type_ids, dtype=np.int32)
        types.append(own if own.any() else single.setdefault(len(own), own))
        sources.append(index)
    return EncodedRows(
        ids=tuple(ids),
        types=_checked_types(types, form) if form.num_token_types > 1 else None,
        sources=tuple(sources),
        troubles=tuple(troubles),
    )


def pad_rows(rows: Sequence[npt.NDArray[np.integer]], fill: int, width: int) -> torch.Tensor:
    """(B, width) int64, each row filled up on the right."""
    padded = np.full((len(rows), width), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def mask_rows(rows: Sequence[npt.NDArray[np.integer]], width: int) -> torch.Tensor:
    """(B, width) True on the tokens of each row, False on what fills it up."""
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(width)[None, :] < lengths[:, None]


def _encodings(
    texts: Sequence[Text], places: Sequence[Place], form: RowFormat
) -> Iterator[tuple[tokenizers.Encoding, int]]:
    """Each text's encoding, cut where it is too long, and the length it had before."""
    reader = form.tokenizer.spelling_backend
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        try:
            whole = reader.encode_batch_fast(chunk)
        except TypeError as error:
            raise _not_unicode(chunk, places[start : start + _CHUNK]) from error
        long = [index for index, encoding in enumerate(whole) if len(encoding.ids) > form.max_tokens]
        cut = dict(zip(long, form.cutter.encode_batch_fast([chunk[index] for index in long]), strict=True))
        for index, encoding in enumerate(whole):
            yield cut.get(index, encoding), len(encoding.ids)


def _length_trouble(full: int, place: Place, form: RowFormat) -> Trouble | None:
    if full == 0:
        return Trouble(place=place, what="the text is empty: it has no tokens", remedy="give it a text", dropped=True)
    if full <= form.max_tokens:
        return None
    what = f"the text is {full} tokens and a row holds {form.max_tokens}"
    remedy = "raise max_tokens, as far as the model's context goes, or shorten the text"
    if form.on_long == "refuse":
        raise InputError(f"{place}: {what}; {remedy}, or let on_long cut or drop it")
    if form.on_long == "drop":
        return Trouble(place=place, what=f"{what}: left out", remedy=remedy, dropped=True)
    return Trouble(place=place, what=f"{what}{CUT}", remedy=remedy, dropped=False)


def pair_troubles(first: Place, form: RowFormat) -> list[Trouble]:
    """Check that pairs have room in a row, and say where nothing stands between their texts.

    Args:
        first: where the first pair was read.
        form: how pairs become rows.

    Raises:
        ConfigError: there is no room for a token of each text.
    """
    frame = form.frame_tokens(pairs=True)
    if form.max_tokens < frame + 2:
        raise ConfigError(
            f"max_tokens is {form.max_tokens} and the tokenizer puts {frame} special tokens around a pair; "
            f"it must be at least {frame + 2}"
        )
    if frame > form.frame_tokens(pairs=False):
        return []
    return [
        Trouble(
            place=first,
            what="this tokenizer puts nothing between the texts of a pair: the second goes on where the first ends",
            remedy="begin the second text with a separator, or use a model made for pairs, such as BERT",
            dropped=False,
        )
    ]


def _checked_types(types: list[Int32s], form: RowFormat) -> tuple[Int32s, ...]:
    most = max((int(row.max()) for row in types if len(row)), default=0)
    if most >= form.num_token_types:
        raise ConfigError(
            f"the tokenizer gives token type {most} and the model has {form.num_token_types}; "
            "use the tokenizer the model came with"
        )
    return tuple(types)


def _not_unicode(texts: Sequence[Text], places: Sequence[Place]) -> InputError:
    for text, place in zip(texts, places, strict=True):
        for part in (text,) if isinstance(text, str) else text:
            try:
                part.encode()
            except UnicodeEncodeError as error:
                return InputError(
                    f"{place}: the text is not valid Unicode: lone surrogate U+{ord(part[error.start]):04X} at "
                    f"character {error.start}; write the file again as UTF-8"
                )
    return InputError("a text is not a str; decode or convert it first")
