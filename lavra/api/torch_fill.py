"""Gaps filled by torch's encoder (`fill.py`): texts of similar length side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lavra.api.fill import GapFiller
from lavra.api.padding import batches_by_length, padded
from lavra.base.arrays import Float32s
from lavra.generate.in_process import InProcessModel
from lavra.model.transformer import Encoder


class TorchMaskFiller(GapFiller):
    """The `MaskFiller` port on a torch model.

    Args:
        port: port of an encoder with a masked-token head.
        batch_size: number of texts computed together.

    Raises:
        InputError: the tokenizer has no mask token, or the model stands behind a soft prompt.
    """

    def __init__(self, port: InProcessModel, *, batch_size: int = 32) -> None:
        super().__init__(port.encoding, port.front)
        assert isinstance(port.model, Encoder)
        self._model, self._batch_size = port.model, batch_size

    def _states(self, texts: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, Tensor]]:
        for batch in batches_by_length(texts, self._batch_size):
            ids, mask = padded([texts[index] for index in batch], next(self._model.parameters()).device)  # (B,T), (B,T)
            with torch.inference_mode():
                hidden = self._model.hidden(ids, attention_mask=None if bool(mask.all()) else mask)  # (B,T,D)
            yield from zip(batch, hidden, strict=True)

    def _logits(self, states: Tensor) -> Float32s:
        with torch.inference_mode():
            out: Float32s = self._model.logits(states[None])[0].float().cpu().numpy()
        return out
