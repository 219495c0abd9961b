"""The native runner: a decoder's forward pass in C++ on this machine's processor (`native/`, docs/native.md).

    tensors as a checkpoint holds them ─▶ NativeModel: packed for the kernels ─▶ NativeRunner: over blocks

One call of the library is one pass of a whole batch.  For an instruction set and a precision, the bits of a row's
logits depend only on its own tokens: not on the other rows, their order, parts of prompts, or threads.

No torch here: the code that opens a folder passes tensors as NumPy arrays.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from ctypes import POINTER, byref, c_void_p, cast
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int32s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.native_library import NativeBatch, NativeRow
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.engine.config import CacheType
from lavra.engine.native_sampler import choose_natively
from lavra.engine.runners.native_model import NativeModel
from lavra.generate.sample_state import Choice, SampleState
from lavra.model.config import Kind

BLOCK_SIZE: Final = 16  # tokens in a block: the kernels compute sixteen scores at once
_SOURCES_KEPT: Final = 64  # encoded sources; an evicted source is read again
_SourceKey = tuple[str | None, tuple[int, ...]]  # the adapter and the ids


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
        model: the native model; closed by the code that opened it.
        num_blocks: blocks of the cache, of 16 tokens each.
        cache_type: type of the stored keys and values: `model` (float32), `bf16`, `int8`.
        threads: number of threads; the number of cores for this process unless given.

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
        self._handle = library.made(make(model.handle, num_blocks, _CACHES[cache_type], threads or default_threads()))
        self._freed = weakref.finalize(self, free_runner, model, self._handle)
        self._freed.atexit = False
        self._sources = _Sources(model, self._handle)

    @property
    def num_bytes(self) -> int:
        """Bytes of the cache."""
        return int(self.model.library.functions.lavra_runner_bytes(self._handle))

    def forward(self, batch: ForwardBatch) -> npt.NDArray[np.float32]:
        """Read the rows' tokens into their blocks; (sum of num_logits, V) logits, in the order of the rows.

        Raises InputError for a row whose adapter the model does not have, before any number is written.
        """
        rows, kept = library_rows(batch.rows)
        rows["adapter"] = adapter_numbers(self.model.adapters, [row.adapter for row in batch.rows])
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

    def choose(self, logits: Float32s, states: Sequence[SampleState]) -> list[Choice | InputError]:
        """See `lavra.engine.sampler.choose`; the runner's threads share the rows."""
        return choose_natively(self.model.library, logits, states, self._handle)

    def close(self) -> None:
        """Free the memory; this also happens when the runner is garbage-collected."""
        self._freed()


def free_runner(model: NativeModel, runner: int) -> None:
    """Free a runner; the model that it reads lives until then."""
    model.library.functions.lavra_runner_free(runner)


class _Sources:
    """Sources that an encoder-decoder has read, the latest kept."""

    def __init__(self, model: NativeModel, handle: int) -> None:
        self._model, self._library, self._handle = model, model.library, handle
        self._numbers: OrderedDict[_SourceKey, int] = OrderedDict()

    def numbers(self, keys: Sequence[_SourceKey]) -> list[int]:
        """The library's number of each source, by adapter and ids; unknown sources are read first."""
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
        rows, kept = library_rows([ForwardRow(tokens=key[1], start=0, blocks=())])
        rows["adapter"] = adapter_numbers(self._model.adapters, key[:1])
        number = int(
            self._library.functions.lavra_runner_source(self._handle, cast(rows.ctypes.data, POINTER(NativeRow)))
        )
        self._library.check(number < 0)
        del kept  # the arrays that the row points into
        return number


def library_rows(rows: Sequence[ForwardRow]) -> tuple[npt.NDArray[np.void], tuple[Int32s, Int32s]]:
    """Rows in the library's form, and the arrays they point into."""
    tokens = np.fromiter(chain.from_iterable(row.tokens for row in rows), dtype=np.int32)
    blocks = np.fromiter(chain.from_iterable(row.blocks for row in rows), dtype=np.int32)
    made = np.zeros(len(rows), dtype=_ROW)
    num_tokens, num_blocks = [len(row.tokens) for row in rows], [len(row.blocks) for row in rows]
    made["num_tokens"], made["num_blocks"] = num_tokens, num_blocks
    made["tokens"] = tokens.ctypes.data + 4 * (np.cumsum(num_tokens) - num_tokens)
    made["blocks"] = blocks.ctypes.data + 4 * (np.cumsum(num_blocks) - num_blocks)
    made["start"] = [row.start for row in rows]
    made["num_logits"] = [row.num_logits for row in rows]
    made["adapter"] = made["source"] = -1
    return made, (tokens, blocks)


def adapter_numbers(adapters: Mapping[str, int], names: Sequence[str | None]) -> list[int]:
    """The library's number of each row's adapter, -1 for a row without an adapter.

    Raises:
        InputError: an adapter is unknown.
    """
    unknown = next((name for name in names if name is not None and name not in adapters), None)
    if unknown is not None:
        known = nearest(unknown, adapters) if adapters else "; this runner has none"
        raise InputError(f"a row names the adapter {unknown!r}, and the runner has no adapter of that name{known}")
    return [-1 if name is None else adapters[name] for name in names]


def default_threads() -> int:
    """The number of cores that this process may use, or fewer if `OMP_NUM_THREADS` sets fewer."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores
