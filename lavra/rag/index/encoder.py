"""The encoder of an index: it makes the vectors, and has an identity that differs from every other encoder's.

Vectors of two encoders cannot be compared, so an index remembers the encoder that made its vectors and refuses
another.  The retrieval packages call models through ports and open none: the caller gives a `NamedEmbedder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.base.ports import Embedder
from lavra.text.chunking.tokens import TokenSpans


@dataclass(frozen=True, kw_only=True)
class EncoderIdentity:
    """The identity of an encoder.

    Attributes:
        name: name of the encoder: a folder, a hub id, or the URL of an API and the model's name behind `#`; never a
            key.
        hash: hash of the files that decide its vectors, or of URL and model; encoders of equal hash are equal,
            whatever their names.
        key_variable: environment variable that holds the key of an API.
    """

    name: str
    hash: str
    key_variable: str = ""


class NamedEmbedder:
    """An `Embedder` of known identity, whose vectors have unit length.

    Args:
        embedder: computes the vectors.
        identity: name and hash of the encoder.
        tokens: function that gives the places of its tokens in a text; chunks are measured in them, or without it
            in words.
        max_tokens: most tokens of a text that it reads; `None` where this is not known.
    """

    def __init__(
        self,
        embedder: Embedder,
        identity: EncoderIdentity,
        *,
        tokens: TokenSpans | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._embedder = embedder
        self.identity = identity
        self.tokens = tokens
        self.max_tokens = max_tokens

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts: (N, D) float32 rows of unit length.

        Raises:
            InputError: the encoder did not give a finite, nonzero row for each text.
        """
        rows = np.asarray(self._embedder.embed(texts), dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(texts):
            raise InputError(f"{self.identity.name} gave vectors of shape {rows.shape} for {len(texts)} texts")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        wrong = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
        if len(wrong):
            raise InputError(
                f"{self.identity.name} gave a vector that is zero or not finite for {texts[wrong[0]][:60]!r}; "
                "choose another encoder"
            )
        unit: npt.NDArray[np.float32] = rows / lengths
        return unit
