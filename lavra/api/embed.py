"""Texts to vectors with torch (`text_embedder.py`): of decoders, encoders, and encoders of encoder-decoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.padding import batches_of_tokens, padded
from lavra.api.text_embedder import TextEmbedder
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.model.pooled_rows import pool
from lavra.model.pooling import Pooling
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder

# Of MiniLM's 6 layers of 384 channels, 2,048 tokens of activations stay in a core's cache; 32 rows of 150 tokens took
# 6 % longer on a CPU, 64 of them 25 %.  A GPU wants large matrices.
_CPU_TOKENS: Final = 2048
_GPU_TOKENS: Final = 32_768


class TorchEmbedder(TextEmbedder):
    """The `Embedder` port on a torch model.

    Args:
        model: model in evaluation mode.
        encoding: encoding of the model's input.
        config: settings of the embedding.
        batch_tokens: tokens computed together; a value that suits the device unless given.
        virtual: ids of a soft prompt's tokens, put in front of every text.
    """

    def __init__(
        self,
        model: Decoder | Encoder | EncoderDecoder,
        encoding: PromptEncoding,
        config: EmbeddingConfig,
        *,
        batch_tokens: int | None = None,
        virtual: tuple[int, ...] = (),
    ) -> None:
        super().__init__(encoding, config, virtual=virtual)
        self._model, self._batch_tokens = model, batch_tokens

    def over(self, model: Decoder | Encoder | EncoderDecoder) -> TorchEmbedder:
        """The same embedder on an equal model."""
        return TorchEmbedder(model, self._encoding, self.config, batch_tokens=self._batch_tokens, virtual=self._virtual)

    def _vectors(self, rows: Sequence[Sequence[int]], pooling: Pooling, unpooled: int) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(rows), self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for batch in batches_of_tokens(rows, self._most_tokens()):
                pooled = self._pool([rows[index] for index in batch], pooling, unpooled)  # (B,D)
                vectors[batch] = pooled.cpu().numpy()
        return vectors

    def _most_tokens(self) -> int:
        device = next(self._model.parameters()).device.type
        return self._batch_tokens or (_CPU_TOKENS if device == "cpu" else _GPU_TOKENS)

    def _pool(self, rows: Sequence[Sequence[int]], pooling: Pooling, unpooled: int) -> Tensor:
        ids, mask = padded(rows, next(self._model.parameters()).device)  # (B,T), (B,T)
        hidden = self._hidden(ids, None if bool(mask.all()) else mask).float()  # (B,T,D)
        if pooling is Pooling.MEAN and unpooled:
            rest = mask.clone()
            rest[:, :unpooled] = False
            mask = torch.where(rest.any(dim=1, keepdim=True), rest, mask)  # a text of the prompt alone keeps it
        return pool(hidden, mask, pooling)

    def _hidden(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        if isinstance(self._model, EncoderDecoder):
            return self._model.encode(ids, attention_mask=mask)
        return self._model.hidden(ids, attention_mask=mask)
