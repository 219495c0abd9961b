"""Opening a model with the native runner: no torch is imported, now or when the model writes.

    float32 checkpoints, float16's       computed in float32
    bfloat16's                           in bfloat16: the weights are exact, and half the bytes are read
    int8, int8-dynamic, int4, Q8_0, …    as they are stored; inputs rounded to 16 or 8 bits (docs/native.md)
    Q4_1, K-quants, …                    weights rounded to 8 bits in groups of 32; inputs likewise

Bfloat16 rounds the inputs of a product and costs a divergence of 0.0001 (docs/native.md).  Weights of a float16
checkpoint would be rounded, too, so they are widened.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Final, Protocol

from lavra.adapt.embedding_folder import read_embedding_config
from lavra.api.adapter_folder import AdapterFolder, read_adapter
from lavra.api.find import find_base, find_folder
from lavra.api.held_port import HeldPort
from lavra.api.model import TextModel
from lavra.api.native_embedder import NativeEmbedder
from lavra.api.native_encoder_port import NativeEncoderPort
from lavra.api.native_port import NativePort
from lavra.api.saving import saved_by_copying
from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.memory import free_memory, release_freed_memory
from lavra.base.native_library import NativeLibrary, native_library
from lavra.base.units import format_size
from lavra.engine.adapters import EngineAdapter
from lavra.engine.runners.folded_weights import folded
from lavra.engine.runners.native_adapter import NativeAdapter, open_adapter
from lavra.engine.runners.native_floats import NativeWeights, NotNativeError
from lavra.engine.runners.native_model import NativeModel
from lavra.engine.runners.native_weights import open_weights
from lavra.model.config import Kind, ModelConfig
from lavra.model.shapes import parameter_shapes
from lavra.model.task_files import task_in
from lavra.quantize.held import HeldWeights
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_SHARE: Final = 0.8  # share of the free memory that float32 may take


class OpenInTorch(Protocol):
    """A function that opens the same folder with torch, and logs the reason."""

    def __call__(self, *, reason: str) -> TextModel:
        """Open the model."""
        ...


def open_native(
    folder: Path, *, dtype: str | None, device: str | None, base: str | None, expand: bool, in_torch: OpenInTorch
) -> TextModel:
    """Open a model, or an adapter over its model; arguments and errors as `lavra.load`.

    Args:
        folder: folder of the model or of the adapter.
        dtype: type in which float matrices are computed.
        device: device; only the CPU is served.
        base: model of an adapter, where that is not at the place that its folder names.
        expand: as in `lavra.load`; of packed weights, only `dtype` has an effect.
        in_torch: function that opens the folder with torch, for work that only torch does, such as saving.

    Raises:
        NotNativeError: only torch computes this model.
    """
    library, adapter = _usable_library(dtype, device), read_adapter(folder)
    below = _model_folder(folder, adapter, base)
    if task_in(below) is not None or (adapter is not None and adapter.head is not None):
        # Its task reads files of samples, which a decoder's process does not need.
        open_headed = resolve("lavra.api.native_headed:open_headed")
        headed: TextModel = open_headed(library, folder, below, adapter, dtype=dtype, expand=expand, in_torch=in_torch)
        return headed
    weights = open_weights(below, as_floats=expand and dtype is not None)
    if weights.packed and expand and dtype is not None:
        raise NotNativeError(f"packed weights are to become {dtype}")
    change = None if adapter is None else _open_adapter(adapter, weights)
    folds = {} if change is None else change.folds
    tokenizer = Tokenizer.load(below if adapter is None else adapter.tokenizer_folder(below))
    stored = "float32" if folds else weights.stored  # bfloat16 would lose the small values that are folded into it
    half = not weights.packed and in_half(weights.config, stored, dtype, below)
    release_freed_memory()  # parsing the tokenizer's file left 45 MB of small objects; weights would lie beside them
    model = NativeModel(library, weights.config, folded(weights.read(), folds), half=half)
    acting = None if adapter is None or change is None else change.add_to(model, adapter.name)
    release_freed_memory()
    rounding = None if weights.rounding is None else weights.rounding.relative
    held = HeldWeights(stored=weights.stored, held=held_in(weights, half), num_bytes=model.num_bytes, rounding=rounding)
    logger.info("%s: %s on cpu, runner native (%s), weights %s", folder, weights.config.family, library.isa, held)
    twin, usual = InTorchOnce(in_torch), read_embedding_config(below)
    return TextModel(
        _port(model, tokenizer, acting),
        runner="native",
        tokenizer=tokenizer,
        embedder=NativeEmbedder(model, tokenizer, usual if adapter is None else adapter.embedding(usual), acting),
        folder=folder,
        adapter=adapter,
        held=held,
        in_torch=twin,
        save=saved_by_copying(folder, tokenizer, adapter, held, weights.config.family),
    )


def _model_folder(folder: Path, adapter: AdapterFolder | None, base: str | None) -> Path:
    """The folder itself, or the folder of the adapter's model."""
    if adapter is None and base is not None:
        raise InputError(f"base is the model an adapter belongs to, and {folder} is not an adapter; leave base out")
    if adapter is None:
        return folder
    return find_base(adapter) if base is None else find_folder(base)


