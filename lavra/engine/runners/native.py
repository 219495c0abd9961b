"""The native runner: a decoder's forward pass in C++ on this machine's processor (`native/`, docs/native.md).

    tensors as a checkpoint holds them ─▶ NativeModel: packed for the kernels ─▶ NativeRunner: over blocks

One call of the library is one pass of a whole batch.  For an instruction set and a precision, the bits of a row's
logits depend on nothing but its own tokens: not on the other rows, their order, parts of prompts, or threads.

No torch here: what opens a folder hands tensors in as NumPy arrays.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from ctypes import POINTER, byref, c_void_p, cast
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int32s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.native_library import NativeBatch, NativeConfig, NativeLibrary, NativeRow, NativeTensor
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.engine.config import CacheType
from lavra.model.config import Activation, Kind, Layout, ModelConfig, Norm, Positions

BLOCK_SIZE: Final = 16  # tokens in a block: the kernels compute sixteen scores at once
_SOURCES_KEPT: Final = 64  # encoded sources; one that is gone is read again
_SourceKey = tuple[str | None, tuple[int, ...]]  # the adapter and the ids


class TensorType(IntEnum):
    """How a tensor's numbers are stored: `lavra_type` of the library's header."""

    F32 = 0
    F16 = 1
    BF16 = 2
    INT8 = 3
    INT4 = 4


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor as a checkpoint holds it.

    Attributes:
        name: lavra's own (`decoder.blocks.0.attention.query.weight`).
        type: of its numbers.
        rows: N; 1 of a vector.
        columns: K.
        data: its bytes, row by row; integers as `lavra.quantize.packing` packs them.
        group: neighbouring columns that share a scale; 0 is the whole row.
        scales: (N, groups) bfloat16 as bits, of integers.
    """

    name: str
    type: TensorType
    rows: int
    columns: int
    data: npt.NDArray[np.generic]
    group: int = 0
    scales: npt.NDArray[np.uint16] | None = None


@dataclass(frozen=True, kw_only=True)
class LowRankChange:
    """What LoRA adds to a matrix's product: scale * up (down x).

    Attributes:
        matrix: its name (`decoder.blocks.0.attention.query.weight`).
        down: (R, K).
        up: (N, R).
        scale: of the product.
    """

    matrix: str
    down: npt.NDArray[np.float32]
    up: npt.NDArray[np.float32]
    scale: float


