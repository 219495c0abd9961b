"""The protocols of a tokenizer: each names only the methods that one part of this package calls.

`lavra.tokens.Tokenizer` has all of it; a test needs to fake only the part it uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lavra.base.errors import ConfigError

TokenArray = npt.NDArray[np.unsignedinteger[Any]]


class TextEncoder(Protocol):
    """The tokenizer of `write_tokens`."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        ...

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text."""
        ...

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text."""
        ...

    @property
    def unk_id(self) -> int | None:
        """The token that stands for text outside the vocabulary."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that no ordinary text should give."""
        ...

    @property
    def id_dtype(self) -> type[np.uint16] | type[np.uint32]:
        """The narrowest type that holds every id."""
        ...

    def encode_to_array(self, texts: Sequence[str], *, parse_special: bool = True) -> list[TokenArray]:
        """The ids of each text as an array of `id_dtype`; special tokens written in it are spelled out or read."""
        ...

    def num_unknown(self, ids: TokenArray) -> int:
        """The number of unknown tokens among these ids."""
        ...


class MaskingTokenizer(Protocol):
    """The tokenizer of `MaskedToken`."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        ...

    @property
    def mask_id(self) -> int | None:
        """The token that hides a token."""
        ...

    @property
    def cls_id(self) -> int | None:
        """The token before a piece of text."""
        ...

    @property
    def sep_id(self) -> int | None:
        """The token behind a piece of text."""
        ...

    @property
    def pad_id(self) -> int | None:
        """The token that fills a row."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are neither hidden nor used as random replacements."""
        ...

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """True at each token that begins a word."""
        ...


class SpanTokenizer(Protocol):
    """The tokenizer of `SpanCorruption`."""

    @property
    def eos_id(self) -> int | None:
        """The token that ends an input and a target."""
        ...

    @property
    def pad_id(self) -> int | None:
        """The token that fills a row and starts the decoder."""
        ...

    @property
    def sentinel_ids(self) -> Sequence[int]:
        """In order: `<extra_id_0>`, `<extra_id_1>` and so on."""
        ...


class TokenNames(Protocol):
    """The tokenizer of `inspect_rows`."""

    def token(self, token_id: int, /) -> str:
        """The token as the vocabulary spells it."""
        ...


def required_token(token_id: int | None, name: str, spelling: str) -> int:
    """The id, or a ConfigError that names the missing token."""
    if token_id is None:
        raise ConfigError(
            f"this objective needs a {name} token and the tokenizer has none; train the tokenizer with {spelling}"
        )
    return token_id
