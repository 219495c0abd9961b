"""From logits to tokens in the native library: one call for all rows (`native/src/sampling.cpp`).

It chooses as `numpy_sampler.py` does, by the same random numbers; the two differ where rounding decides.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from ctypes import addressof

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.native_library import SAMPLING_FIELDS, NativeChoice, NativeLibrary, NativeSampling
from lavra.generate.drawing import LEAST
from lavra.generate.numpy_sampler import NONE_LEFT
from lavra.generate.sample_state import Choice, SampleState

_CHOICE = struct.Struct("iif")  # NativeChoice; unpacking all is faster than asking each for its fields
_STEP_BYTES = 32  # bytes of the random numbers of one step


class _Row:
    """A sequence's settings in the library's form, and the memory they point to.

    Attributes:
        num_top: number of likeliest ids to return.
        error: reason why the constraint cannot be followed further.
    """

    __slots__ = ("_address", "_ahead", "_ahead_address", "_arrays", "_settings", "_state", "error", "num_top")

    def __init__(self, state: SampleState, vocab_size: int) -> None:
        config = state.config
        self._state = state
        self.error: InputError | None = None
        self.num_top = min(state.top_logprobs, vocab_size)
        self._arrays = (
            array("i", state.logit_bias),
            array("f", state.logit_bias.values()),
            array("i", state.stop_ids if state.min_tokens else ()),
        )
        bias_ids, biases, forbidden = (one.buffer_info()[0] for one in self._arrays)
        self._settings = NativeSampling(
            **{name: getattr(config, name) for name in SAMPLING_FIELDS},
            num_tokens=state.num_tokens,
            num_biases=len(state.logit_bias),
            bias_ids=bias_ids,
            biases=biases,
            forbidden=forbidden,
            logprob=state.logprobs,
            num_top=self.num_top,
        )
        if state.draws:
            self._settings.temperature = max(config.temperature, LEAST)  # float32 would make it 0
        self._address = addressof(self._settings)
        self._ahead: object = None
        self._ahead_address = 0

    def address(self) -> int:
        """Address of the settings at the state's step."""
        state, settings = self._state, self._settings
        if state.draws:
            ahead, place = state.ahead()
            if ahead is not self._ahead:
                self._ahead, self._ahead_address = ahead, ahead.ctypes.data
            settings.uniforms = self._ahead_address + _STEP_BYTES * place
        if state.touches:
            self._touch()
        elif state.min_tokens:
            settings.num_forbidden = 0
        return self._address

    def _touch(self) -> None:
        state, settings = self._state, self._settings
        settings.num_forbidden = len(self._arrays[2]) if state.step < state.min_tokens else 0
        if state.seen is not None:
            settings.seen, settings.num_seen = state.seen.ids.buffer_info()  # moves when it grows
            settings.counts = state.seen.counts.buffer_info()[0]
        if state.matcher is not None:
            try:
                settings.allowed = allowed = state.matcher.allowed_bits()
            except InputError as error:
                settings.allowed, allowed, self.error = b"", b"", error
            settings.num_allowed_bytes = len(allowed)


def choose_natively(
    library: NativeLibrary, logits: Float32s, states: Sequence[SampleState], helper: int | None = None
) -> list[Choice | InputError]:
    """See `lavra.engine.sampler.choose`.

    Args:
        library: the native library.
        logits: (R, V) of the next position.
        states: the state of each row.
        helper: address of a runner between two passes, whose threads share the rows.

    Raises:
        NativeError: logits are not numbers.
    """
    logits = np.ascontiguousarray(logits, dtype=np.float32)
    count, vocab_size = logits.shape
    rows = [_row_of(state, vocab_size) for state in states]
    most_top = max([row.num_top for row in rows], default=0)
    addresses = array("Q", [row.address() for row in rows])
    choices = (NativeChoice * count)()
    top_ids, top_logprobs = array("i", bytes(4 * count * most_top)), array("f", bytes(4 * count * most_top))
    status = library.functions.lavra_sample(
        library.isa.encode(),
        helper,
        logits.ctypes.data,
        count,
        vocab_size,
        addresses.buffer_info()[0],
        choices,
        most_top,
        top_ids.buffer_info()[0],
        top_logprobs.buffer_info()[0],
    )
    library.check(status)
    found: list[Choice | InputError] = []
    for number, (token, refused, logprob) in enumerate(_CHOICE.iter_unpack(choices)):
        row, state = rows[number], states[number]
        if refused:
            found.append(row.error or InputError(NONE_LEFT))
        elif not state.logprobs:
            found.append(Choice(token, None))
        else:
            top = slice(number * most_top, number * most_top + row.num_top)
            found.append(Choice(token, logprob, tuple(zip(top_ids[top], top_logprobs[top], strict=True))))
    return found


def _row_of(state: SampleState, vocab_size: int) -> _Row:
    row = state.native
    if not isinstance(row, _Row):
        row = state.native = _Row(state, vocab_size)
    return row
