"""From logits to tokens, by the rules and the random numbers of `lavra.generate`.

Order, as there: logit bias, tokens that may not be chosen, repetition penalty, presence and frequency penalties,
temperature, top-k, top-p, min-p, draw.  The native library chooses where it is built (`native_sampler.py`), NumPy
elsewhere (`numpy_sampler.py`).

A row's token depends on its own logits, settings and step alone, never on the other rows: that is what makes company
not matter, and it lets speculation check a guess by choosing again.
"""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.native_library import native_library
from lavra.engine.native_sampler import choose_natively
from lavra.engine.numpy_sampler import choose_in_numpy
from lavra.engine.sample_state import Choice, SampleState


def choose(logits: Float32s, states: Sequence[SampleState]) -> list[Choice | InputError]:
    """The next token of each row, or why there is none; `SampleState.push` is left to the caller.

    Args:
        logits: (R, V) of the next position.
        states: one a row.

    Raises:
        LavraError: logits are not numbers.
    """
    library = native_library()
    if library is None:
        return choose_in_numpy(logits, states)
    return choose_natively(library, logits, states)
