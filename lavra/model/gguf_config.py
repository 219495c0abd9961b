"""The settings of a GGUF file's model, as the fields of a `config.json` and as a configuration; no torch is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import GgufFile, read_gguf
from lavra.model.config import DEQUANTIZED_FROM, ModelConfig
from lavra.model.families.family import Family
from lavra.model.families.fields import Fields
from lavra.model.families.gguf_facts import GgufFacts
from lavra.model.families.table import family, family_names
from lavra.model.gguf_library import gguf_library
from lavra.tokens.gguf_tokenizer import WORDPIECE, end_ids

PLAIN: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Block formats that are types of `config.json`."""


def gguf_config_fields(path: Path) -> dict[str, Any]:
    """The fields of a `config.json` that are equivalent to a GGUF file's settings.

    Raises:
        CheckpointError: no family in lavra has that architecture, or a setting is not supported.
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
        "dtype": PLAIN.get(kind, PLAIN["F32"]),
        **({} if kind in PLAIN else {DEQUANTIZED_FROM: kind}),
    }


def load_gguf_config(path: Path) -> ModelConfig:
    """The configuration of a GGUF file."""
    raw = gguf_config_fields(path)
    config = family(raw["model_type"]).read(Fields(raw, where=str(path)), frozenset())
    return replace(config, dtype=raw["dtype"], source=raw)


def block_format(file: GgufFile) -> str:
    """The format of most numbers in a file's matrices, such as `Q4_1`, `F16` or `F32`."""
    counts: dict[str, int] = {}
    for name, tensor in file.tensors.items():
        if len(tensor.shape) > 1:
            kind = block_kind(file, name).name
            counts[kind] = counts.get(kind, 0) + tensor.num_values
    return max(counts, key=lambda kind: counts[kind], default="F32")


def block_kind(file: GgufFile, name: str) -> Any:
    """The `GGMLQuantizationType` of a tensor.

    Raises:
        CheckpointError: the installed package does not know it.
    """
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
    """The first family with the file's architecture, and the function that reads its settings."""
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
    if values.get("model") == WORDPIECE:  # its first and last token frame a text, and do not end it
        ends, values["bos_token_id"] = [], None
    ids = {"bos_token_id": values.get("bos_token_id"), "pad_token_id": values.get("padding_token_id")}
    if ends:
        ids["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    return {name: value for name, value in ids.items() if value is not None}
