"""Encoders on the native runner: whole texts, each read alone, with no padding, whatever the company."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from ctypes import POINTER, c_void_p, cast

import numpy as np
import numpy.typing as npt

from lavra.base.native_library import NativeRow
from lavra.base.ports import ForwardRow
from lavra.engine.runners.native import default_threads, free_runner, library_rows
from lavra.engine.runners.native_model import NativeModel


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
        self._handle = model.library.made(make(model.handle, 1, 0, threads or default_threads()))
        self._freed = weakref.finalize(self, free_runner, model, self._handle)
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
        rows, kept = library_rows([ForwardRow(tokens=tuple(text), start=0, blocks=()) for text in texts])
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
