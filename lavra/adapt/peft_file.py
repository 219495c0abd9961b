"""The two files of an adapter that PEFT or lavra saved: their places, and the meaning of the tensors' names.

    base_model.model.transformer.h.0.attn.c_attn.lora_A.weight
    └─ PEFT's own ─┘ └──── name in the checkpoint ────┘

Prompts and prefixes do not wrap the model, and their files lack the `model.`.

Tensors may be torch's or NumPy's: this module needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.model.config_files import read_fields
from lavra.model.tensors import read_header

CONFIG_FILE: Final = "adapter_config.json"
TENSOR_FILE: Final = "adapter_model.safetensors"
PROMPT: Final = "prompt_embeddings"
"""The name of the only tensor of a prompt or a prefix."""

_PARTS: Final = re.compile(r"^(.*)\.(lora_[A-Za-z_]+(?:\.weight)?|ia3_l)$")


@dataclass(frozen=True, kw_only=True)
class AdapterTensors:
    """The tensors of an adapter's file.

    Attributes:
        layers: their module -> its tensors by PEFT's names.
        prompt: (n, ...) tensor of a prompt or a prefix.
        saved: all other tensors, of modules trained whole, by their name.
    """

    layers: Mapping[str, Mapping[str, Any]]
    prompt: Any | None
    saved: Mapping[str, Any]


def parse(tensors: Mapping[str, Any]) -> AdapterTensors:
    """Sort the tensors of an adapter's file by their names."""
    layers: dict[str, dict[str, Any]] = {}
    saved: dict[str, Any] = {}
    for name, tensor in tensors.items():
        bare = re.sub(r"^base_model\.(model\.)?", "", name).replace(".modules_to_save.", ".")
        found = _PARTS.match(bare)
        if found:
            part = found[2].replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
            layers.setdefault(found[1], {})[part] = tensor
        elif name != PROMPT:
            saved[bare] = tensor
    return AdapterTensors(layers=layers, prompt=tensors.get(PROMPT), saved=saved)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """Read the raw `adapter_config.json` of a folder.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no {CONFIG_FILE}: it is not an adapter; name a folder that PEFT or lavra wrote"
        )
    return read_fields(path)


def adapter_tensor_file(folder: Path) -> Path:
    """The file of an adapter's tensors, its header checked.

    Raises:
        CheckpointError: the file is missing or damaged, or its tensors are pickled.
    """
    path = folder / TENSOR_FILE
    if path.exists():
        read_header(path)
        return path
    if (folder / "adapter_model.bin").exists():
        raise CheckpointError(
            f"{folder} has its tensors in adapter_model.bin only: pickled files can run any program when opened, so "
            "lavra refuses them; where you trust it, open it with PEFT and save it again, which writes safetensors"
        )
    raise CheckpointError(f"{folder} has no {TENSOR_FILE}; fetch the whole folder")
