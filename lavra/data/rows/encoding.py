"""Texts and pairs of texts as rows of token ids.

The tokenizer's own post-processor frames them (`[CLS] a [SEP] b [SEP]`, `<s> a </s></s> b </s>`, `a </s>`, or not at
all), so a row equals that of `transformers.AutoTokenizer` for the same texts, token types included.  One difference
is deliberate: a special token written in a text is spelled out (`split_special_tokens=True` of transformers), for data
is text from strangers.

A text that is too long is cut, left out or refused, as the format says; each case is a `DataIssue`.  Tokens are cut
from the end of the longer text first and keeps the frame (`truncation="longest_first"`).  Deliberately absent:
cutting from the left, and windows over a long text, which `question_rows` and `tag_rows` make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import tokenizers

from lavra.base.arrays import Int32s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.data.labelled.samples import DataIssue, Place
from lavra.tokens.tokenizer import Tokenizer

OnLong = Literal["cut", "drop", "refuse"]
Text = str | tuple[str, str]

CUT = ": cut at the end of the longer text"
"""The ending of the issue of a text that was cut."""

_CHUNK = 1024  # texts encoded at once: bounds the library's objects alive


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """The tokenizer and the limits of rows made from texts.

    Attributes:
        tokenizer: the tokenizer, whose post-processor frames the texts.
        max_tokens: tokens a row holds at most, frame included; the model's context bounds it.
        num_token_types: token types the model has; with fewer than 2 rows carry none.
        on_long: the treatment of a row over `max_tokens`: `cut`, `drop` (leave the sample out) or `refuse` (an error).
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
        """The padding token; the attention mask hides it, so any token serves a tokenizer without padding."""
        for token_id in (self.tokenizer.pad_id, self.tokenizer.eos_id):
            if token_id is not None:
                return token_id
        return 0

    def width(self, longest: int, most: int | None = None) -> int:
        """Tokens the rows of a batch are padded to.

        Args:
            longest: tokens of the longest.
            most: tokens of a row at most; `max_tokens` unless given.
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
        ids: an array (T,) for each row, of any length.
        types: (T,) token type of each token of each row, or `None` for a model without.
        sources: number of each row's text among those that were given.
        issues: an issue for each text cut or left out.
    """

    ids: tuple[Int32s, ...]
    types: tuple[Int32s, ...] | None
    sources: tuple[int, ...]
    issues: tuple[DataIssue, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def kept(self, rows: Sequence[int], sources: Sequence[int]) -> EncodedRows:
        """Some of the rows, with other sources."""
        return EncodedRows(
            ids=tuple(self.ids[row] for row in rows),
            types=None if self.types is None else tuple(self.types[row] for row in rows),
            sources=tuple(sources),
            issues=self.issues,
        )


def encode_rows(texts: Sequence[Text], places: Sequence[Place], form: RowFormat) -> EncodedRows:
    """Rows of texts and of pairs.

    Args:
        texts: each a text or a (first, second) pair.
        places: the place of each text in its file.
        form: the format of the rows.

    Raises:
        InputError: a text is not valid Unicode, or too long where `on_long` is `refuse`.
        ConfigError: pairs, and no room for both in `max_tokens`; a token type the model lacks.
    """
    ids: list[Int32s] = []
    types: list[Int32s] = []
    single: dict[int, Int32s] = {}  # the types of rows of one text, all 0, by their length: one array for many rows
    sources: list[int] = []
    pair = next((index for index, text in enumerate(texts) if not isinstance(text, str)), None)
    issues = [] if pair is None else pair_issues(places[pair], form)
    for index, (encoding, full) in enumerate(_encodings(texts, places, form)):
        issue = _length_issue(full, places[index], form)
        if issue is not None:
            issues.append(issue)
            if issue.dropped:
                continue
        ids.append(np.array(encoding.ids, dtype=np.int32))
        own = np.array(encoding.type_ids, dtype=np.int32)
        types.append(own if own.any() else single.setdefault(len(own), own))
        sources.append(index)
    return EncodedRows(
        ids=tuple(ids),
        types=_checked_types(types, form) if form.num_token_types > 1 else None,
        sources=tuple(sources),
        issues=tuple(issues),
    )


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


def _length_issue(full: int, place: Place, form: RowFormat) -> DataIssue | None:
    if full == 0:
        return DataIssue(place=place, what="the text is empty: it has no tokens", remedy="give it a text", dropped=True)
    if full <= form.max_tokens:
        return None
    what = f"the text is {full} tokens and a row holds {form.max_tokens}"
    remedy = "raise max_tokens, as far as the model's context goes, or shorten the text"
    if form.on_long == "refuse":
        raise InputError(f"{place}: {what}; {remedy}, or let on_long cut or drop it")
    if form.on_long == "drop":
        return DataIssue(place=place, what=f"{what}: left out", remedy=remedy, dropped=True)
    return DataIssue(place=place, what=f"{what}{CUT}", remedy=remedy, dropped=False)


def pair_issues(first: Place, form: RowFormat) -> list[DataIssue]:
    """Check that pairs have room in a row, and report a tokenizer that puts nothing between their texts.

    Args:
        first: the place of the first pair in its file.
        form: the format of the rows.

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
        DataIssue(
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
