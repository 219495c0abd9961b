"""A model with a task's head that the native runner computes: rows read alone, without padding."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lavra.api.adapter_folder import AdapterFolder
from lavra.api.model import TextModel
from lavra.api.native_model import InTorchOnce, OpenInTorch, held_in, in_half
from lavra.api.no_writer import NoWriter
from lavra.api.saving import saved_by_copying
from lavra.base.arrays import Float32s, Int32s
from lavra.base.card import CARD_FILE
from lavra.base.memory import release_freed_memory
from lavra.base.native_library import NativeLibrary
from lavra.data.rows.batches import TaskRows
from lavra.engine.runners.folded_weights import folded
from lavra.engine.runners.native_adapter import NativeAdapter, open_adapter
from lavra.engine.runners.native_floats import NotNativeError
from lavra.engine.runners.native_head import NativeTaskModel
from lavra.engine.runners.native_task import NativeTask, open_native_task, open_task_base, with_saved
from lavra.model.config import Kind
from lavra.model.families.head_forms import HeadInput
from lavra.model.task_config import TaskConfig
from lavra.quantize.held import HeldWeights
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


class NativeHeadedModel(HeadedModel):
    """A model with a head over the native runner; the bits of a text's logits are the same in every batch.

    Args:
        model: the backbone and the head.
        tokenizer: tokenizer of the model.
        max_tokens: as in `HeadedModel`.
        virtual: as in `HeadedModel`; not for tasks that give each token an output.
    """

    model: NativeTaskModel

    def __init__(
        self,
        model: NativeTaskModel,
        tokenizer: Tokenizer,
        *,
        max_tokens: int | None = None,
        virtual: tuple[int, ...] = (),
    ) -> None:
        super().__init__(model, tokenizer, max_tokens=max_tokens, virtual=virtual)

    def logits(self, rows: TaskRows) -> list[Float32s]:
        """The logits of rows, as in `HeadedModel.logits`."""
        types = rows.encoded.types
        found = self.model.logits(
            [self._behind(row, self.virtual) for row in rows.encoded.ids],
            None if types is None else [self._behind(row, [0] * len(self.virtual)) for row in types],
        )
        own = [rows.own(number) for number in range(len(rows))]
        return [np.stack([found[row] for row in group]) if len(group) > 1 else found[group[0]] for group in own]

    def _behind(self, row: Int32s, front: Sequence[int]) -> Int32s:
        """A row behind the virtual tokens, or the types of such a row."""
        return np.concatenate([np.asarray(front, dtype=np.int32), row]) if front else row


def open_headed(
    library: NativeLibrary,
    folder: Path,
    below: Path,
    adapter: AdapterFolder | None,
    *,
    dtype: str | None,
    expand: bool,
    in_torch: OpenInTorch,
) -> TextModel:
    """Open a model with a task's head, or an adapter that was trained with a head.

    Args:
        library: the native library.
        folder: folder of the model or of the adapter.
        below: folder of the model.
        adapter: adapter over the model.
        dtype: as in `lavra.load`.
        expand: as in `lavra.load`.
        in_torch: function that opens the folder with torch, for work that only torch does.

    Raises:
        NotNativeError: only torch computes this model.
    """
    if adapter is None:
        opened, change = open_native_task(below), None
    else:
        opened, change = _open_adapted(adapter, below)
    weights = opened.weights
    if weights.packed and expand and dtype is not None:
        raise NotNativeError(f"packed weights are to become {dtype}")
    tokenizer = Tokenizer.load(below if adapter is None else adapter.tokenizer_folder(below))
    stored = "float32" if change is not None and change.folds else weights.stored
    half = not weights.packed and in_half(weights.config, stored, dtype, below)
    model = NativeTaskModel(library, opened, half=half)
    acting = None if adapter is None or change is None else change.add_to(model.weights, adapter.name)
    model.adapter = None if acting is None else acting.name
    release_freed_memory()
    held = HeldWeights(stored=weights.stored, held=held_in(weights, half), num_bytes=model.num_bytes)
    logger.info("%s: %s on cpu, runner native (%s), weights %s", folder, opened.config.family, library.isa, held)
    headed = NativeHeadedModel(model, tokenizer, virtual=() if acting is None else acting.front.prompt)
    return TextModel(
        NoWriter(headed.spec),
        runner="native",
        tokenizer=tokenizer,
        predictor=HeadedPredictor(headed),
        folder=folder,
        adapter=adapter,
        held=held,
        in_torch=InTorchOnce(in_torch),
        save=saved_by_copying(folder, tokenizer, adapter, held, opened.config.family),
    )


def _open_adapted(adapter: AdapterFolder, below: Path) -> tuple[NativeTask, NativeAdapter]:
    """Open the head that an adapter was trained with, over its model, and the adapter."""
    head = None if adapter.head is None else TaskConfig.from_facts(adapter.head, where=str(adapter.folder / CARD_FILE))
    base = open_task_base(below, head)
    change = open_adapter(adapter.folder, base.config, form=base.form)
    if change.folds and base.weights.packed:
        raise NotNativeError("the adapter is folded into float weights, and these are packed")
    has_virtual = change.rows is not None or change.pairs is not None
    if has_virtual and (base.form.reads is HeadInput.EVERY or base.config.kind is Kind.ENCODER_DECODER):
        raise NotNativeError("the adapter's virtual tokens stand before a head that reads each token, or T5's decoder")
    weights = replace(base.weights, read=lambda: folded(base.weights.read(), change.folds))
    return with_saved(replace(base, weights=weights), change.saved), change
