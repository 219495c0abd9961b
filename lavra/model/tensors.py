"""Tensors on disk: safetensors in one file or several with an index.

A safetensors file is 8 bytes with the length of a JSON header, the header (name -> type, shape, byte range), and
the bytes (https://github.com/huggingface/safetensors).  The header is checked against the file's size here,
before anything is mapped, so that a truncated download is reported as that.  Pickles are refused: unpickling runs
whatever program the file contains.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lavra.base.errors import CheckpointError
from lavra.base.files import read_json, write_json

_STEM: Final = "model"  # of the files that every tool opens
SINGLE: Final = f"{_STEM}.safetensors"
INDEX: Final = f"{SINGLE}.index.json"
_MAX_HEADER = 100_000_000  # bytes; the format's own bound
# Types of the format that hold weights, and their usual names.
FLOATS: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}


class TensorFiles:
    """The tensors of a checkpoint, whichever files they are in."""

    def __init__(self, files: list[Path]) -> None:
        self._file: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        for path in files:
            for name, entry in read_header(path).items():
                self._add(name, entry, path)
        self._open = {path: safe_open(path, framework="pt") for path in files}

    def _add(self, name: str, entry: Mapping[str, Any], path: Path) -> None:
        if name in self._file:
            raise CheckpointError(
                f"tensor {name} is in {self._file[name].name} and in {path.name}; remove the stale file"
            )
        self._file[name] = path
        self.shapes[name] = tuple(entry["shape"])
        self.dtypes[name] = entry["dtype"]

    @property
    def names(self) -> frozenset[str]:
        """Of all tensors."""
        return frozenset(self._file)

    def read(self, name: str) -> Tensor:
        """One tensor, a view of the mapped file."""
        tensor: Tensor = self._open[self._file[name]].get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor


def open_tensors(folder: Path, stem: str = _STEM) -> TensorFiles:
    """The safetensors of a model folder, in `STEM.safetensors` or in the files of its index.

    Raises CheckpointError when there are none, when only pickles are there, or when a file is damaged or missing.
    """
    single = folder / f"{stem}.safetensors"
    index = folder / f"{single.name}.index.json"
    if index.exists():
        return TensorFiles(_indexed(index))
    if single.exists():
        return TensorFiles([single])
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{folder} has its weights in {', '.join(pickles[:3])} only: pickled files can run any program "
            "when opened, so lavra refuses them; where you trust them, convert: "
            'python -c "from transformers import AutoModelForCausalLM as A; '
            f"A.from_pretrained('{folder}').save_pretrained('{folder}-safe')\""
        )
    raise CheckpointError(f"{folder} has no {single.name} and no {index.name}; name a folder with a saved model")


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

    Raises CheckpointError when the file is shorter than its header says, or is no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _MAX_HEADER:
            raise CheckpointError(
                f"{path} is no safetensors file: it says its header is {length} bytes; fetch it again"
            )
        if 8 + length > size:
            raise CheckpointError(
                f"{path} is truncated: {size} bytes, its header alone is {8 + length}; fetch it again"
            )
        raw = file.read(length)
    try:
        header: dict[str, Any] = json.loads(raw)
        header.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); fetch it again") from None
    if end != size:
        state = "truncated" if size < end else "longer than its header says"
        raise CheckpointError(f"{path} is {state}: {size} bytes instead of {end}; fetch it again")
    return header


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int, stem: str = _STEM) -> None:
    """Write tensors as one safetensors file, `STEM.safetensors`, or as several with an index beyond the bound.

    Each file is written beside its place and renamed, and weight files of an earlier save under that stem are removed.
    """
    shards = _shards(tensors, max_shard_bytes)
    single, count = f"{stem}.safetensors", len(shards)
    index = folder / f"{single}.index.json"
    names = [single] if count == 1 else [f"{stem}-{n + 1:05d}-of-{count:05d}.safetensors" for n in range(count)]
    for name, shard in zip(names, shards, strict=True):
        write_file(folder / name, {key: tensors[key] for key in shard})
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        write_json(index, {"metadata": {"total_size": total}, "weight_map": weight_map})
    else:
        index.unlink(missing_ok=True)
    for stale in {*folder.glob(single), *folder.glob(f"{stem}-*-of-*.safetensors")} - {folder / name for name in names}:
        stale.unlink()


def _shards(tensors: Mapping[str, Tensor], bound: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    used = 0
    for name, tensor in tensors.items():
        if shards[-1] and used + tensor.nbytes > bound:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += tensor.nbytes
    return shards


def write_file(path: Path, tensors: dict[str, Tensor]) -> None:
    """One safetensors file, whole or not at all; no two tensors may share memory."""
    part = path.with_name(f".tmp-{path.name}")
    try:
        save_file(tensors, part, metadata={"format": "pt"})
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
