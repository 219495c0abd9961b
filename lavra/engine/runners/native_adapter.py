"""An adapter's folder for the native runner: LoRA, DoRA, IA3, a soft prompt or a prefix, read as arrays.

    adapter_config.json   the adapter's kind, and the scale of LoRA's products
    safetensors           the tensors, under PEFT's names for the layers of a checkpoint

The readers of names, parts and shapes are those that put an adapter into a torch model (`lavra.adapt`).  Parts that
the native runner does not compute are refused with the reason: bottlenecks, and modules that are trained whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from lavra.adapt.config import check_adapter_name
from lavra.adapt.methods.ia3 import read_ia3, split_factors
from lavra.adapt.methods.lora import check_lora, read_lora, used_columns
from lavra.adapt.methods.prefix import layer_numbers, read_prefix, split_prefix
from lavra.adapt.methods.prompt import read_prompt
from lavra.adapt.methods.table import stored_method
from lavra.adapt.peft_config import whole_modules
from lavra.adapt.peft_file import CONFIG_FILE, AdapterTensors, adapter_tensor_file, parse, read_adapter_config
from lavra.adapt.places import LayerPlace, stored_matrices
from lavra.base.arrays import Float32s
from lavra.base.errors import CheckpointError
from lavra.base.files import hash_file, hash_json
from lavra.engine.adapters import EngineAdapter
from lavra.engine.runners.folded_weights import Fold, times_columns, times_rows, with_lengths
from lavra.engine.runners.native_floats import NotNativeError
from lavra.engine.runners.native_model import LowRankChange, NativeModel
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.config import Kind, ModelConfig
from lavra.model.families.fields import Fields
from lavra.model.families.head_forms import HeadForm
from lavra.model.families.table import family
from lavra.model.shapes import parameter_shapes
from lavra.model.tensors import FLOATS, TensorFiles

_COMPUTED: Final = ("LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING")


@dataclass(frozen=True, kw_only=True)
class NativeAdapter:
    """The contents of an adapter's folder: one of `changes`, `folds`, `rows` and `pairs`.

    Attributes:
        version: 16 hex digits that change with the files.
        changes: LoRA's changes of the model's matrices.
        folds: DoRA's or IA3's, by the name of the tensor; the model's weights must be read through them.
        rows: (n, D) a soft prompt's embeddings.
        pairs: (L, n, 2, K * C) a prefix's keys and values of each layer.
        saved: tensors of a task's head and pooler that were trained with it, under the checkpoint's names.
    """

    version: str
    changes: tuple[LowRankChange, ...] = ()
    folds: Mapping[str, Fold] = field(default_factory=dict)
    rows: Float32s | None = None
    pairs: Float32s | None = None
    saved: Mapping[str, Float32s] = field(default_factory=dict)

    def add_to(self, model: NativeModel, name: str) -> EngineAdapter:
        """Add the adapter to a model, under a name for rows.

        A soft prompt's virtual tokens stand before the text that T5 reads, a prefix's before its output, as in PEFT.

        Raises:
            ConfigError: the name is unfit.
            NativeError: a change belongs to no matrix of the model.
        """
        check_adapter_name(name)
        model.add_adapter(name, self.changes)
        return EngineAdapter(name=name, version=self.version, front=self._add_virtual(model))

    def _add_virtual(self, model: NativeModel) -> VirtualTokens:
        if self.rows is not None:
            ids = model.add_virtual_tokens(self.rows)
            return VirtualTokens(source=ids) if model.config.kind is Kind.ENCODER_DECODER else VirtualTokens(prompt=ids)
        return NO_VIRTUAL_TOKENS if self.pairs is None else VirtualTokens(prompt=model.add_prefix(self.pairs))


def open_adapter(folder: Path, config: ModelConfig, *, form: HeadForm | None = None) -> NativeAdapter:
    """Read the adapter in a folder.

    Args:
        folder: folder with `adapter_config.json` and `adapter_model.safetensors`.
        config: configuration of the model it belongs to.
        form: form of a task's head over the model, which may have been trained with it.

    Raises:
        NotNativeError: only torch computes the adapter.
        CheckpointError: a file is missing, damaged or pickled, a setting cannot be honoured, or the adapter belongs to
            another model.
        ConfigError: the model cannot have such an adapter.
    """
    fields = Fields(read_adapter_config(folder), where=str(folder / CONFIG_FILE))
    path = adapter_tensor_file(folder)
    kind = stored_method(fields).kind
    if kind not in _COMPUTED:
        raise NotNativeError(f"the adapter is of the kind {kind}")
    parsed = parse(_arrays(path))
    if form is None and (parsed.saved or whole_modules(fields)):
        raise NotNativeError("the adapter has modules that are trained whole")
    version = hash_json([fields.raw, hash_file(path)])[:16]
    if kind in ("LORA", "IA3"):
        if not parsed.layers or parsed.prompt is not None:
            raise CheckpointError(
                f"{fields.where}: a {kind} adapter holds tensors of layers and no prompt_embeddings; save it again"
            )
        bare = parsed if form is None else _without(form.prefix, parsed)
        return replace((_lora if kind == "LORA" else _ia3)(version, fields, bare, config), saved=parsed.saved)
    if parsed.prompt is None or parsed.layers:
        raise CheckpointError(
            f"{fields.where}: a {kind} adapter holds the tensor prompt_embeddings and no tensors of layers; save it "
            "again"
        )
    if kind == "PREFIX_TUNING":
        return NativeAdapter(version=version, pairs=_pairs(fields, parsed.prompt, config), saved=parsed.saved)
    return NativeAdapter(version=version, rows=_rows(fields, parsed.prompt, config), saved=parsed.saved)


def _arrays(path: Path) -> dict[str, Float32s]:
    """Every tensor of a file in float32."""
    file = TensorFiles([path])
    for name, kind in file.dtypes.items():
        if kind not in FLOATS:
            raise CheckpointError(f"{path}: tensor {name} has type {kind}; an adapter's are {', '.join(FLOATS)}")
    return {name: _floats(file.array(name), file.dtypes[name]) for name in sorted(file.names)}


def _floats(values: Any, kind: str) -> Float32s:
    if kind != "BF16":
        return np.asarray(values, dtype=np.float32)
    floats: Float32s = (values.astype(np.uint32) << 16).view(np.float32)  # bfloat16 is the upper half of float32
    return floats


def _without(prefix: str, parsed: AdapterTensors) -> AdapterTensors:
    """The same names without the prefix that a class with a task's head puts before the base model's names."""
    return replace(parsed, layers={name.removeprefix(prefix): one for name, one in parsed.layers.items()})


def _lora(version: str, fields: Fields, parsed: AdapterTensors, config: ModelConfig) -> NativeAdapter:
    settings = read_lora(fields, ("unknown",), ())
    changes: list[LowRankChange] = []
    folds: dict[str, Fold] = {}
    for theirs, place, sizes, tensors in _changed_layers(parsed, config):
        check_lora(place, tensors, sizes, dora=settings.dora)
        rank, stored = settings.rank_of([theirs]), len(tensors["lora_A.weight"])
        if rank != stored:
            raise CheckpointError(f"{fields.where}: {theirs} has rank {rank} there and {stored} in its tensors")
        made = list(_low_rank(place, tensors, settings.scale_of([theirs], rank)))
        if settings.dora:
            lengths = place.rows.split(tensors["lora_magnitude_vector"])
            folds.update({one.matrix: with_lengths(one, own) for one, own in zip(made, lengths, strict=True)})
        else:
            changes += [one for one in made if len(one.down)]
    return NativeAdapter(version=version, changes=tuple(changes), folds=folds)


def _low_rank(place: LayerPlace, tensors: Mapping[str, Float32s], scale: float) -> Iterator[LowRankChange]:
    """PEFT's LoRA on a matrix of the checkpoint, as a change of each of our matrices in it; of rank 0 if it is zero."""
    parts = place.rows.split(tensors["lora_B.weight"])
    for name, part, columns in zip(place.ours, parts, used_columns(parts), strict=True):
        down = tensors["lora_A.weight"][columns]
        yield LowRankChange(matrix=f"{name}.weight", down=down, up=part[:, columns], scale=scale)


