"""The encoder of an index: what makes the vectors, and what tells it from every other.

Vectors of two encoders say nothing about one another, so an index remembers which one made its vectors and refuses
another.  The retrieval packages ask models through ports and open none: whoever has a model hands in a `NamedEmbedder`.
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
    """What tells one encoder from another.

    Attributes:
        name: a folder, a hub id, or the URL of an API and the model's name behind `#`; a key is never part of it.
        hash: of the files that decide its vectors, or of URL and model; encoders of one hash are equal, whatever their
            names.
        key_variable: environment variable with the key of an API.
    """

    name: str
    hash: str
    key_variable: str = ""


class NamedEmbedder:
    """An `Embedder` of known identity, whose vectors have unit length.

    Args:
        embedder: computes the vectors.
        identity: of the encoder.
        tokens: places of its tokens in a text; chunks are measured in them.  Without it they are measured in words.
        max_tokens: most tokens of a text that it reads; `None` where that is not known.
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
        """(N, D) float32 rows of unit length.

        Raises:
            InputError: the encoder gave something else than one finite row a text, none of them zero.
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
