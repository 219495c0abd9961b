"""`lavra.load`: open a model by its path, by its name, or from the Hugging Face hub when the user names one there.

The native runner opens the models and adapters that it can compute, without torch.  Torch opens all others, and is
imported only then.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from lavra.api.find import find_folder
from lavra.api.model import TextModel
from lavra.api.native_model import open_native
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.lazy import resolve
from lavra.base.native_library import NativeError
from lavra.base.workspace import Workspace
from lavra.engine.runners.native_floats import NotNativeError
from lavra.model.config_files import FLOAT_TYPES

if TYPE_CHECKING:  # a type for mypy alone
    import torch

logger = logging.getLogger(__name__)

RunnerName = Literal["native", "torch"]
_IN_TORCH: Final = "lavra.api.torch_model:open_in_torch"


def load(
    path: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | None = None,
    base: str | Path | None = None,
    expand: bool = True,
    runner: RunnerName | None = None,
    workspace: str | Path | Workspace | None = None,
) -> TextModel:
    """Open a model of any family, with or without a task's head, or an adapter over its model.

    Args:
        path: a Hugging Face folder, a PEFT adapter's, a GGUF file, the name of a model of the workspace (`latest` is
            the newest), or `owner/model` on the Hugging Face hub (the only case that uses the network).
        dtype: `float32`, `bfloat16` or `float16`; by default the fastest type at the checkpoint's quality: the
            native runner keeps bfloat16 and the blocks of GGUF and widens float16, torch on a CPU makes float32 of all
            three, on a GPU it keeps 16 bits.
        device: `cpu`, `cuda`, `cuda:1`, …; CUDA by default where there is one, else the CPU.
        base: model of an adapter, where that is not at the place that its folder names.
        expand: hold compressed weights in the form that computes fastest; False keeps them as they are stored,
            smaller and with torch slower.
        workspace: folder with names for models; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        runner: `native` (on a CPU, in C++, without torch) or `torch`; by default native where it computes the
            model.

    Returns:
        A `TextModel`; its `.runner` names the runner, its `.held` the form and size of the weights.

    Raises:
        InputError: the folder, model or device does not exist; `base` is given for a model that is not an adapter;
            `native` is given for a model that only torch computes.
        CheckpointError: the folder cannot be opened: unsupported, incomplete, damaged or unsafe.

    Example:
        >>> model = lavra.load("tiny")
        >>> str(model.generate("Once upon a time", max_tokens=8)) != ""
        True
    """
    if runner is not None and runner not in get_args(RunnerName):
        raise ConfigError(f"runner={runner!r} is unknown{nearest(runner, get_args(RunnerName))}")
    wanted = None if dtype is None else parse_dtype(str(dtype).removeprefix("torch."))
    place = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
    folder, of_adapter = find_folder(str(path), workspace=place), None if base is None else str(base)
    in_torch = partial(_open_in_torch, folder, dtype=wanted, device=device, base=of_adapter, expand=expand)
    if runner == "torch":
        return in_torch(reason="it was asked for")
    try:
        return open_native(folder, dtype=wanted, device=device, base=of_adapter, expand=expand, in_torch=in_torch)
    except (NotNativeError, NativeError) as reason:
        if runner == "native":
            raise InputError(f"the native runner does not compute {folder}: {reason}; leave runner out") from None
        return in_torch(reason=str(reason))


def _open_in_torch(
    folder: Path, *, dtype: str | None, device: str | None, base: str | None, expand: bool, reason: str
) -> TextModel:
    """Open a model with torch, which is imported now."""
    opened: TextModel = resolve(_IN_TORCH)(folder, dtype=dtype, device=device, base=base, expand=expand, reason=reason)
    return opened


def parse_dtype(name: str) -> str:
    """Check the name of a weight type.

    Raises:
        ConfigError: no type has this name.
    """
    if name not in FLOAT_TYPES:
        raise ConfigError(f"dtype={name!r} is unknown{nearest(name, FLOAT_TYPES)}")
    return name
