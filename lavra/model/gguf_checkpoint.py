"""Opening a GGUF file as a model: llama.cpp's tensors and settings put into our own.

A tensor is read from the mapped file and dequantized in slices of rows, so the peak is the model and one tensor.  The
weights become floats, because lavra trains and serves those; in which blocks they were kept stays known
(`ModelConfig.dequantized_from`), since a copy of rounded weights is no measure of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import GgufFile, GgufTensor, read_gguf
from lavra.model.build import Model, new_model
from lavra.model.config import DEQUANTIZED_FROM, ModelConfig
from lavra.model.families import family, family_names
from lavra.model.families.family import Family
from lavra.model.families.fields import Fields
from lavra.model.families.gguf_facts import GgufFacts
from lavra.model.families.gguf_rope import FACTORS
from lavra.model.gguf_library import gguf_library
from lavra.model.gguf_names import Planned, plan_tensors
from lavra.tokens.gguf_tokenizer import WORDPIECE, end_ids

_PLAIN: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES: Final = {kind: str(dtype).removeprefix("torch.") for kind, dtype in _PLAIN.items()}
_TYPES: Final = {_NAMES[kind]: dtype for kind, dtype in _PLAIN.items()}
_SLICE: Final = 1 << 19  # numbers dequantized at once: 2 MB, and a few times that on the way
_UNUSED: Final = (FACTORS, "rope_factors_long.weight", "rope_factors_short.weight")
_SHOWN: Final = 3


def gguf_config_fields(path: Path) -> dict[str, Any]:
    """The fields of a `config.json` that say what a GGUF file says.

    Raises:
        CheckpointError: no family of lavra's has that architecture, or a setting cannot be honoured.
    """
    file = read_gguf(path)
    source, read = _family(file)
    facts = GgufFacts(file)
    fields = read(facts)
    facts.finish()
    kind = block_format(file)
    return {
        **fields,
        **_special_ids(file),
        "model_type": source.model_type,
        "dtype": _NAMES.get(kind, _NAMES["F32"]),
        **({} if kind in _PLAIN else {DEQUANTIZED_FROM: kind}),
    }


def load_gguf_config(path: Path) -> ModelConfig:
    """The configuration of a GGUF file."""
    raw = gguf_config_fields(path)
    config = family(raw["model_type"]).read(Fields(raw, where=str(path)), frozenset())
    return replace(config, dtype=raw["dtype"], source=raw)


def load_gguf(
    path: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[Model, ModelConfig]:
    """Open a GGUF file, in evaluation mode.

    Args:
        path: of the file.
        dtype: of the weights; by default that of a file in 16 bits, and float32 for blocks.
        device: where they go.

    Raises:
        CheckpointError: the architecture is not supported, a setting cannot be honoured, the file is damaged or
            truncated, or tensors are missing, unexpected or of the wrong shape.
    """
    config, file = load_gguf_config(path), read_gguf(path)
    target = dtype or _TYPES[config.dtype]
    with torch.device("meta"):
        model = new_model(config)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    planned = plan_tensors(config, list(shapes))
    _check(planned, shapes, file)
    for one in planned:
        rows = read_tensor(file, one.name)
        for name, part in zip(one.ours, one.split(rows, [shapes[name][0] for name in one.ours]), strict=True):
            owned = torch.empty(part.shape, dtype=target, device=device)
            owned.copy_(part)
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, nn.Parameter(owned))
    return model.eval(), config


def read_tensor(file: GgufFile, name: str) -> Tensor:
    """One tensor as float32, whatever it is kept in.

    Raises:
        CheckpointError: its block format is unknown, or the file ends before it does.
    """
    tensor = file.tensors[name]
    kind = _kind(file, name)
    values, size = gguf_library().GGML_QUANT_SIZES[kind]
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    blocks = tensor.num_values // rows // values
    raw = np.memmap(file.path, dtype=np.uint8, mode="r", offset=tensor.offset, shape=(rows, blocks * size))
    found = torch.empty(rows, tensor.num_values // rows)
    step = max(1, _SLICE // max(1, found.shape[1]))
    try:
        for start in range(0, rows, step):
            slice_of = np.ascontiguousarray(raw[start : start + step])
            found[start : start + step] = torch.from_numpy(_floats(slice_of, kind))
    except NotImplementedError:
        raise CheckpointError(
            f"{file.path}: tensor {name} is in {kind.name}, which the gguf package does not make floats of; take a "
            "file in another block format, such as Q8_0 or Q4_K_M"
        ) from None
    return found.view(tensor.shape)


def _floats(rows: Any, kind: Any) -> Any:
    """Rows of bytes as rows of numbers."""
    plain = {"F32": np.float32, "F16": np.float16}.get(kind.name)
    return np.array(
        gguf_library().quants.dequantize(rows if plain is None else rows.view(plain), kind), dtype=np.float32
    )


def block_format(file: GgufFile) -> str:
    """The format that most numbers of a file's matrices are in, such as `Q4_1`, `F16` or `F32`."""
    counts: dict[str, int] = {}
    for name, tensor in file.tensors.items():
        if len(tensor.shape) > 1:
            kind = _kind(file, name).name
            counts[kind] = counts.get(kind, 0) + tensor.num_values
    return max(counts, key=lambda kind: counts[kind], default="F32")


