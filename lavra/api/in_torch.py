"""What only torch does with a loaded model: it embeds by other settings, fills gaps, is saved.

`TextModel` comes here by reference: a model that the native runner computes never imports this.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from lavra.adapt.embedding_folder import keep_embedding_config
from lavra.adapt.peft_write import CONFIG_FILE
from lavra.api.adapter import write_adapter
from lavra.api.fill import Fill, fill_mask
from lavra.api.model import TextModel
from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.engine.runners.fused import is_fused
from lavra.generate.in_process import InProcessModel
from lavra.model.build import Model
from lavra.model.lineage import model_parents, source_facts
from lavra.model.task_folder import save_task_model
from lavra.quantize import save_model
from lavra.quantize.expand import as_stored
from lavra.tasks.predicting.predictor import HeadedPredictor

logger = logging.getLogger(__name__)


def fill_gaps(model: TextModel, text: str, *, top_k: int, targets: Sequence[str]) -> list[list[Fill]]:
    """As `TextModel.fill_mask`."""
    return fill_mask(in_process(model, "fill_mask"), text, top_k=top_k, targets=targets)


def save_text_model(model: TextModel, target: Path) -> Path:
    """As `TextModel.save`."""
    predictor = model.predictor if isinstance(model.predictor, HeadedPredictor) else None
    held = in_process(model, "save") if predictor is None else predictor.headed
    _refuse_foreign(target)
    parents = model_parents(model.folder)
    with atomic_folder(target) as work:
        held.tokenizer.save(work)
        if model.adapter is not None:
            write_adapter(held.model, model.adapter, work, parents)
            return target
        if predictor is None:
            save_model(_savable(model, in_process(model, "save").model), work)
        else:
            save_task_model(predictor.headed.model, work)
        if model.folder is not None:
            keep_embedding_config(model.folder, work)
        facts = {} if model.folder is None else source_facts(model.folder)
        write_card(work, kind="model", parents=parents, config={"family": held.model.config.family, **facts})
    return target


def _savable(opened: TextModel, model: Model) -> Model:
    """The model in the form its folder has: what was expanded for speed is not saved larger than it came."""
    if is_fused(model):
        raise InputError(
            "an engine computes over this model and laid its matrices out anew, so it cannot be saved; load "
            f"{opened.folder or 'its folder'} again, or start the engine with keep=True"
        )
    if opened.held is None or not opened.held.expanded or opened.folder is None:
        return model
    stored = as_stored(opened.folder, model)
    if stored is None:
        logger.warning(
            "the weights changed since they were opened from %s; they are saved as %s, uncompressed",
            opened.held.stored,
            opened.held.held,
        )
    return stored or model


def computed_by(model: TextModel) -> list[object]:
    """What the last bits of a model's numbers depend on besides its weights: torch, threads, device and type."""
    port = model.port.model if isinstance(model.port, InProcessModel) else None
    device = None if port is None else next(port.parameters()).device.type
    return [torch.__version__, torch.get_num_threads(), device, str(dtype_of(model))]


def dtype_of(model: TextModel) -> torch.dtype | None:
    """Type of a model's weights; None where it is no language model of torch's."""
    return next(model.port.model.parameters()).dtype if isinstance(model.port, InProcessModel) else None


def in_process(model: TextModel, method: str) -> InProcessModel:
    """The port of a model whose weights torch holds in this process.

    Raises:
        InputError: they are elsewhere.
    """
    if not isinstance(model.port, InProcessModel):
        raise InputError(
            f"{method} needs the weights in this process, and {type(model.port).__name__} has them elsewhere"
        )
    return model.port


def _refuse_foreign(target: Path) -> None:
    """Saving replaces a folder whole: never one that is not a model, or an adapter."""
    is_ours = any((target / name).exists() for name in ("config.json", CONFIG_FILE))
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not is_ours)):
        raise InputError(f"{target} exists and is not a model folder, and saving would replace it; name another folder")
