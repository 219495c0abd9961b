"""The facts of a quantized folder: its layout, its scheme, its packed tensors; nothing here needs torch.

`folder.py` has the two layouts, `interchange.py` has the code for compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.config import ModelConfig
from lavra.model.config_files import family_of, read_config, read_config_file
from lavra.model.tensor_names import Checkpoint
from lavra.model.tensors import TensorFiles, open_tensors
from lavra.quantize.scheme import Scheme

NATIVE: Final = "lavra"
METHOD: Final = "compressed-tensors"
NATIVE_TYPE: Final = "lavra-quantized"
"""`model_type` of the native layout, and the stem of its files."""
NATIVE_NAMES: Final = {"model_type": NATIVE_TYPE, "architectures": ["LavraQuantizedModel"]}
PACKED_NAMES: Final = ("matrix.packed", "matrix.scale")
PACKED, SCALE, SHAPE = "_packed", "_scale", "_shape"
"""After the name of a weight, in the layout of compressed-tensors."""


def is_quantized(folder: Path) -> bool:
    """Whether the weights of a model folder are packed."""
    return bool(read_config_file(folder).get("quantization_config"))


def stored_scheme(folder: Path) -> Scheme | None:
    """The scheme of a model folder's packed weights; None where they are not packed.

    Raises:
        CheckpointError: in a way that lavra does not read.
    """
    facts = read_config_file(folder).get("quantization_config")
    if not facts:
        return None
    return native_scheme(facts, folder) if facts.get("quant_method") == NATIVE else read_scheme(facts, folder)


def native_tensors(
    raw: Mapping[str, Any], facts: Mapping[str, Any], folder: Path
) -> tuple[Mapping[str, Any], TensorFiles]:
    """The float folder's `config.json`, and the tensors of a folder in our own layout."""
    if raw.get("model_type") != NATIVE_TYPE:  # written before the layout had names of its own
        return raw, open_tensors(folder)
    return {**raw, **{name: facts[name] for name in NATIVE_NAMES if name in facts}}, open_tensors(folder, NATIVE_TYPE)


def native_config(raw: Mapping[str, Any], facts: Mapping[str, Any], files: TensorFiles, folder: Path) -> ModelConfig:
    """The configuration of a folder in our own layout."""
    some = next((name for name in sorted(files.names) if not name.endswith(PACKED_NAMES)), None)
    if some is None:
        raise CheckpointError(f"{folder} holds packed matrices alone; fetch the folder again")
    names = dict.fromkeys(facts.get("float_tensors", ()), some)  # all have the type of the floats that are left
    return read_config(family_of(raw, folder), raw, folder, Checkpoint(files, names))


def native_scheme(facts: Mapping[str, Any], folder: Path) -> Scheme:
    """The scheme of a folder in our own layout.

    Raises:
        CheckpointError: the field names no scheme.
    """
    try:
        return Scheme(
            name=facts["scheme"],
            bits=facts["bits"],
            group_size=facts["group_size"],
            rounds_inputs=facts["rounds_inputs"],
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: quantization_config is not ours: {error}") from None


def read_scheme(facts: Mapping[str, Any], folder: Path) -> Scheme:
    """The scheme that the field of `config.json` describes.

    Raises:
        CheckpointError: the scheme is not one that lavra opens.
    """
    where = f"{folder / 'config.json'}: quantization_config"
    groups = list((facts.get("config_groups") or {}).values())
    if len(groups) != 1:
        raise CheckpointError(f"{where} has {len(groups)} config_groups; lavra opens folders with one")
    weights, inputs = groups[0].get("weights") or {}, groups[0].get("input_activations")
    if facts.get("kv_cache_scheme"):
        raise CheckpointError(f"{where} has a kv_cache_scheme; lavra opens folders without")
    _expect(where, "weights", weights, {"type": {"int"}, "symmetric": {True}, "num_bits": {4, 8}})
    _expect(where, "weights", weights, {"strategy": {"channel", "group"}, "dynamic": {False, None}, "actorder": {None}})
    if inputs is not None:
        wanted: dict[str, set[Any]] = {
            "type": {"int"},
            "symmetric": {True},
            "num_bits": {8},
            "strategy": {"token"},
            "dynamic": {True},
        }
        _expect(where, "input_activations", inputs, wanted)
    bits, size = weights["num_bits"], weights.get("group_size")
    name = f"int{bits}" + ("-dynamic" if inputs is not None else "")
    return Scheme(
        name=name,
        bits=bits,
        group_size=size if weights["strategy"] == "group" else None,
        rounds_inputs=inputs is not None,
    )


def _expect(where: str, part: str, found: Mapping[str, Any], wanted: Mapping[str, set[Any]]) -> None:
    for name, allowed in wanted.items():
        if found.get(name) not in allowed:
            choices = ", ".join(sorted(str(value) for value in allowed))
            raise CheckpointError(f"{where}: {part}.{name} is {found.get(name)!r}; lavra opens {choices}")


def quantized_names(found: Checkpoint) -> set[str]:
    """Weights of a folder of compressed-tensors' that are packed, under the table's names."""
    return {name.removesuffix(SCALE) for name in found.names if name.endswith(".weight" + SCALE)}


def as_floats(found: Checkpoint, quantized: set[str], folder: Path) -> Checkpoint:
    """The folder under the names it would have if its weights were floats."""
    parts = {name + part for name in quantized for part in (PACKED, SCALE, SHAPE)}
    names = {name: file for name, file in found.names.items() if name not in parts}
    for name in quantized:
        if name not in names:
            if name + PACKED not in found.names:
                raise CheckpointError(f"{folder}: {name} has scales but no integers; fetch the folder again")
            names[name] = found.names[name + PACKED]
    return Checkpoint(found.files, names)
