"""Whole texts on the native runner, to hidden states: each text is read alone, without padding."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_void_p, cast
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int32s
from lavra.base.errors import InputError
from lavra.base.native_library import NativeRow
from lavra.base.ports import ForwardRow
from lavra.engine.runners.native import adapter_numbers, default_threads, free_runner, library_rows
from lavra.engine.runners.native_model import NativeModel

TextIds = Sequence[int] | Int32s
"""Ids of one text."""

_TOKENS: Final = 2048  # computed together: their activations stay in the caches


class NativeEncoder:
    """Whole texts read by the encoder of a native model, or by a decoder, which has no other stack.

    Args:
        model: the native model; closed by the code that opened it.
        threads: number of threads, as in `NativeRunner`.
    """

    def __init__(self, model: NativeModel, *, threads: int | None = None) -> None:
        self.model = model
        make = model.library.functions.lavra_runner_new
        self._handle = model.library.made(make(model.handle, 1, 0, threads or default_threads()))
        self._using = threading.Lock()  # the library's runner is one thread's at a time
        self._freed = weakref.finalize(self, free_runner, model, self._handle)
        self._freed.atexit = False

    def hidden(
        self,
        texts: Sequence[TextIds],
        token_types: Sequence[TextIds] | None = None,
        *,
        adapter: str | None = None,
    ) -> list[npt.NDArray[np.float32]]:
        """(T, D) hidden states of each text's ids, after the final norm.

        Args:
            texts: ids of each text, at least one id.
            token_types: token type of each id; 0 everywhere unless given.
            adapter: adapter for all texts.

        Raises:
            InputError: the adapter is unknown, or a text has more or fewer types than ids.
            NativeError: an id or a type is unknown, or a text is longer than the learned positions.
        """
        rows, kept = _rows(texts)
        rows["adapter"] = adapter_numbers(self.model.adapters, [adapter])[0]
        types = _types([len(text) for text in texts], token_types)
        if types.size:
            rows["types"] = types.ctypes.data + (rows["tokens"] - rows["tokens"][0])
        with self._using:
            found = self._read(rows)
        del kept, types  # the arrays that rows point into
        return found

    def decoded(
        self, sources: Sequence[TextIds], texts: Sequence[TextIds], *, adapter: str | None = None
    ) -> list[npt.NDArray[np.float32]]:
        """(U, D) hidden states of an encoder-decoder's decoder: of each text's ids, given its source's.

        Raises:
            NativeError: the model has no decoder beside its encoder, or an id is unknown.
        """
        (rows, kept), (read, also_kept) = _rows(texts), _rows(sources)
        rows["adapter"] = read["adapter"] = adapter_numbers(self.model.adapters, [adapter])[0]
        functions, numbers = self.model.library.functions, list[int]()
        with self._using:
            try:
                for place in range(len(read)):
                    one = cast(read[place : place + 1].ctypes.data, POINTER(NativeRow))
                    numbers.append(int(functions.lavra_runner_source(self._handle, one)))
                    self.model.library.check(numbers[-1] < 0)
                rows["source"] = numbers
                found = self._read(rows)
            finally:
                for number in numbers:
                    functions.lavra_runner_forget(self._handle, number)
        del kept, also_kept  # the arrays that rows point into
        return found

    def _read(self, rows: npt.NDArray[np.void]) -> list[npt.NDArray[np.float32]]:
        """(T, D) of each row; the caller keeps the rows' tokens alive."""
        out = np.empty((int(rows["num_tokens"].sum()), self.model.config.hidden_size), dtype=np.float32)
        library, read = self.model.library, self.model.library.functions.lavra_runner_encode
        pointer = cast(rows.ctypes.data, POINTER(NativeRow))
        library.check(read(self._handle, pointer, len(rows), c_void_p(out.ctypes.data), out.size))
        return np.split(out, np.cumsum(rows["num_tokens"])[:-1])

    def batches(
        self,
        texts: Sequence[TextIds],
        token_types: Sequence[TextIds] | None = None,
        *,
        adapter: str | None = None,
    ) -> Iterator[list[npt.NDArray[np.float32]]]:
        """Hidden states of any number of texts, in their order, some at a time; arguments and errors as `hidden`."""
        for first, last in stretches([len(text) for text in texts]):
            types = None if token_types is None else token_types[first:last]
            yield self.hidden(texts[first:last], types, adapter=adapter)

    def logits(self, hidden: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, D) hidden states -> (N, V) by the model's head.

        Raises:
            NativeError: the model has no head.
        """
        states = np.ascontiguousarray(hidden, dtype=np.float32)
        out = np.empty((len(states), self.model.config.vocab_size), dtype=np.float32)
        library, give = self.model.library, self.model.library.functions.lavra_runner_logits
        given, output = c_void_p(states.ctypes.data), c_void_p(out.ctypes.data)
        with self._using:
            library.check(give(self._handle, given, len(states), output, out.size))
        return out

    def close(self) -> None:
        """Free the memory; this also happens when the encoder is garbage-collected."""
        self._freed()


def _rows(texts: Sequence[TextIds]) -> tuple[npt.NDArray[np.void], tuple[Int32s, Int32s]]:
    """Whole texts in the library's form, and the arrays that the rows point into."""
    ids = [tuple(np.asarray(text, dtype=np.int32).tolist()) for text in texts]
    return library_rows([ForwardRow(tokens=one, start=0, blocks=()) for one in ids])


def _types(lengths: Sequence[int], given: Sequence[TextIds] | None) -> Int32s:
    """The types of all texts, concatenated; empty if no types are given."""
    if given is None:
        return np.zeros(0, dtype=np.int32)
    if [len(one) for one in given] != list(lengths):
        raise InputError("the token types of a text are not as many as its tokens; give one a token")
    return np.concatenate([np.asarray(one, dtype=np.int32) for one in given])


def stretches(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of texts that are read together, of which these are the tokens."""
    first = 0
    while first < len(lengths):
        last, tokens = first + 1, lengths[first]
        while last < len(lengths) and tokens + lengths[last] <= _TOKENS:
            tokens, last = tokens + lengths[last], last + 1
        yield first, last
        first = last
