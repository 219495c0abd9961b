"""A model with several adapters, among which requests to its engine choose; either runner computes them.

The native runner's adapters are LoRA, soft prompts and prefixes.  For any other adapter, torch computes the model and
all of its adapters.  The weights are held once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from lavra.api.adapter_checks import check_adapter
from lavra.api.adapter_folder import read_adapter
from lavra.api.find import find_folder
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.native_model import InTorchOnce
from lavra.api.native_port import NativePort
from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.engine.adapters import EngineAdapter
from lavra.engine.runners.native_adapter import open_adapter
from lavra.engine.runners.native_floats import NotNativeError

logger = logging.getLogger(__name__)

_ADD: Final = "lavra.api.torch_serving:add_adapters"


def open_with_adapters(
    path: str | Path,
    adapters: Mapping[str, str | Path],
    *,
    dtype: str | None = None,
    device: str | None = None,
    expand: bool = True,
) -> TextModel:
    """Open a model with adapters; an adapter acts only on requests that name it.

    Args:
        path: path of the model.
        adapters: adapters by the names that requests give: folders written by PEFT or lavra, or hub ids.
        dtype: as in `lavra.load`.
        device: as in `lavra.load`.
        expand: as in `lavra.load`.

    Raises:
        InputError: the model is not a language model, has a task's head or is an adapter itself; or an adapter's
            tokenizer differs from the model's.
        ConfigError: an adapter's name is not valid.
        CheckpointError: a folder cannot be opened, or its adapter was made for another model.
    """
    opened = load(path, dtype=dtype, device=device, expand=expand)
    if opened.predictor is not None:
        raise InputError(f"{path} has a task's head, over which no adapters are served; name its base")
    if isinstance(opened.port, NativePort):
        in_torch = partial(_in_torch, path, adapters, dtype=dtype, device=device, expand=expand)
        try:
            return _native(opened, opened.port, adapters, InTorchOnce(in_torch))
        except NotNativeError as error:
            reason = str(error)
        del opened  # the weights are held once
        return in_torch(reason=reason)
    resolve(_ADD)(opened, adapters)
    return opened


def _native(opened: TextModel, port: NativePort, adapters: Mapping[str, str | Path], twin: InTorchOnce) -> TextModel:
    if opened.adapter is not None:
        raise InputError(f"{opened.folder} has an adapter already; name its base, and give each adapter by itself")
    return TextModel(
        NativePort(
            port.weights,
            port.tokenizer,
            adapters=[_add(opened, port, name, find_folder(str(named))) for name, named in adapters.items()],
        ),
        runner=opened.runner,
        tokenizer=opened.tokenizer,
        embedder=opened.embedder,
        folder=opened.folder,
        held=opened.held,
        in_torch=twin,
    )


def _add(opened: TextModel, port: NativePort, name: str, folder: Path) -> EngineAdapter:
    found = read_adapter(folder)
    if found is not None:
        check_adapter(found, opened.folder, port.tokenizer)
    change = open_adapter(folder, port.config)
    if change.folds:
        raise NotNativeError(f"adapter {name!r} is DoRA or IA3, which it folds into the weights")
    return change.add_to(port.weights, name)


def _in_torch(
    path: str | Path,
    adapters: Mapping[str, str | Path],
    *,
    dtype: str | None,
    device: str | None,
    expand: bool,
    reason: str,
) -> TextModel:
    logger.warning("torch computes the model and its adapters: %s", reason)
    model = load(path, dtype=dtype, device=device, expand=expand, runner="torch")
    resolve(_ADD)(model, adapters)
    return model
