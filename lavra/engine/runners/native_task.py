"""Folders with a task's head for the native runner: whole models, and adapters that brought a head to another model.

The head's few matrices are read at once, in float32; the backbone's tensors one after the other, when they are packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lavra.base.arrays import Float32s
from lavra.base.errors import CheckpointError
from lavra.engine.runners.native_floats import (
    NativeWeights,
    NotNativeError,
    check_config,
    check_floats,
    float_tensor,
    float_tensors,
    in_float32,
)
from lavra.engine.runners.native_model import StoredTensor
from lavra.engine.runners.native_weights import open_weights
from lavra.model.config import Kind, ModelConfig
from lavra.model.families.head_forms import HeadForm, HeadInput
from lavra.model.families.table import family, head_form
from lavra.model.shapes import TensorShape, parameter_shapes
from lavra.model.task_config import TaskConfig
from lavra.model.task_files import BACKBONE, TaskFiles, open_task_files, task_in

POOLER: Final = f"{BACKBONE}pooler"
"""BERT's pooler, between the first token and the head."""

OUTPUT: Final = "head.output"
"""The head's last matrix."""

DENSE: Final = "head.dense"
"""A layer with tanh in front of it."""


@dataclass(frozen=True, kw_only=True)
class NativeTask:
    """A backbone and a task's head.

    Attributes:
        task: configuration of the head.
        form: the family's form of the head.
        config: configuration of the backbone.
        weights: weights of the part that reads texts: the backbone without its head and pooler, or T5's encoder alone.
        head: the matrices and biases of the head, and of the pooler if it reads one, in float32, by name.
    """

    task: TaskConfig
    form: HeadForm
    config: ModelConfig
    weights: NativeWeights
    head: Mapping[str, StoredTensor]


def open_native_task(folder: Path) -> NativeTask:
    """Open a folder of a model with a task's head; no weights are read yet.

    Raises:
        CheckpointError: the folder is damaged or incomplete.
        NotNativeError: only torch computes the backbone.
    """
    files = open_task_files(folder)
    check_config(files.config)
    reader = _reader(files.config, files.form)
    shapes = {f"{BACKBONE}{name}": shape for name, shape in parameter_shapes(reader).items()}
    shapes |= _head_shapes(files.config, files.form, files.task)
    for one in files.table:
        check_floats(one, files.checkpoint, shapes, folder)
    return NativeTask(
        task=files.task,
        form=files.form,
        config=files.config,
        weights=NativeWeights(
            config=reader, stored=files.config.dtype, packed=False, read=lambda: _tensors(files, backbone=True)
        ),
        head={one.name: in_float32(one) for one in _tensors(files, backbone=False)},
    )


def open_task_base(folder: Path, task: TaskConfig | None) -> NativeTask:
    """The model that an adapter with a task's head belongs to, with the parts of the head that the model itself has.

    Args:
        folder: folder of the model, with a head or without.
        task: task of the adapter's head; the model's own unless given.

    Raises:
        CheckpointError: the folder is damaged or incomplete.
        NotNativeError: only torch computes the model, or there is no head.
    """
    own = open_native_task(folder) if task_in(folder) is not None else None
    if task is None and own is None:
        raise NotNativeError("neither the adapter nor its model has a task's head")
    if own is not None and (task is None or (own.task.task, own.task.labels) == (task.task, task.labels)):
        return own
    assert task is not None
    return _over_backbone(open_weights(folder) if own is None else own.weights, own, task)


def with_saved(task: NativeTask, saved: Mapping[str, Float32s]) -> NativeTask:
    """The same task with the tensors that an adapter saves, under the checkpoint's names.

    Raises:
        CheckpointError: the head is incomplete, or does not fit the model.
        NotNativeError: the adapter has trained another module as a whole.
    """
    head = {**task.head, **_saved(saved, task)}
    _check_head(head, _head_shapes(task.config, task.form, task.task))
    return replace(task, head=head)


