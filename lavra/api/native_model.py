"""Opening a model with the native runner: no torch is imported, now or when it writes.

    float32 checkpoints, float16's, GGUF's   computed in float32
    bfloat16's                               in bfloat16: the weights are exact, and half the bytes are read
    int8, int8-dynamic, int4                 as they are stored, inputs rounded to 8 bits

Bfloat16 rounds what goes into a product and costs a divergence of 0.0001 (docs/native.md).  Weights of a float16
checkpoint would be rounded, too, so they are widened.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Final, Protocol

from lavra.adapt.embedding_folder import read_embedding_config
from lavra.api.held_port import HeldPort
from lavra.api.model import TextModel
from lavra.api.native_embedder import NativeEmbedder
from lavra.api.native_port import LateEmbedder, NativeEncoderPort, NativePort
from lavra.base.lazy import resolve
from lavra.base.memory import free_memory, release_freed_memory
from lavra.base.native_library import NativeLibrary, native_library
from lavra.base.ports import Embedder
from lavra.base.units import format_size
from lavra.engine.runners.native_encoder import NativeEncoder
from lavra.engine.runners.native_floats import NativeWeights, NotNativeError
from lavra.engine.runners.native_model import NativeModel
from lavra.engine.runners.native_weights import open_weights
from lavra.generate.plan import PromptReading
from lavra.model.config import Kind
from lavra.model.shapes import parameter_shapes
from lavra.quantize.held import HeldWeights
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_SHARE: Final = 0.8  # of the memory that is free, which float32 may take
_ADAPTER: Final = "adapter_config.json"
_SENTENCES: Final = "modules.json"  # of a folder of sentence-transformers


class OpenInTorch(Protocol):
    """Opens the same folder with torch, and says why."""

    def __call__(self, *, reason: str) -> TextModel:
        """The model."""
        ...


def open_native(
    folder: Path, *, dtype: str | None, device: str | None, expand: bool, in_torch: OpenInTorch
) -> TextModel:
    """Open a model; arguments and errors as `lavra.load`.

    Args:
        folder: the model's.
        dtype: what float matrices are computed in.
        device: only the CPU is served.
        expand: of packed weights, only what `dtype` says is asked for.
        in_torch: opens the folder for what only torch computes: beams, vectors, saving.

    Raises:
        NotNativeError: only torch computes it.
    """
    library = _usable_library(folder, dtype, device)
    weights = open_weights(folder)
    if weights.packed and expand and dtype is not None:
        raise NotNativeError(f"packed weights are to become {dtype}")
    if weights.config.kind is Kind.ENCODER and weights.config.has_head and not (folder / _SENTENCES).exists():
        raise NotNativeError("the model fills gaps")
    tokenizer = Tokenizer.load(folder)
    half = not weights.packed and _in_half(weights, dtype, folder)
    model = NativeModel(library, weights.config, weights.read(), half=half)
    release_freed_memory()
    held = HeldWeights(stored=weights.stored, held=_held(weights, half), num_bytes=model.num_bytes)
    logger.info("%s: %s on cpu, runner native (%s), weights %s", folder, weights.config.family, library.isa, held)
    twin = InTorchOnce(in_torch)
    port = _port(model, tokenizer, twin)
    embedder = _embedder(model, port.reading, folder, twin)
    return TextModel(
        port, runner="native", tokenizer=tokenizer, embedder=embedder, folder=folder, held=held, in_torch=twin
    )


def _port(model: NativeModel, tokenizer: Tokenizer, twin: InTorchOnce) -> HeldPort:
    if model.config.kind is Kind.ENCODER:
        return NativeEncoderPort(model, tokenizer, lambda: twin("scoring by an encoder").port)
    return NativePort(model, tokenizer, lambda: twin("beam search").port)


def _embedder(model: NativeModel, reading: PromptReading, folder: Path, twin: InTorchOnce) -> Embedder:
    if model.config.kind is Kind.DECODER:
        return LateEmbedder(reading, lambda: twin("embedding by a decoder").embedder)
    return NativeEmbedder(NativeEncoder(model), reading, read_embedding_config(folder))


class InTorchOnce:
    """Opens a folder with torch the first time something needs it, and says so.

    Args:
        open_in_torch: opens it.
    """

    def __init__(self, open_in_torch: OpenInTorch) -> None:
        self._open = open_in_torch
        self._opened: TextModel | None = None

    def __call__(self, what: str) -> TextModel:
        """The model in torch, where `what` is what needs it."""
        if self._opened is None:
            logger.warning("%s: torch is loaded for it, with the weights a second time", what)
            self._opened = self._open(reason=f"the native runner has no {what}")
        return self._opened


def _usable_library(folder: Path, dtype: str | None, device: str | None) -> NativeLibrary:
    """The library, where it may compute what is asked for; reasons that need no look at the weights."""
    if device not in (None, "cpu") or (device is None and _has_gpu()):
        raise NotNativeError("the device is not the CPU")
    if dtype == "float16":
        raise NotNativeError("it computes in float32 and bfloat16, not in float16")
    if (folder / _ADAPTER).exists():
        raise NotNativeError("the folder is an adapter's")
    library = native_library()
    if library is None:
        raise NotNativeError("there is no native library")
    return library


def _has_gpu() -> bool:
    """Whether torch may find a GPU; without importing it, by the driver's files."""
    if not Path("/proc/driver/nvidia/gpus").exists():
        return False
    return str(resolve("lavra.base.device:pick_device")().type) != "cpu"


def _in_half(weights: NativeWeights, dtype: str | None, folder: Path) -> bool:
    """Whether float matrices are held and computed in bfloat16."""
    if dtype is not None:
        return dtype == "bfloat16"
    if weights.stored == "bfloat16":
        return True
    size = 4 * sum(math.prod(shape) for shape in parameter_shapes(weights.config).values())
    if size <= _SHARE * free_memory():
        return False
    logger.warning(
        "%s is held in bfloat16: in float32 it would take %s, and %s are free",
        folder,
        format_size(size),
        format_size(free_memory()),
    )
    return True


def _held(weights: NativeWeights, half: bool) -> str:
    if weights.packed:
        return weights.stored
    return "bfloat16" if half else "float32"
