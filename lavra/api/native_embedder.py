"""Texts to vectors with the native runner: whole texts, no padding, the same bits whatever the company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.text_embedder import TextEmbedder
from lavra.engine.runners.native_encoder import NativeEncoder
from lavra.generate.plan import PromptReading
from lavra.model.pooling import Pooling, pool_text

_TOKENS: Final = 2048  # computed together: their activations stay in the caches


class NativeEmbedder(TextEmbedder):
    """The `Embedder` port on an encoder, or the encoder of an encoder-decoder.

    Args:
        encoder: that reads.
        reading: how it reads.
        config: how texts are embedded.
    """

    def __init__(self, encoder: NativeEncoder, reading: PromptReading, config: EmbeddingConfig) -> None:
        super().__init__(reading, config)
        self._encoder = encoder

    def _vectors(self, rows: Sequence[Sequence[int]], pooling: Pooling, unpooled: int) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(rows), self._encoder.model.config.hidden_size), dtype=np.float32)
        first = 0
        while first < len(rows):
            last, tokens = first + 1, len(rows[first])
            while last < len(rows) and tokens + len(rows[last]) <= _TOKENS:
                tokens, last = tokens + len(rows[last]), last + 1
            for number, hidden in enumerate(self._encoder.hidden(rows[first:last]), start=first):
                vectors[number] = pool_text(hidden, pooling, unpooled)
            first = last
        return vectors