def _over_backbone(weights: NativeWeights, own: NativeTask | None, task: TaskConfig) -> NativeTask:
    """A task's head over a model without a head; the head's only tensors are the model's pooler."""
    whole = weights.config if own is None else own.config
    form = head_form(whole.family, task.head)
    bare = replace(whole, has_head=False, head_bias=False, head_transform=False)
    config = replace(bare, has_pooler=form.reads is HeadInput.POOLED)
    reader = _reader(config, form)
    if own is not None and own.weights.config != reader:
        raise NotNativeError("the adapter's head reads other parts of its model than the model's own head")
    if own is None and form.reads is HeadInput.POOLED and whole.has_pooler:
        pooler = {one.name: one for one in weights.read() if one.name.startswith("pooler.")}
        head = {f"{BACKBONE}{name}": in_float32(one) for name, one in pooler.items()}
    else:
        head = {} if own is None else {name: one for name, one in own.head.items() if name.startswith(POOLER)}
    wanted = parameter_shapes(reader)
    read = replace(weights, config=reader, read=lambda: (one for one in weights.read() if one.name in wanted))
    return NativeTask(task=task, form=form, config=config, weights=read, head=head)


def _saved(tensors: Mapping[str, Float32s], task: NativeTask) -> dict[str, StoredTensor]:
    """The tensors of a head and a pooler that an adapter saves, under our names."""
    prefixes = [one for one in (family(task.config.family).prefix, task.form.prefix) if one]
    ours = {task.form.output: OUTPUT, **({task.form.dense: DENSE} if task.form.dense else {})}
    ours |= {
        _bare(one.theirs, prefixes).rpartition(".")[0]: POOLER
        for one in family(task.config.family).table(task.config)
        if one.ours[0] == "pooler.weight"
    }
    found = {}
    for name, values in tensors.items():
        module, _, leaf = _bare(name, prefixes).rpartition(".")
        if module not in ours:
            raise NotNativeError(f"the adapter has trained {name} as a whole")
        found[f"{ours[module]}.{leaf}"] = float_tensor(f"{ours[module]}.{leaf}", "F32", values)
    return found


def _bare(name: str, prefixes: list[str]) -> str:
    """A name of the checkpoint without the prefix of the base model."""
    prefix = next((one for one in prefixes if name.startswith(one)), "")
    return name.removeprefix(prefix)


def _check_head(head: Mapping[str, StoredTensor], shapes: Mapping[str, TensorShape]) -> None:
    for name, shape in shapes.items():
        wanted = shape if len(shape) == 2 else (1, *shape)
        found = (head[name].rows, head[name].columns) if name in head else None
        if found != wanted:
            fault = "is missing" if found is None else f"has shape {list(found)}, expected {list(wanted)}"
            raise CheckpointError(f"tensor {name} of the adapter {fault}; the adapter was made for another model")


def _reader(config: ModelConfig, form: HeadForm) -> ModelConfig:
    """The configuration of the part that reads texts."""
    plain = replace(config, has_head=False, has_pooler=False)
    return replace(plain, kind=Kind.ENCODER, num_decoder_layers=None) if form.encoder_only else plain


def _head_shapes(config: ModelConfig, form: HeadForm, task: TaskConfig) -> dict[str, TensorShape]:
    """Shapes of the head and of a pooler that it reads, by the names of `task_table`."""
    size, num_outputs = config.hidden_size, len(task.labels)
    shapes: dict[str, TensorShape] = {f"{OUTPUT}.weight": (num_outputs, size)}
    if form.bias:
        shapes[f"{OUTPUT}.bias"] = (num_outputs,)
    if form.dense:
        shapes |= {f"{DENSE}.weight": (size, size), f"{DENSE}.bias": (size,)}
    if config.has_pooler:
        shapes |= {f"{POOLER}.weight": (size, size), f"{POOLER}.bias": (size,)}
    return shapes


def _tensors(files: TaskFiles, *, backbone: bool) -> Iterator[StoredTensor]:
    """The backbone's tensors under the model's own names, or the tensors of the head."""
    wanted = [one for one in files.table if _is_backbones(one.ours[0]) is backbone]
    for tensor in float_tensors(wanted, files.checkpoint):
        yield replace(tensor, name=tensor.name.removeprefix(BACKBONE)) if backbone else tensor


def _is_backbones(name: str) -> bool:
    return name.startswith(BACKBONE) and not name.startswith(POOLER)
