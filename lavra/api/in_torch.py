"""Functions of a loaded model that only torch has: embedding by other settings, and saving.

`TextModel` calls them by reference: a model that the native runner computes never imports this module.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from lavra.adapt.embedding_folder import keep_embedding_config
from lavra.api.adapter import write_adapter
from lavra.api.model import TextModel
from lavra.api.saving import refuse_foreign
from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.engine.runners.fused import is_fused
from lavra.generate.in_process import InProcessModel
from lavra.model.build import Model
from lavra.model.lineage import model_parents, source_facts
from lavra.model.task_folder import save_task_model
from lavra.quantize.expand import as_stored
from lavra.quantize.folder import save_model
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tasks.predicting.torch_headed import TorchHeadedModel

logger = logging.getLogger(__name__)


def save_text_model(model: TextModel, target: Path) -> Path:
    """Do the work of `TextModel.save`."""
    headed = _headed(model)
    held = in_process(model, "save") if headed is None else headed
    refuse_foreign(target)
    parents = model_parents(model.folder)
    with atomic_folder(target) as work:
        held.tokenizer.save(work)
        if model.adapter is not None:
            write_adapter(held.model, model.adapter, work, parents)
            return target
        if headed is None:
            save_model(_savable(model, in_process(model, "save").model), work)
        else:
            save_task_model(headed.model, work)
        if model.folder is not None:
            keep_embedding_config(model.folder, work)
        facts = {} if model.folder is None else source_facts(model.folder)
        write_card(work, kind="model", parents=parents, config={"family": held.model.config.family, **facts})
    return target


def _headed(model: TextModel) -> TorchHeadedModel | None:
    """The model with a head, where torch computes it; None for a language model."""
    headed = model.predictor.headed if isinstance(model.predictor, HeadedPredictor) else None
    return headed if isinstance(headed, TorchHeadedModel) else None


def _savable(opened: TextModel, model: Model) -> Model:
    """The model in its folder's form: weights that were expanded for speed are saved in their compressed form."""
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
    """The facts that change the last bits of a model's numbers besides its weights: torch, threads, device, type."""
    port = model.port.model if isinstance(model.port, InProcessModel) else None
    device = None if port is None else next(port.parameters()).device.type
    return [torch.__version__, torch.get_num_threads(), device, str(dtype_of(model))]


def dtype_of(model: TextModel) -> torch.dtype | None:
    """Type of a model's weights; None for a model that is not a language model of torch's."""
    return next(model.port.model.parameters()).dtype if isinstance(model.port, InProcessModel) else None


def in_process(model: TextModel, method: str) -> InProcessModel:
    """The port of a model whose weights torch holds in this process.

    Raises:
        InputError: the weights are in another process.
    """
    if not isinstance(model.port, InProcessModel):
        raise InputError(
            f"{method} needs the weights in this process, and {type(model.port).__name__} has them elsewhere"
        )
    return model.port
