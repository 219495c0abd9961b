"""Tensors on disk: safetensors in one file or several with an index.

A safetensors file is 8 bytes with the length of a JSON header, the header (name -> type, shape, byte range), and
the bytes (https://github.com/huggingface/safetensors).  The header is checked against the file's size here,
before any file is mapped, so that a truncated download is reported as truncated.  Pickles are refused: unpickling runs
any program that the file contains.

Tensors are read as torch's or as NumPy's; torch is imported when the first torch tensor is read.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from lavra.base.errors import CheckpointError
from lavra.base.files import read_json

if TYPE_CHECKING:  # only for mypy: code that reads arrays has no torch
    from torch import Tensor

STEM: Final = "model"  # name of the weights' files, which every tool opens
SINGLE: Final = f"{STEM}.safetensors"
INDEX: Final = f"{SINGLE}.index.json"
_OF_TRAINING: Final = ("training_args", "optimizer", "scheduler", "rng_state")  # a Trainer's files beside weights
_MAX_HEADER = 100_000_000  # bytes; the format's own bound
# Types of the format that hold weights, and their usual names.
FLOATS: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
# NumPy has no bfloat16: its bits are read as whole numbers.
_ARRAYS: Final[Mapping[str, type[np.generic]]] = {
    "BF16": np.uint16,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I8": np.int8,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
}
_BITS: Final = {name: 8 * np.dtype(kind).itemsize for name, kind in _ARRAYS.items()}


class TensorFiles:
    """The tensors of a checkpoint, from all its files."""

    def __init__(self, files: list[Path]) -> None:
        self._file: dict[str, Path] = {}
        self._place: dict[str, tuple[int, int]] = {}  # first byte in the file, and how many there are
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        for path in files:
            header, start = _read_whole_header(path)
            for name, entry in header.items():
                self._add(name, entry, path, start)
        self._open: dict[Path, Any] = {}

    def _add(self, name: str, entry: Mapping[str, Any], path: Path, start: int) -> None:
        if name in self._file:
            raise CheckpointError(
                f"tensor {name} is in {self._file[name].name} and in {path.name}; remove the stale file"
            )
        first, end = entry["data_offsets"]
        self._file[name], self._place[name] = path, (start + first, end - first)
        self.shapes[name] = tuple(entry["shape"])
        self.dtypes[name] = entry["dtype"]

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._file)

    def read(self, name: str) -> Tensor:
        """A tensor, as a view of the mapped file."""
        path = self._file[name]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        tensor: Tensor = self._open[path].get_tensor(name)
        return tensor

    def array(self, name: str) -> npt.NDArray[Any]:
        """A tensor as an array, a read-only view of the mapped file; for bfloat16 the bits, as uint16.

        Raises:
            CheckpointError: the tensor has a type that no weights have.
        """
        path, kind, (start, num_bytes) = self._file[name], self.dtypes[name], self._place[name]
        if kind not in _ARRAYS:
            raise CheckpointError(f"{path}: tensor {name} has type {kind}; lavra reads {', '.join(_ARRAYS)}")
        if not num_bytes:
            return np.zeros(self.shapes[name], dtype=_ARRAYS[kind])
        mapped = np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=(num_bytes,))
        return mapped.view(np.ndarray).view(_ARRAYS[kind]).reshape(self.shapes[name])

    def same(self, one: str, other: str) -> bool:
        """Whether two tensors have equal values."""
        first, second = self.array(one), self.array(other)
        return self.dtypes[one] == self.dtypes[other] and np.array_equal(first, second)


def open_tensors(folder: Path, stem: str = STEM) -> TensorFiles:
    """The safetensors of a model folder, in `STEM.safetensors` or in the files of its index.

    Raises CheckpointError if there are no tensors, if there are only pickles, or if a file is damaged or missing.
    """
    single = folder / f"{stem}.safetensors"
    index = folder / f"{single.name}.index.json"
    if index.exists():
        return TensorFiles(_indexed(index))
    if single.exists():
        return TensorFiles([single])
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    pickles = [name for name in pickles if not name.startswith(_OF_TRAINING)]
    if pickles:
        raise CheckpointError(
            f"{folder} has its weights in {', '.join(pickles[:3])} only: pickled files can run any program "
            f"when opened, so lavra refuses them; where you trust them, convert: {_to_safe(folder)}"
        )
    raise CheckpointError(f"{folder} has no {single.name} and no {index.name}; name a folder with a saved model")


def _to_safe(folder: Path) -> str:
    """A command that adds safetensors to a folder; of the class `config.json` names, so that no head is lost."""
    path = folder / "config.json"
    raw = read_json(path) if path.exists() else {}
    architectures = raw.get("architectures") if isinstance(raw, dict) else None
    model = str(architectures[0]) if architectures else "AutoModelForCausalLM"
    return f"python -c \"import transformers as t; t.{model}.from_pretrained('{folder}').save_pretrained('{folder}')\""


def _indexed(path: Path) -> list[Path]:
    folder, index = path.parent, read_json(path)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path} has no weight_map; fetch the file again")
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"{path} names the file {name!r}, outside its folder; do not open this checkpoint")
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(names)} weight files: {', '.join(missing[:5])}; fetch them"
        )
    return [folder / name for name in names]


def read_header(path: Path) -> dict[str, Any]:
    """Name -> type, shape and byte range of each tensor in a safetensors file.

    Raises CheckpointError if the file is shorter than its header says, or is not a safetensors file.
    """
    return _read_whole_header(path)[0]


def _read_whole_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors' bytes begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _MAX_HEADER:
            raise CheckpointError(
                f"{path} is not a safetensors file: it says its header is {length} bytes; fetch it again"
            )
        if 8 + length > size:
            raise CheckpointError(
                f"{path} is truncated: {size} bytes, its header alone is {8 + length}; fetch it again"
            )
        raw = file.read(length)
    try:
        header: dict[str, Any] = json.loads(raw)
        header.pop("__metadata__", None)
        for name, entry in header.items():
            _check_entry(name, entry)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); fetch it again") from None
    if end != size:
        state = "truncated" if size < end else "longer than its header says"
        raise CheckpointError(f"{path} is {state}: {size} bytes instead of {end}; fetch it again")
    return header, 8 + length


def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    """Refuse a byte range whose size does not fit the type and shape; raises ValueError."""
    shape, (first, end) = entry["shape"], entry["data_offsets"]
    if not all(type(size) is int and size >= 0 for size in (*shape, first, end)):
        raise ValueError(f"tensor {name} has shape {shape} at {first} to {end}")
    bits = _BITS.get(entry["dtype"])
    if bits is not None and (end - first) * 8 != math.prod(shape) * bits:
        raise ValueError(f"tensor {name}, {entry['dtype']} {shape}, is said to take {end - first} bytes")
