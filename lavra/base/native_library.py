"""The native runner's library, `lavra/lavra_native.so`: found beside the package, opened once by ctypes.

It is written in C++ (`native/`) and built when lavra is installed, where there is a compiler.  Its interface is
`native/include/lavra_native.h`; the structures and functions here are that header's, and a test compares the two.  In a
checkout, where the header is beside the package, a library that was built with another one is refused.
Without the library lavra computes with torch, and says so once.

    LAVRA_NATIVE=0     the library is not used
    LAVRA_ISA=avx2     the instruction set; else the best that the processor has

Deliberately absent: models and batches (lavra/engine/runners/native.py), and building (`native/build.py`).
"""

from __future__ import annotations

import ctypes
import logging
import os
import zlib
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import ConfigError, LavraError

LIBRARY: Final = Path(__file__).resolve().parents[1] / "lavra_native.so"

_log = logging.getLogger(__name__)


class NativeError(LavraError, RuntimeError):
    """An error of the native library, with the library's own message."""


def _numbers(*names: str) -> list[tuple[str, type[c_int32]]]:
    return [(name, c_int32) for name in names]


class NativeConfig(ctypes.Structure):
    """`lavra_config`: a model's shape."""

    _fields_ = [
        *_numbers("kind", "layout", "norm", "activation", "head_activation", "positions"),
        *_numbers("vocab_size", "hidden_size", "num_layers", "num_decoder_layers", "num_heads", "num_kv_heads"),
        *_numbers("head_dim", "feed_forward_size", "max_positions", "position_offset", "num_token_types"),
        *_numbers("gated", "embedding_norm", "final_norm", "has_head", "tie_embeddings", "head_transform"),
        *_numbers("has_pooler", "attention_bias", "attention_output_bias", "feed_forward_bias", "head_bias"),
        *_numbers("scale_by_layer", "relative_buckets", "relative_distance"),
        *((name, c_float) for name in ("norm_eps", "attention_scale", "head_scale", "rotary_factor")),
        *((name, c_void_p) for name in ("rotary", "slopes", "windows")),
    ]


class NativeTensor(ctypes.Structure):
    """`lavra_tensor`: a tensor in a checkpoint's form."""

    _fields_ = [
        *_numbers("type", "rows", "columns", "group"),
        ("data", c_void_p),
        ("num_bytes", c_uint64),
        ("scales", c_void_p),
        ("num_scale_bytes", c_uint64),
        ("mapped", c_int32),
    ]


class NativeRow(ctypes.Structure):
    """`lavra_row`: tokens of one sequence that are to be read."""

    _fields_ = [
        ("tokens", c_void_p),
        ("blocks", c_void_p),
        *_numbers("num_tokens", "num_blocks", "start", "num_logits", "adapter", "source"),
        ("types", c_void_p),
    ]


class NativeBatch(ctypes.Structure):
    """`lavra_batch`: the rows of a step."""

    _fields_ = [("rows", POINTER(NativeRow)), ("num_rows", c_int32), ("num_copies", c_int32), ("copies", c_void_p)]


SAMPLING_FIELDS: Final[Mapping[str, type[c_int32] | type[c_float]]] = {
    "top_k": c_int32,
    **dict.fromkeys(("temperature", "top_p", "min_p"), c_float),
    **dict.fromkeys(("repetition_penalty", "presence_penalty", "frequency_penalty"), c_float),
}
"""Sampling parameters that the library reads as they stand in `SamplingConfig`, in the order of its struct."""


class NativeSampling(ctypes.Structure):
    """`lavra_sampling`: the settings that choose the next token of a row."""

    _fields_ = [
        ("num_tokens", c_int32),
        *SAMPLING_FIELDS.items(),
        *((name, c_int32) for name in ("num_seen", "num_biases", "num_forbidden", "logprob", "num_top")),
        *((name, c_void_p) for name in ("seen", "counts", "bias_ids", "biases", "forbidden")),
        ("allowed", c_char_p),
        ("num_allowed_bytes", c_uint64),
        ("uniforms", c_void_p),
    ]


class NativeChoice(ctypes.Structure):
    """`lavra_choice`: the chosen token of a row."""

    _fields_ = [("token", c_int32), ("refused", c_int32), ("logprob", c_float)]


