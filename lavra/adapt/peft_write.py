"""Saving an adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.

`peft.PeftModel.from_pretrained` opens the folder over the model `transformers` opens, with equal logits.  Adapters of
methods that PEFT lacks are saved in the same two files, in lavra's form (`own_form`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torch import Tensor, nn

from lavra.adapt.inject import adapter_modules, adapters_of
from lavra.adapt.layers import core_of
from lavra.adapt.methods.table import method_of
from lavra.adapt.own_form import write_own_form
from lavra.adapt.peft_config import shared_fields
from lavra.adapt.peft_content import AdapterContent, TrainedAdapter
from lavra.adapt.peft_file import CONFIG_FILE, PROMPT, TENSOR_FILE
from lavra.adapt.peft_names import PeftNames, saved_modules
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import ConfigError
from lavra.base.files import write_json
from lavra.base.lazy import resolve
from lavra.base.tasks import HeadKind
from lavra.model.config import Kind
from lavra.model.heads import TaskModel
from lavra.model.tensor_writing import write_file

_HEADS: Final = {
    HeadKind.SEQUENCE: "SEQ_CLS",
    HeadKind.TOKEN: "TOKEN_CLS",
    HeadKind.SPAN: "QUESTION_ANS",
}
_KINDS: Final = {
    Kind.DECODER: "CAUSAL_LM",
    Kind.ENCODER: "FEATURE_EXTRACTION",
    Kind.ENCODER_DECODER: "SEQ_2_SEQ_LM",
}


def save_adapter(model: nn.Module, name: str, folder: Path | str, *, base: str | None = None) -> None:
    """Save one adapter; other files in the folder stay.

    Args:
        model: adapted model.
        name: name of the adapter.
        folder: folder to write, created where it is missing.
        base: folder or hub id of the adapter's model, for `base_model_name_or_path`.

    Raises:
        InputError: the model has no such adapter.
        ConfigError: adapters are merged, or PEFT's format cannot express this adapter.
    """
    state = adapters_of(model)
    config = state.config(name)
    if state.merged:
        raise ConfigError(f"{', '.join(state.merged)} are merged into the weights; unmerge before saving adapters")
    names, parts = PeftNames(model), adapter_modules(model, name)
    copies = {place for place in parts if isinstance(model.get_submodule(place), TrainedCopies)}
    method = method_of(config)
    own = {place: part for place, part in parts.items() if place not in copies}
    adapter = TrainedAdapter(model=model, config=config, names=names, parts=own)
    content: AdapterContent = write_own_form(adapter) if method.peft is None else resolve(method.peft.write)(adapter)
    saved, whole = _saved({place: parts[place] for place in sorted(copies)}, names, own=method.peft is None)
    stem = "base_model" if method.in_front is not None and method.peft is not None else "base_model.model"
    stored = {one if one == PROMPT else f"{stem}.{one}": part for one, part in {**content.tensors, **saved}.items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tensors(folder / TENSOR_FILE, stored)
    shared = shared_fields(method.kind, base, _task_type(model))
    facts = {**shared, **content.fields, "modules_to_save": whole or None}
    write_json(folder / CONFIG_FILE, facts)


def _saved(copies: dict[str, nn.Module], names: PeftNames, *, own: bool) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors of modules trained whole, and PEFT's names for those modules."""
    tensors: dict[str, Tensor] = {}
    modules: list[str] = []
    for place, copy in copies.items():
        ours = {f"{place}.{leaf}": tensor for leaf, tensor in copy.state_dict().items()}
        found = ours if own else {names.their_parameter(one): tensor for one, tensor in ours.items()}
        tensors.update(found)
        modules.append(place if own else saved_modules(found))
    return tensors, modules


def _task_type(model: nn.Module) -> str | None:
    """PEFT's word for the task of the model; PEFT chooses its wrapper class by this word."""
    if isinstance(model, TaskModel):
        return _HEADS.get(model.task.head)
    return _KINDS[core_of(model)[1].config.kind]


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    write_file(path, {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
