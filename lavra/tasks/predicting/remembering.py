"""A model with a head that computes each text once: a labelled file is predicted, then scored."""

from __future__ import annotations

import numpy as np

from lavra.base.arrays import Float32s
from lavra.data.rows.batches import TaskRows
from lavra.tasks.predicting.headed import HeadedModel


class RememberingModel(HeadedModel):
    """The same model, with a memory: the logits of a row computed before are looked up.

    They are kept as long as it is: for one file, not for a server.

    Args:
        headed: the model that computes.
    """

    def __init__(self, headed: HeadedModel) -> None:
        super().__init__(
            headed.model,
            headed.tokenizer,
            batch_size=headed.batch_size,
            max_tokens=headed.max_tokens,
            virtual=headed.virtual,
        )
        self._headed = headed
        self._known: dict[bytes, Float32s] = {}

    def logits(self, rows: TaskRows) -> list[Float32s]:
        """The logits as `HeadedModel.logits` gives them; rows computed before, alone or in a group, are looked up."""
        keys = [[_key(rows, row) for row in rows.own(number)] for number in range(len(rows))]
        if any(key not in self._known for own in keys for key in own):
            for own, found in zip(keys, self._headed.logits(rows), strict=True):
                self._known.update(zip(own, found if len(own) > 1 else [found], strict=True))
        return [np.stack([self._known[key] for key in own]) if len(own) > 1 else self._known[own[0]] for own in keys]


def _key(rows: TaskRows, row: int) -> bytes:
    """The tokens of a row, and their types."""
    types = b"" if rows.encoded.types is None else rows.encoded.types[row].tobytes()
    return rows.encoded.ids[row].tobytes() + types
