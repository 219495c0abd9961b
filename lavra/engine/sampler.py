"""From logits to tokens: by the native library where it is built, else in NumPy.

Both follow the rules and the random numbers of `lavra.generate.numpy_sampler`.  A row's token depends on its own
logits, settings and step alone, never on the other rows: so a batch does not change a text, and speculation can
check a guess by choosing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.native_library import native_library
from lavra.engine.native_sampler import choose_natively
from lavra.generate.numpy_sampler import choose_in_numpy
from lavra.generate.sample_state import Choice, SampleState


@runtime_checkable
class ChoosingRunner(Protocol):
    """A runner that chooses tokens itself, with its own threads."""

    def choose(self, logits: Float32s, states: Sequence[SampleState]) -> list[Choice | InputError]:
        """See `choose` of this module."""
        ...


def choose(logits: Float32s, states: Sequence[SampleState]) -> list[Choice | InputError]:
    """The next token of each row, or the error of the row; the caller calls `SampleState.push`.

    Args:
        logits: (R, V) of the next position.
        states: the state of each row.

    Raises:
        LavraError: logits are not numbers.
    """
    library = native_library()
    if library is None:
        return choose_in_numpy(logits, states)
    return choose_natively(library, logits, states)
