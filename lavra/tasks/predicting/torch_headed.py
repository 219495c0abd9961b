"""A model with a task's head that torch computes: rows of like length side by side, padded and masked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lavra.adapt.virtual_rows import with_virtual_tokens
from lavra.base.arrays import Float32s
from lavra.data.rows.batches import TaskRows, inference_batches
from lavra.model.heads import TaskModel
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tokens.tokenizer import Tokenizer


class TorchHeadedModel(HeadedModel):
    """A `HeadedModel` over a model of torch's, which is in evaluation mode while it predicts.

    Args:
        model: on any device.
        tokenizer: the model's tokenizer.
        batch_size: samples computed together.
        max_tokens: as in `HeadedModel`.
        virtual: as in `HeadedModel`.
    """

    model: TaskModel

    def __init__(
        self,
        model: TaskModel,
        tokenizer: Tokenizer,
        *,
        batch_size: int = 32,
        max_tokens: int | None = None,
        virtual: tuple[int, ...] = (),
    ) -> None:
        super().__init__(model, tokenizer, batch_size=batch_size, max_tokens=max_tokens, virtual=virtual)

    def logits(self, rows: TaskRows) -> list[Float32s]:
        """The logits as `HeadedModel.logits` gives them."""
        rows = with_virtual_tokens(rows, self.virtual)
        found: list[Float32s] = [np.zeros(0, dtype=np.float32)] * len(rows)
        device = next(self.model.parameters()).device
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for numbers, batch in inference_batches(rows, self.batch_size):
                moved = batch.to(device)
                mask = None if bool(moved.attention_mask.all()) else moved.attention_mask
                out = self.model(moved.input_ids, attention_mask=mask, token_type_ids=moved.token_type_ids)
                lengths = batch.attention_mask.sum(dim=1).tolist()
                arrays = out.float().cpu().numpy()
                for place, number in enumerate(numbers):
                    found[number] = _of_sample(arrays, place, batch.group, lengths)
        self.model.train(training)
        return found


def _of_sample(arrays: Float32s, place: int, group: int, lengths: Sequence[int]) -> Float32s:
    """The part of a batch's logits that belongs to a sample."""
    if arrays.ndim == 3:
        return arrays[place, : lengths[place]]
    return arrays[place] if group == 1 else arrays[place * group : (place + 1) * group]