def _open_adapter(adapter: AdapterFolder, weights: NativeWeights) -> NativeAdapter:
    found = open_adapter(adapter.folder, weights.config)
    if found.folds and weights.packed:
        raise NotNativeError("the adapter is folded into float weights, and these are packed")
    if weights.config.kind is Kind.ENCODER and found.rows is not None and not adapter.embeds:
        raise NotNativeError("the adapter is an encoder's soft prompt, and names no task")
    return found


def _port(model: NativeModel, tokenizer: Tokenizer, acting: EngineAdapter | None) -> HeldPort:
    if model.config.kind is Kind.ENCODER:
        return NativeEncoderPort(model, tokenizer, acting)
    adapters, name = ((), None) if acting is None else ((acting,), acting.name)
    return NativePort(model, tokenizer, adapters=adapters, usual_adapter=name)


class InTorchOnce:
    """A function that opens a folder with torch at the first need, and logs that.

    Args:
        open_in_torch: function that opens the folder.
    """

    def __init__(self, open_in_torch: OpenInTorch) -> None:
        self._open = open_in_torch
        self._opened: TextModel | None = None

    def __call__(self, what: str) -> TextModel:
        """The model in torch; `what` names the work that needs it."""
        if self._opened is None:
            logger.warning("%s: torch is loaded for it, with the weights a second time", what)
            self._opened = self._open(reason=f"the native runner has no {what}")
        return self._opened


def _usable_library(dtype: str | None, device: str | None) -> NativeLibrary:
    """The library, where it may compute the request; this checks the reasons that need no look at the weights."""
    if device not in (None, "cpu") or (device is None and _has_gpu()):
        raise NotNativeError("the device is not the CPU")
    if dtype == "float16":
        raise NotNativeError("it computes in float32 and bfloat16, not in float16")
    library = native_library()
    if library is None:
        raise NotNativeError("there is no native library")
    return library


def _has_gpu() -> bool:
    """Whether torch may find a GPU; it checks the driver's files, without importing torch."""
    if not Path("/proc/driver/nvidia/gpus").exists():
        return False
    return str(resolve("lavra.base.device:pick_device")().type) != "cpu"


def in_half(config: ModelConfig, stored: str, dtype: str | None, folder: Path) -> bool:
    """Whether float matrices are held and computed in bfloat16."""
    if dtype is not None:
        return dtype == "bfloat16"
    if stored == "bfloat16":
        return True
    size = 4 * sum(math.prod(shape) for shape in parameter_shapes(config).values())
    if size <= _SHARE * free_memory():
        return False
    logger.warning(
        "%s is held in bfloat16: in float32 it would take %s, and %s are free",
        folder,
        format_size(size),
        format_size(free_memory()),
    )
    return True


def held_in(weights: NativeWeights, half: bool) -> str:
    """The type of a model's matrices, in the words of its log line."""
    if weights.packed:
        return weights.held or weights.stored
    return "bfloat16" if half else "float32"
