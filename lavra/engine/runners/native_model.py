"""A model's weights for the native runner: stored tensors, packed by the library for one instruction set.

No torch here: the code that opens a folder passes tensors as NumPy arrays (`native_weights.py`).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from ctypes import byref, c_void_p
from dataclasses import dataclass, replace
from enum import IntEnum
from mmap import mmap

import numpy as np
import numpy.typing as npt

from lavra.base.native_library import NativeConfig, NativeLibrary, NativeTensor
from lavra.model.config import Activation, Kind, Layout, ModelConfig, Norm, Positions
from lavra.model.position_formulas import alibi_slopes, attention_factor, scaled_frequencies


class TensorType(IntEnum):
    """The storage type of a tensor's numbers: `lavra_type` of the library's header.

    `INT8_A16` is stored as `INT8`, and its products round their inputs to 16 bits instead of 8, where the instruction
    set can.
    """

    F32 = 0
    F16 = 1
    BF16 = 2
    INT8 = 3
    INT4 = 4
    INT8_A16 = 5


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor in a checkpoint's form.

    Attributes:
        name: lavra's own (`decoder.blocks.0.attention.query.weight`).
        type: storage type of its numbers.
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
    """LoRA's addition to a matrix's product: scale * up (down x).

    Attributes:
        matrix: name of the matrix (`decoder.blocks.0.attention.query.weight`).
        down: (R, K) the first matrix.
        up: (N, R) the second matrix.
        scale: factor of the product.
    """

    matrix: str
    down: npt.NDArray[np.float32]
    up: npt.NDArray[np.float32]
    scale: float


class NativeModel:
    """A model's weights, packed for one instruction set.

    Args:
        library: the native library.
        config: configuration of the model.
        tensors: all tensors of the model, each once; read one after the other and copied.
        half: whether float matrices are computed in bfloat16 instead of float32; integers are not affected.

    Raises:
        NativeError: a tensor is missing, unknown or of another shape, or the model cannot be computed here.
    """

    def __init__(
        self,
        library: NativeLibrary,
        config: ModelConfig,
        tensors: Iterable[StoredTensor],
        *,
        half: bool = False,
    ) -> None:
        self.library, self.config, self.half = library, config, half
        self.adapters: dict[str, int] = {}  # the library's number of each
        self._num_ids = config.vocab_size  # virtual tokens come behind
        kept = _position_arrays(config)
        shape = _native_config(config, kept)
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
        """Bytes of the packed weights."""
        return int(self.library.functions.lavra_model_bytes(self.handle))

    def close(self) -> None:
        """Free the memory; this also happens when the model is garbage-collected; close the runners before."""
        self._freed()

    def add_adapter(self, name: str, changes: Iterable[LowRankChange] = ()) -> None:
        """Add an adapter that rows may name.

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

    def add_virtual_tokens(self, embeddings: npt.NDArray[np.float32]) -> tuple[int, ...]:
        """Add virtual tokens (n, D); returns their ids, which follow those of the vocabulary and of earlier ones."""
        given = _Given(_floats(embeddings))
        self.library.check(self.library.functions.lavra_model_virtual(self.handle, byref(given.tensor)))
        return self._next_ids(len(embeddings))

    def add_prefix(self, pairs: npt.NDArray[np.float32]) -> tuple[int, ...]:
        """Add virtual tokens with keys and values of their own, (L, n, 2, K * C); returns the ids that come next."""
        given = _Given(_floats(pairs.reshape(-1, pairs.shape[-1])))
        self.library.check(self.library.functions.lavra_model_prefix(self.handle, byref(given.tensor)))
        return self._next_ids(pairs.shape[1])

    def _next_ids(self, count: int) -> tuple[int, ...]:
        first = self._num_ids
        self._num_ids += count
        return tuple(range(first, self._num_ids))

    def product(self, tensor: StoredTensor, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute a product outside of the model, such as a task's head: (M, K) inputs -> (M, N), in float32.

        The tensor (N, K) is packed at every call, so it should be small.  The bits of a row depend on that row alone.

        Raises:
            NativeError: the tensor's bytes do not fit its shape and type.
        """
        given, states = _Given(tensor), np.ascontiguousarray(inputs, dtype=np.float32)
        assert states.shape[1] == tensor.columns
        out = np.empty((len(states), tensor.rows), dtype=np.float32)
        multiply, isa = self.library.functions.lavra_linear, self.library.isa.encode()
        self.library.check(
            multiply(
                isa,
                byref(given.tensor),
                TensorType.F32,
                c_void_p(states.ctypes.data),
                len(states),
                c_void_p(out.ctypes.data),
            )
        )
        return out

    def _set(self, tensor: StoredTensor) -> None:
        if tensor.type is TensorType.INT8_A16 and self.config.kind is Kind.ENCODER:
            # An encoder's vectors keep a cosine of 0.999 with inputs of 8 bits, in half the time (docs/native.md).
            tensor = replace(tensor, type=TensorType.INT8)
        given = _Given(tensor)
        place = tensor.name.encode()
        self.library.check(self.library.functions.lavra_model_set(self.handle, place, byref(given.tensor)))


class _Given:
    """A tensor in the library's form, and the arrays it points into."""

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
            mapped=_is_mapped(data),
        )
        self._kept = data, scales


def _is_mapped(array: npt.NDArray[np.generic]) -> bool:
    """Whether an array is a view of a file's read-only pages, and not a copy."""
    owner: object = None if array.flags.writeable else array
    while owner is not None and not isinstance(owner, mmap):
        owner = getattr(owner, "base", None)
    return owner is not None


def _floats(array: npt.NDArray[np.float32]) -> StoredTensor:
    """(N, K) floats without a name."""
    data = np.ascontiguousarray(array, dtype=np.float32)
    return StoredTensor(name="", type=TensorType.F32, rows=data.shape[0], columns=data.shape[1], data=data)


def _position_arrays(config: ModelConfig) -> list[npt.NDArray[np.generic]]:
    """Angles of one step (C / 2,), ALiBi's slopes (H,) and windows (L,); empty if a model does not have them."""
    rope = config.rope
    angles = np.zeros(0) if rope is None else scaled_frequencies(rope, config.head_dim, np)
    slopes = alibi_slopes(config.num_heads, np) if config.positions is Positions.ALIBI else np.zeros(0)
    windows = np.array([one or 0 for one in config.windows], dtype=np.int32)
    return [angles.astype(np.float32), slopes.astype(np.float32), windows]


def _native_config(config: ModelConfig, arrays: Sequence[npt.NDArray[np.generic]]) -> NativeConfig:
    """A configuration in the library's numbers; it points into the arrays."""
    rotary, slopes, windows = (one.ctypes.data if one.size else None for one in arrays)
    relative = config.relative_bias
    return NativeConfig(
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
        rotary_factor=1.0 if config.rope is None else attention_factor(config.rope.scaling),
        rotary=rotary,
        slopes=slopes,
        windows=windows,
    )