class NativeModel:
    """A model's weights, packed for one instruction set.

    Args:
        library: what computes.
        config: of the model.
        tensors: all of it has, each once; read one after the other and copied.
        frequencies: (C / 2,) angles of one step, of rotary positions.
        rotary_factor: cosines and sines are multiplied by it.
        slopes: (H,) of ALiBi.
        half: float matrices are computed in bfloat16, else in float32; integers stay what they are.

    Raises:
        NativeError: a tensor is missing, unknown or of another shape, or the model cannot be computed here.
    """

    def __init__(
        self,
        library: NativeLibrary,
        config: ModelConfig,
        tensors: Iterable[StoredTensor],
        *,
        frequencies: npt.NDArray[np.float32] | None = None,
        rotary_factor: float = 1.0,
        slopes: npt.NDArray[np.float32] | None = None,
        half: bool = False,
    ) -> None:
        self.library, self.config, self.half = library, config, half
        self.adapters: dict[str, int] = {}  # the library's number of each
        kept = [_array(frequencies), _array(slopes), np.array([one or 0 for one in config.windows], dtype=np.int32)]
        shape = _native_config(config, kept, rotary_factor)
        precision = TensorType.BF16 if half else TensorType.F32
        make = library.functions.lavra_model_new
        self.handle = library.made(make(byref(shape), library.isa.encode(), precision))
        self._freed = weakref.finalize(self, library.functions.lavra_model_free, self.handle)
        self._freed.atexit = False  # the process gives everything back, and a pass may still run
        try:
            for tensor in tensors:
                self._set(tensor)
            library.check(library.functions.lavra_model_finish(self.handle))
        except BaseException:
            self.close()
            raise

    @property
    def num_bytes(self) -> int:
        """Of the packed weights."""
        return int(self.library.functions.lavra_model_bytes(self.handle))

    def close(self) -> None:
        """Give the memory back, as happens when nobody has the model any more; runners must be closed before."""
        self._freed()

    def add_adapter(self, name: str, changes: Iterable[LowRankChange] = ()) -> None:
        """Give the model an adapter that rows may name.

        Raises:
            NativeError: a change belongs to no matrix of the model, or has another shape.
        """
        add = self.library.functions.lavra_model_adapt
        number = int(self.library.functions.lavra_model_adapter(self.handle))
        for change in changes:
            down, up = _Given(_floats(change.down)), _Given(_floats(change.up))
            place = change.matrix.encode()
            self.library.check(add(self.handle, number, place, byref(down.tensor), byref(up.tensor), change.scale))
        self.adapters[name] = number

    def add_virtual_tokens(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Virtual tokens (n, D), whose ids follow the vocabulary's and those of earlier ones."""
        given = _Given(_floats(embeddings))
        self.library.check(self.library.functions.lavra_model_virtual(self.handle, byref(given.tensor)))

    def add_prefix(self, pairs: npt.NDArray[np.float32]) -> None:
        """Virtual tokens with keys and values of their own, (L, n, 2, K * C), whose ids come next, likewise."""
        given = _Given(_floats(pairs.reshape(-1, pairs.shape[-1])))
        self.library.check(self.library.functions.lavra_model_prefix(self.handle, byref(given.tensor)))

    def _set(self, tensor: StoredTensor) -> None:
        given = _Given(tensor)
        place = tensor.name.encode()
        self.library.check(self.library.functions.lavra_model_set(self.handle, place, byref(given.tensor)))


class _Given:
    """A tensor as the library reads it, and the arrays it points into."""

    def __init__(self, tensor: StoredTensor) -> None:
        data = np.ascontiguousarray(tensor.data)
        scales = None if tensor.scales is None else np.ascontiguousarray(tensor.scales)
        self.tensor = NativeTensor(
            type=tensor.type,
            rows=tensor.rows,
            columns=tensor.columns,
            group=tensor.group,
            data=data.ctypes.data,
            num_bytes=data.nbytes,
            scales=None if scales is None else scales.ctypes.data,
            num_scale_bytes=0 if scales is None else scales.nbytes,
        )
        self._kept = data, scales


def _floats(array: npt.NDArray[np.float32]) -> StoredTensor:
    """(N, K) floats that have no name."""
    data = np.ascontiguousarray(array, dtype=np.float32)
    return StoredTensor(name="", type=TensorType.F32, rows=data.shape[0], columns=data.shape[1], data=data)


_CACHES: Final[dict[CacheType, int]] = {"model": 0, "bf16": 1, "int8": 2}
_ROW: Final = np.dtype(
    [
        ("tokens", np.uintp),
        ("blocks", np.uintp),
        *((name, np.int32) for name in ("num_tokens", "num_blocks", "start", "num_logits", "adapter", "source")),
        ("types", np.uintp),
    ]
)


class NativeRunner:
    """The `Runner` port on a native model.

    Args:
        model: what computes; closed by whoever opened it.
        num_blocks: blocks of the cache, of 16 tokens each.
        cache_type: what the blocks hold: `model` (float32), `bf16`, `int8`.
        threads: that compute; as many as the processor has cores for this process unless given.

    Raises:
        ConfigError: the cache type is unknown.
        NativeError: there is not enough memory.
    """

    block_size = BLOCK_SIZE

    def __init__(
        self, model: NativeModel, *, num_blocks: int, cache_type: CacheType = "model", threads: int | None = None
    ) -> None:
        if cache_type not in _CACHES:
            raise ConfigError(f"cache_type={cache_type!r} is unknown; known: {', '.join(_CACHES)}")
        self.model, self.num_blocks = model, num_blocks
        library = model.library
        make = library.functions.lavra_runner_new
        self._handle = library.made(make(model.handle, num_blocks, _CACHES[cache_type], threads or _default_threads()))
        self._freed = weakref.finalize(self, _free, model, self._handle)
        self._freed.atexit = False
        self._sources = _Sources(model, self._handle)

    @property
    def num_bytes(self) -> int:
        """Of the cache."""
        return int(self.model.library.functions.lavra_runner_bytes(self._handle))

    def forward(self, batch: ForwardBatch) -> npt.NDArray[np.float32]:
        """Read the rows' tokens into their blocks; (sum of num_logits, V) logits, in the order of the rows.

        Raises InputError for a row that names an adapter the model has not, before anything is written.
        """
        rows, kept = _rows(batch.rows)
        rows["adapter"] = _numbers(self.model.adapters, [row.adapter for row in batch.rows])
        if self.model.config.kind is Kind.ENCODER_DECODER:
            rows["source"] = self._sources.numbers([(row.adapter, row.source or ()) for row in batch.rows])
        copies = np.array(batch.copies, dtype=np.int32).reshape(-1, 2)
        given = NativeBatch(
            rows=cast(rows.ctypes.data, POINTER(NativeRow)),
            num_rows=len(rows),
            num_copies=len(copies),
            copies=copies.ctypes.data,
        )
        logits = np.empty((int(rows["num_logits"].sum()), self.model.config.vocab_size), dtype=np.float32)
        library = self.model.library
        library.check(
            library.functions.lavra_runner_forward(
                self._handle, byref(given), c_void_p(logits.ctypes.data), logits.size
            )
        )
        del kept  # the arrays that rows point into
        return logits

    def close(self) -> None:
        """Give the memory back, as happens when nobody has the runner any more."""
        self._freed()


def _free(model: NativeModel, runner: int) -> None:
    """Free a runner; the model that it reads lives until then."""
    model.library.functions.lavra_runner_free(runner)


class _Sources:
    """Sources that an encoder-decoder has read, the latest ones kept."""

    def __init__(self, model: NativeModel, handle: int) -> None:
        self._model, self._library, self._handle = model, model.library, handle
        self._numbers: OrderedDict[_SourceKey, int] = OrderedDict()

    def numbers(self, keys: Sequence[_SourceKey]) -> list[int]:
        """The library's number of each, by adapter and ids; those it has not are read."""
        for key in dict.fromkeys(keys):
            if key not in self._numbers:
                self._numbers[key] = self._read(key)
            self._numbers.move_to_end(key)
        found = [self._numbers[key] for key in keys]
        while len(self._numbers) > max(_SOURCES_KEPT, len(set(keys))):
            _, oldest = self._numbers.popitem(last=False)
            self._library.check(self._library.functions.lavra_runner_forget(self._handle, oldest))
        return found

    def _read(self, key: _SourceKey) -> int:
        rows, kept = _rows([ForwardRow(tokens=key[1], start=0, blocks=())])
        rows["adapter"] = _numbers(self._model.adapters, key[:1])
        number = int(
            self._library.functions.lavra_runner_source(self._handle, cast(rows.ctypes.data, POINTER(NativeRow)))
        )
        self._library.check(number < 0)
        del kept  # what the row points into
        return number


class NativeEncoder:
    """Whole texts read by the encoder of a native model: each alone, with no padding, whatever the company.

    Args:
        model: what computes; closed by whoever opened it.
        threads: as of `NativeRunner`.

    Raises:
        NativeError: the model is a decoder.
    """

    def __init__(self, model: NativeModel, *, threads: int | None = None) -> None:
        self.model = model
        make = model.library.functions.lavra_runner_new
        self._handle = model.library.made(make(model.handle, 1, 0, threads or _default_threads()))
        self._freed = weakref.finalize(self, _free, model, self._handle)
        self._freed.atexit = False

    def hidden(
        self, texts: Sequence[Sequence[int]], token_types: Sequence[Sequence[int]] | None = None
    ) -> list[npt.NDArray[np.float32]]:
        """(T, D) hidden states of each text's ids, after the final norm.

        Args:
            texts: ids of each, at least one.
            token_types: of each id; 0 everywhere unless given.

        Raises:
            NativeError: an id or a type is unknown, or a text is longer than the learned positions.
        """
        rows, kept = _rows([ForwardRow(tokens=tuple(text), start=0, blocks=()) for text in texts])
        types = np.fromiter((one for text in token_types or () for one in text), dtype=np.int32)
        if types.size:
            rows["types"] = types.ctypes.data + (rows["tokens"] - rows["tokens"][0])
        out = np.empty((len(kept[0]), self.model.config.hidden_size), dtype=np.float32)
        library = self.model.library
        pointer = cast(rows.ctypes.data, POINTER(NativeRow))
        library.check(
            library.functions.lavra_runner_encode(self._handle, pointer, len(rows), c_void_p(out.ctypes.data), out.size)
        )
        del kept, types  # what rows point into
        return np.split(out, np.cumsum(rows["num_tokens"])[:-1])

    def logits(self, hidden: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, D) hidden states -> (N, V) by the model's head.

        Raises:
            NativeError: the model has none.
        """
        states = np.ascontiguousarray(hidden, dtype=np.float32)
        out = np.empty((len(states), self.model.config.vocab_size), dtype=np.float32)
        library, give = self.model.library, self.model.library.functions.lavra_runner_logits
        library.check(
            give(self._handle, c_void_p(states.ctypes.data), len(states), c_void_p(out.ctypes.data), out.size)
        )
        return out

    def close(self) -> None:
        """Give the memory back, as happens when nobody has the encoder any more."""
        self._freed()


def _rows(rows: Sequence[ForwardRow]) -> tuple[npt.NDArray[np.void], tuple[Int32s, Int32s]]:
    """Rows as the library reads them, and the arrays they point into."""
    tokens = np.fromiter((token for row in rows for token in row.tokens), dtype=np.int32)
    blocks = np.fromiter((block for row in rows for block in row.blocks), dtype=np.int32)
    made = np.zeros(len(rows), dtype=_ROW)
    num_tokens, num_blocks = [len(row.tokens) for row in rows], [len(row.blocks) for row in rows]
    made["num_tokens"], made["num_blocks"] = num_tokens, num_blocks
    made["tokens"] = tokens.ctypes.data + 4 * (np.cumsum(num_tokens) - num_tokens)
    made["blocks"] = blocks.ctypes.data + 4 * (np.cumsum(num_blocks) - num_blocks)
    made["start"] = [row.start for row in rows]
    made["num_logits"] = [row.num_logits for row in rows]
    made["adapter"] = made["source"] = -1
    return made, (tokens, blocks)


def _numbers(adapters: Mapping[str, int], names: Sequence[str | None]) -> list[int]:
    unknown = next((name for name in names if name is not None and name not in adapters), None)
    if unknown is not None:
        known = nearest(unknown, adapters) if adapters else "; this runner has none"
        raise InputError(f"a row names the adapter {unknown!r}, and the runner has no such{known}")
    return [-1 if name is None else adapters[name] for name in names]


def _default_threads() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores


def _array(given: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    return np.zeros(0, dtype=np.float32) if given is None else np.ascontiguousarray(given, dtype=np.float32)


def _native_config(
    config: ModelConfig, arrays: Sequence[npt.NDArray[np.generic]], rotary_factor: float
) -> NativeConfig:
    """A configuration in the library's numbers; it points into the arrays."""
    rotary, slopes, windows = (one.ctypes.data if one.size else None for one in arrays)
    relative = config.relative_bias
    return NativeConfig(
        abi=1,
        kind=list(Kind).index(config.kind),
        layout=list(Layout).index(config.layout),
        norm=list(Norm).index(config.norm),
        activation=list(Activation).index(config.activation),
        head_activation=list(Activation).index(config.head_activation or config.activation),
        positions=list(Positions).index(config.positions),
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_decoder_layers=config.num_decoder_layers or 0,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        feed_forward_size=config.feed_forward_size,
        max_positions=config.max_positions,
        position_offset=config.position_offset,
        num_token_types=config.num_token_types,
        gated=config.gated,
        embedding_norm=config.embedding_norm,
        final_norm=config.final_norm,
        has_head=config.has_head,
        tie_embeddings=config.tie_embeddings,
        head_transform=config.head_transform,
        has_pooler=config.has_pooler,
        attention_bias=config.attention_bias,
        attention_output_bias=config.attention_output_bias,
        feed_forward_bias=config.feed_forward_bias,
        head_bias=config.head_bias,
        scale_by_layer=config.attention_scale_by_layer,
        relative_buckets=relative.num_buckets if relative else 0,
        relative_distance=relative.max_distance if relative else 0,
        norm_eps=config.norm_eps,
        attention_scale=config.head_dim**-0.5 if config.attention_scale is None else config.attention_scale,
        head_scale=config.head_scale,
        rotary_factor=rotary_factor,
        rotary=rotary,
        slopes=slopes,
        windows=windows,
    )