def _kind(file: GgufFile, name: str) -> Any:
    tensor = file.tensors[name]
    try:
        kind = gguf_library().GGMLQuantizationType(tensor.kind)
    except ValueError:
        raise CheckpointError(
            f"{file.path}: tensor {name} is in block format {tensor.kind}, which is newer than the installed gguf "
            "package; run: pip install --upgrade gguf"
        ) from None
    return kind


def _family(file: GgufFile) -> tuple[Family, Callable[[GgufFacts], dict[str, Any]]]:
    """The first family with the file's architecture, and what reads its settings."""
    known: dict[str, tuple[Family, Callable[[GgufFacts], dict[str, Any]]]] = {}
    for name in family_names():
        form = family(name).gguf
        if form is not None and form.fields is not None:
            known.setdefault(form.architecture, (family(name), form.fields))
    if file.architecture not in known:
        raise CheckpointError(
            f"{file.path} holds the architecture {file.architecture!r}, which lavra does not open; it opens "
            f"{', '.join(sorted(known))}: run the file in llama.cpp"
        )
    return known[file.architecture]


def _special_ids(file: GgufFile) -> dict[str, Any]:
    values = {key.removeprefix("tokenizer.ggml."): value for key, value in file.values.items()}
    ends = end_ids(file)
    if values.get("model") == WORDPIECE:  # its first and last token frame a text, and end none
        ends, values["bos_token_id"] = [], None
    ids = {"bos_token_id": values.get("bos_token_id"), "pad_token_id": values.get("padding_token_id")}
    if ends:
        ids["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    return {name: value for name, value in ids.items() if value is not None}


def _check(planned: list[Planned], shapes: Mapping[str, torch.Size], file: GgufFile) -> None:
    """Refuse a file whose tensors are not exactly the model's, or whose end is missing."""
    expected, found = {one.name for one in planned}, set(file.tensors) - set(_UNUSED)
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    for names, what in ((missing, "missing"), (unexpected, "unexpected")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise CheckpointError(
                f"{file.path}: tensors of a {file.architecture} are {what}: {', '.join(names[:_SHOWN])}{more}; "
                "the file is damaged, or of a variant that lavra does not open"
            )
    for one in planned:
        first = shapes[one.ours[0]]
        wanted = (sum(shapes[name][0] for name in one.ours), *first[1:])
        given = file.tensors[one.name].shape
        if given != wanted:
            raise CheckpointError(
                f"{file.path}: tensor {one.name} has shape {list(given)}, expected {list(wanted)}; its settings and "
                "its tensors do not belong together"
            )
        _check_end(one.name, file.tensors[one.name], file)


def _check_end(name: str, tensor: GgufTensor, file: GgufFile) -> None:
    values, size = gguf_library().GGML_QUANT_SIZES[_kind(file, name)]
    end, there = tensor.offset + tensor.num_values // values * size, file.path.stat().st_size
    if tensor.shape[-1] % values:
        raise CheckpointError(f"{file.path}: tensor {name} has rows of {tensor.shape[-1]}, no multiple of {values}")
    if end > there:
        raise CheckpointError(
            f"{file.path} is truncated: {there:,} bytes, and tensor {name} ends at {end:,}; fetch it again"
        )
