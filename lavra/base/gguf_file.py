"""The head of a GGUF file: the facts of the model, and the places of its tensors.

llama.cpp's format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3: a magic word, counts,
key-value pairs with types, then a name, a shape, a type and an offset for each tensor.  The numbers of the tensors are
not read here.  The `gguf` package has a reader too; it makes several arrays for each string of a vocabulary and takes
seconds, where one pass over the bytes takes a fraction of one.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError

SUFFIX: Final = ".gguf"
_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_ALIGNMENT: Final = 32  # bytes between tensors, unless the file says otherwise
_MOST_DIMENSIONS: Final = 4
_LEAST: Final = 24  # bytes: the magic word, the version and two counts


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """A tensor of a GGUF file.

    Attributes:
        shape: rows first, as PyTorch has it; the file has the order turned round.
        kind: number of its type or block format (`gguf.GGMLQuantizationType`).
        offset: its first byte, from the beginning of the file.
    """

    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def num_values(self) -> int:
        """Numbers in it."""
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """The head of a GGUF file.

    Attributes:
        path: path of the file.
        values: facts of the model, by key.
        tensors: tensors, by name.
    """

    path: Path
    values: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """llama.cpp's word for the kind of model."""
        return str(self.values.get("general.architecture", ""))

    def of_model(self, key: str) -> Any:
        """A value under the architecture's name; None where the file has no such value."""
        return self.values.get(f"{self.architecture}.{key}")

    def floats(self, name: str) -> tuple[float, ...]:
        """The numbers of a small tensor in float32.

        Raises:
            CheckpointError: the tensor is of another type, or lies behind the end of the file.
        """
        tensor = self.tensors[name]
        if tensor.kind:
            raise CheckpointError(f"{self.path}: tensor {name} is not float32; convert the model again")
        with self.path.open("rb") as file:
            file.seek(tensor.offset)
            data = file.read(4 * tensor.num_values)
        if len(data) < 4 * tensor.num_values:
            raise CheckpointError(f"{self.path} is truncated: tensor {name} is not all there; fetch it again")
        return struct.unpack(f"<{tensor.num_values}f", data)


def is_gguf(path: Path) -> bool:
    """Whether a path is a GGUF file, by its ending or its first four bytes."""
    if not path.is_file():
        return False
    if path.suffix.lower() == SUFFIX:
        return True
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_gguf(path: Path) -> GgufFile:
    """The head of a GGUF file; it is cached while the file does not change.

    Raises:
        CheckpointError: the file is truncated, damaged, big-endian, one part of several, or of another version.
    """
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> GgufFile:
    if size < _LEAST:
        raise CheckpointError(f"{path} is not a whole GGUF file: it has {size} bytes; fetch it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = _Head(path, data).read()
    parts = found.values.get("split.count", 1)
    if parts and parts != 1:
        raise CheckpointError(
            f"{path} is one of {parts} parts of a model; join them first: "
            f"llama-gguf-split --merge {path.name} whole.gguf"
        )
    return found


class _Head:
    """A reader of values, one after the other."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._at = 0

    def read(self) -> GgufFile:
        """Read the whole head."""
        try:
            return self._whole()
        except struct.error:
            raise CheckpointError(
                f"{self._path} is truncated: its {len(self._data):,} bytes end inside its head; fetch it again"
            ) from None
        except (UnicodeDecodeError, OverflowError, MemoryError, KeyError) as error:
            raise CheckpointError(f"{self._path} has a damaged head ({error}); fetch it again") from None

    def _whole(self) -> GgufFile:
        self._check_beginning()
        num_tensors, num_values = self._take("<QQ")
        values = {}
        for _ in range(num_values):
            key = self._string()
            values[key] = self._value(*self._take("<I"))
        tensors = dict(self._tensors(num_tensors))
        alignment = int(values.get("general.alignment", _ALIGNMENT))
        start = -(-self._at // alignment) * alignment
        moved = {
            name: GgufTensor(shape=one.shape, kind=one.kind, offset=start + one.offset) for name, one in tensors.items()
        }
        return GgufFile(path=self._path, values=values, tensors=moved)

    def _check_beginning(self) -> None:
        if self._data[: len(_MAGIC)] != _MAGIC:
            raise CheckpointError(f"{self._path} is not a GGUF file: it does not begin with GGUF; fetch it again")
        self._at = len(_MAGIC)
        (version,) = self._take("<I")
        if version and version % (1 << 16) == 0:
            raise CheckpointError(
                f"{self._path} is a big-endian GGUF file, and lavra reads little-endian ones; convert it: "
                "gguf-convert-endian FILE little"
            )
        if version not in _VERSIONS:
            raise CheckpointError(f"{self._path} is GGUF of version {version}; lavra reads 2 and 3: convert it again")

    def _take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def _string(self) -> str:
        (length,) = self._take("<Q")
        end = self._at + length
        if end > len(self._data):
            raise struct.error
        text = self._data[self._at : end]
        self._at = end
        return text.decode("utf-8", errors="replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._take("<" + self._scalar(kind))[0]
        inner, count = self._take("<IQ")
        if inner in (_STRING, _ARRAY):
            return [self._value(inner) for _ in range(count)]
        form = self._scalar(inner)
        if count * struct.calcsize(form) > len(self._data):
            raise struct.error
        return list(self._take(f"<{count}{form}"))

    def _scalar(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise CheckpointError(f"{self._path} has a value of type {kind}, which GGUF does not have; fetch it again")
        return _SCALARS[kind]

    def _tensors(self, count: int) -> Iterator[tuple[str, GgufTensor]]:
        for _ in range(count):
            name = self._string()
            (dimensions,) = self._take("<I")
            if dimensions > _MOST_DIMENSIONS:
                raise CheckpointError(
                    f"{self._path}: tensor {name} has {dimensions} dimensions, over the format's {_MOST_DIMENSIONS}; "
                    "fetch the file again"
                )
            shape = self._take(f"<{dimensions}Q")
            kind, offset = self._take("<IQ")
            yield name, GgufTensor(shape=shape[::-1], kind=kind, offset=offset)