def _ia3(version: str, fields: Fields, parsed: AdapterTensors, config: ModelConfig) -> NativeAdapter:
    folds: dict[str, Fold] = {}
    for _, place, sizes, tensors in _changed_layers(parsed, config):
        parts, on_inputs = split_factors(place, tensors, sizes)
        for name, factors in zip(place.ours, parts, strict=True):
            folds[f"{name}.weight"] = times_columns(factors) if on_inputs else times_rows(factors)
            if not on_inputs:
                folds[f"{name}.bias"] = times_columns(factors)
    read_ia3(fields, tuple(folds), (), ())  # refuses settings that lavra cannot honour
    return NativeAdapter(version=version, folds=folds)


def _changed_layers(
    parsed: AdapterTensors, config: ModelConfig
) -> Iterator[tuple[str, LayerPlace, tuple[int, int], Mapping[str, Float32s]]]:
    """For each changed matrix of the checkpoint: its name there, its place, (outputs, inputs), tensors."""
    places, shapes = _linear_layers(config), parameter_shapes(config)
    for theirs, tensors in parsed.layers.items():
        place = places.get(theirs.removeprefix(family(config.family).prefix))
        if place is None:  # an embedding, a head, or another model's layer: torch's reader distinguishes them
            raise NotNativeError(f"the adapter changes {theirs}")
        ours = [shapes[f"{name}.weight"] for name in place.ours]
        yield theirs, place, (sum(outputs for outputs, _ in ours), ours[0][1]), tensors


def _linear_layers(config: ModelConfig) -> dict[str, LayerPlace]:
    """The matrices of the blocks, by their name in the checkpoint without the base model's prefix."""
    shapes, prefix = parameter_shapes(config), family(config.family).prefix
    return {
        place.theirs.removeprefix(prefix): place
        for place in stored_matrices(config)
        if all(".blocks." in name and len(shapes[f"{name}.weight"]) == 2 for name in place.ours)
    }


def _rows(fields: Fields, stored: Float32s, config: ModelConfig) -> Float32s:
    num_tokens = read_prompt(fields, ()).num_tokens
    kept = stored[:num_tokens] if len(stored) == 2 * num_tokens else stored  # PEFT reads no rows for T5's decoder
    if kept.shape != (num_tokens, config.hidden_size):
        raise CheckpointError(
            f"tensor prompt_embeddings of the adapter has shape {list(stored.shape)}, expected "
            f"{[num_tokens, config.hidden_size]}; the adapter was made for another model"
        )
    return kept


def _pairs(fields: Fields, stored: Float32s, config: ModelConfig) -> Float32s:
    """(n, 2 L H' C) of the file -> (L, n, 2, K * C), in the order of the layers that read them."""
    num_tokens = read_prefix(fields, ()).num_tokens
    pairs: Float32s = split_prefix(stored, num_tokens, config)  # (n, L, 2, K, C)
    read = pairs[:, list(layer_numbers(config))].transpose(1, 0, 2, 3, 4)
    return read.reshape(read.shape[0], num_tokens, 2, -1)
