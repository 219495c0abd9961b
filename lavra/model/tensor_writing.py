"""Write tensors of torch as safetensors, in one file or in several with an index (`tensors.py` reads them)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from lavra.base.files import write_json
from lavra.model.tensors import STEM


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int, stem: str = STEM) -> None:
    """Write tensors as one safetensors file, `STEM.safetensors`, or as several with an index over the bound.

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
    """Write a safetensors file, whole or not at all; no two tensors may share memory."""
    part = path.with_name(f".tmp-{path.name}")
    try:
        save_file(tensors, part, metadata={"format": "pt"})
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
