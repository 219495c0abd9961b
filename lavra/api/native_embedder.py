"""Texts to vectors with the native runner: whole texts, no padding, and the same bits in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.text_embedder import TextEmbedder
from lavra.engine.adapters import EngineAdapter
from lavra.engine.runners.native_encoder import NativeEncoder
from lavra.engine.runners.native_model import NativeModel
from lavra.generate.prompt_encoding import encoding_of
from lavra.model.config import Kind
from lavra.model.pooling import Pooling, pool_text
from lavra.tokens.tokenizer import Tokenizer


class NativeEmbedder(TextEmbedder):
    """The `Embedder` port on native weights: a decoder, an encoder, or the encoder of an encoder-decoder.

    Args:
        model: model that reads the texts.
        tokenizer: tokenizer of the model.
        config: settings of the embedding.
        adapter: adapter that acts on every text.
    """

    def __init__(
        self, model: NativeModel, tokenizer: Tokenizer, config: EmbeddingConfig, adapter: EngineAdapter | None = None
    ) -> None:
        super().__init__(encoding_of(model.config, tokenizer), config, virtual=_virtual(model, adapter))
        self._model, self._adapter = model, None if adapter is None else adapter.name

    @cached_property
    def _encoder(self) -> NativeEncoder:
        """The encoder, made for the first text: most decoders embed no text, and the encoder has threads of its own."""
        return NativeEncoder(self._model)

    def _vectors(self, rows: Sequence[Sequence[int]], pooling: Pooling, unpooled: int) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(rows), self._model.config.hidden_size), dtype=np.float32)
        batches = self._encoder.batches(rows, adapter=self._adapter)
        for number, hidden in enumerate(hidden for batch in batches for hidden in batch):
            vectors[number] = pool_text(hidden, pooling, unpooled)
        return vectors


def _virtual(model: NativeModel, adapter: EngineAdapter | None) -> tuple[int, ...]:
    """Virtual tokens in front of each text."""
    if adapter is None:
        return ()
    return adapter.front.source if model.config.kind is Kind.ENCODER_DECODER else adapter.front.prompt