# The return type and the argument types of each function.
FUNCTIONS: Final[Mapping[str, tuple[Any, tuple[Any, ...]]]] = {
    "lavra_error": (c_char_p, ()),
    "lavra_abi": (c_uint32, ()),
    "lavra_isas": (c_char_p, ()),
    "lavra_model_new": (c_void_p, (POINTER(NativeConfig), c_char_p, c_int32)),
    "lavra_model_set": (c_int, (c_void_p, c_char_p, POINTER(NativeTensor))),
    "lavra_model_finish": (c_int, (c_void_p,)),
    "lavra_model_adapter": (c_int32, (c_void_p,)),
    "lavra_model_adapt": (
        c_int,
        (c_void_p, c_int32, c_char_p, POINTER(NativeTensor), POINTER(NativeTensor), c_float),
    ),
    "lavra_model_virtual": (c_int, (c_void_p, POINTER(NativeTensor))),
    "lavra_model_prefix": (c_int, (c_void_p, POINTER(NativeTensor))),
    "lavra_model_bytes": (c_uint64, (c_void_p,)),
    "lavra_model_isa": (c_char_p, (c_void_p,)),
    "lavra_model_free": (None, (c_void_p,)),
    "lavra_runner_new": (c_void_p, (c_void_p, c_int32, c_int32, c_int32)),
    "lavra_runner_bytes": (c_uint64, (c_void_p,)),
    "lavra_runner_forward": (c_int, (c_void_p, POINTER(NativeBatch), c_void_p, c_uint64)),
    "lavra_runner_encode": (c_int, (c_void_p, POINTER(NativeRow), c_int32, c_void_p, c_uint64)),
    "lavra_runner_logits": (c_int, (c_void_p, c_void_p, c_int32, c_void_p, c_uint64)),
    "lavra_runner_source": (c_int32, (c_void_p, POINTER(NativeRow))),
    "lavra_runner_forget": (c_int, (c_void_p, c_int32)),
    "lavra_runner_free": (None, (c_void_p,)),
    "lavra_sample": (
        c_int,
        (c_char_p, c_void_p, c_void_p, c_int32, c_int32, c_void_p, c_void_p, c_int32, c_void_p, c_void_p),
    ),
    "lavra_linear": (c_int, (c_char_p, POINTER(NativeTensor), c_int32, c_void_p, c_int32, c_void_p)),
}


class NativeLibrary:
    """The opened library.

    Attributes:
        path: path of the library's file.
        functions: functions, called by ctypes, with their types declared; `functions.lavra_isas()`.
        isas: instruction sets that the library was built for and that this processor has, best first.
        isa: the instruction set in use.
    """

    def __init__(self, path: Path, forced: str = "") -> None:
        """Open a library.

        Args:
            path: path of the library's file.
            forced: the instruction set to use; the best set unless given.

        Raises:
            NativeError: the library cannot be opened, or has another interface.
            ConfigError: the processor or the library has no such instruction set.
        """
        self.path = path
        self.functions = _opened(path)
        self.isas: tuple[str, ...] = tuple(self.functions.lavra_isas().decode().split(","))
        if forced and forced not in self.isas:
            raise ConfigError(f"LAVRA_ISA={forced}: no such instruction set here; there are: {', '.join(self.isas)}")
        self.isa = forced or self.isas[0]

    def check(self, status: int) -> None:
        """Check a function's status; raises `NativeError` for a failure."""
        if status != 0:
            raise NativeError(self._reason())

    def made(self, pointer: int | None) -> int:
        """Check that a function made an object, and return the object.

        Raises:
            NativeError: the function made no object.
        """
        if not pointer:
            raise NativeError(self._reason())
        return pointer

    def _reason(self) -> str:
        return str(self.functions.lavra_error().decode("utf-8", "replace")) or "the native library gave no reason"


@cache
def native_library() -> NativeLibrary | None:
    """The library, opened at the first call; `None` where it is switched off or unusable, which is logged once.

    Raises:
        ConfigError: `LAVRA_ISA` names an unavailable instruction set, or `LAVRA_NATIVE` is neither 0 nor 1.
    """
    try:
        return open_native_library()
    except NativeError as error:
        _log.warning("%s; torch computes instead, slower", error)
        return None


def open_native_library() -> NativeLibrary | None:
    """Open the library that the environment asks for; `None` where it is switched off.

    Raises:
        NativeError: the library is missing, older than its sources, damaged, or has another interface.
        ConfigError: as `native_library` raises it.
    """
    switch = os.environ.get("LAVRA_NATIVE", "1")
    if switch not in ("0", "1"):
        raise ConfigError(f"LAVRA_NATIVE={switch} is neither 0 (compute with torch) nor 1 (the native runner)")
    return None if switch == "0" else NativeLibrary(LIBRARY, os.environ.get("LAVRA_ISA", ""))


def _opened(path: Path) -> Any:
    if not path.exists():
        raise NativeError(f"the native runner is not built; {_remedy(path)}")
    newer = _newer_source(path)
    if newer:
        raise NativeError(f"the native runner is older than its source {newer}; {_remedy(path)}")
    try:
        functions = ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeError(f"the native runner cannot be opened ({error}); {_remedy(path)}") from None
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(functions, name, None)
        if function is None:
            raise NativeError(f"{path} has no function {name}; {_remedy(path)}")
        function.restype, function.argtypes = result, arguments
    header = path.parents[1] / "native" / "include" / "lavra_native.h"
    if header.exists() and functions.lavra_abi() != zlib.crc32(header.read_bytes()):
        raise NativeError(f"{path} was built with another {header.name} than {header}; {_remedy(path)}")
    return functions


def _newer_source(path: Path) -> Path | None:
    """A source that was changed after the library was built; only a checkout has sources beside the package."""
    folder, built = path.parents[1] / "native", path.stat().st_mtime
    sources = [*folder.glob("build.py"), *folder.glob("src/*"), *folder.glob("include/*")]
    return next((one for one in sources if one.stat().st_mtime > built), None)


def _remedy(path: Path) -> str:
    """The user's step to get the library: a checkout has its sources beside the package."""
    script = path.parents[1] / "native" / "build.py"
    if script.exists():
        return f"with g++ or clang++ installed, run: python {script}"
    return "install g++ or clang++, then run: pip install --force-reinstall --no-deps --no-binary lavra lavra"
