"""From logits to tokens in the native library: one call for all rows (`native/src/sampling.cpp`).

It chooses as `numpy_sampler.py` does, by the same random numbers; the two differ where rounding decides, in about one
draw of 100,000.
"""

from __future__ import annotations

import ctypes
import os
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError, LavraError
from lavra.engine.numpy_sampler import NONE_LEFT, NOT_FINITE
from lavra.engine.sample_state import Choice, SampleState

_LARGEST_COUNT = 2**31 - 1
_CHOICE = struct.Struct("iif")
_NOT_FINITE = 1


class _Sampling(ctypes.Structure):
    """`lavra_sampling`; addresses are plain numbers, which are cheap to set."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("num_tokens", "top_k")),
        *((name, ctypes.c_float) for name in ("temperature", "top_p", "min_p")),
        *((name, ctypes.c_float) for name in ("repetition_penalty", "presence_penalty", "frequency_penalty")),
        *((name, ctypes.c_int32) for name in ("num_seen", "num_biases", "num_forbidden", "logprob", "num_top")),
        *((name, ctypes.c_void_p) for name in ("seen", "counts", "bias_ids", "biases", "forbidden")),
        ("allowed", ctypes.c_char_p),
        ("num_allowed_bytes", ctypes.c_uint64),
        ("uniforms", ctypes.c_void_p),
    )


class _NativeRow:
    """The settings of one sequence as the library reads them, and the memory they point to."""

    def __init__(self, state: SampleState, vocab_size: int) -> None:
        self._state, config = state, state.config
        self._arrays = [
            array("i", state.logit_bias),
            array("f", state.logit_bias.values()),
            array("i", state.stop_ids if state.min_tokens else ()),
        ]
        bias_ids, biases, forbidden = (one.buffer_info()[0] for one in self._arrays)
        self.num_top = min(state.top_logprobs, vocab_size)
        self._settings = _Sampling(
            num_tokens=state.num_tokens,
            top_k=min(config.top_k, _LARGEST_COUNT),
            temperature=config.temperature,
            top_p=config.top_p,
            min_p=config.min_p,
            repetition_penalty=config.repetition_penalty,
            presence_penalty=config.presence_penalty,
            frequency_penalty=config.frequency_penalty,
            num_biases=len(state.logit_bias),
            bias_ids=bias_ids,
            biases=biases,
            forbidden=forbidden,
            logprob=state.logprobs,
            num_top=self.num_top,
        )
        self._address = ctypes.addressof(self._settings)
        self._ahead, self._numbers = state.ahead()[0], 0

    def address(self) -> int:
        """Of the settings as they are at this step.

        Raises:
            InputError: the constraint cannot be followed further.
        """
        state, settings = self._state, self._settings
        if state.draws:
            ahead, place = state.ahead()
            if ahead is not self._ahead or not self._numbers:
                self._ahead, self._numbers = ahead, ahead.ctypes.data
            settings.uniforms = self._numbers + 32 * place
        if state.seen is not None:
            settings.seen, settings.num_seen = state.seen.ids.buffer_info()
            settings.counts = state.seen.counts.buffer_info()[0]
        if state.min_tokens:
            settings.num_forbidden = len(state.stop_ids) if state.step < state.min_tokens else 0
        if state.matcher is not None:
            settings.allowed = allowed = state.matcher.allowed_bits()
            settings.num_allowed_bytes = len(allowed)
        return self._address


def _load() -> ctypes.CDLL | None:
    path = Path(__file__).resolve().parent.parent / "lavra_native.so"
    if os.environ.get("LAVRA_NATIVE") == "0" or not path.exists():
        return None
    return ctypes.CDLL(str(path))


_LIBRARY = _load()


def choose_natively(logits: Float32s, states: Sequence[SampleState], isa: bytes | None = None) -> list[Choice | InputError]:
    """As `lavra.engine.sampler.choose`."""
    assert _LIBRARY is not None
    vocab_size = logits.shape[1]
    rows, refused = [], {}
    for number, state in enumerate(states):
        if state.native is None:
            state.native = _NativeRow(state, vocab_size)
        try:
            rows.append(state.native.address())
        except InputError as error:
            refused[number] = error
    most_top = max((state.native.num_top for state in states), default=0)
