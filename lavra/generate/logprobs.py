"""Log-probabilities of rows of logits, in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s
from lavra.base.errors import LavraError


def check_finite(logits: Float32s) -> None:
    """Refuse (R, V) logits that are not numbers.

    Raises:
        LavraError: a logit is NaN or infinite.
    """
    if not (np.isfinite(logits.max()) and np.isfinite(logits.min())):  # NaN is both; half the time of a sum
        raise LavraError(
            "the model's logits are NaN or infinite: its weights are damaged or overflow in this dtype; "
            "try dtype='float32'"
        )


def top_logprobs(row: Float32s, norm: float, count: int) -> tuple[tuple[int, float], ...]:
    """The likeliest ids of (V,) logits and their log-probabilities, best first, lower ids first among equals."""
    if count == 0:
        return ()
    count = min(count, len(row))
    ids = np.flatnonzero(row >= np.partition(row, -count)[-count])  # with all that equal the last of them
    ids = ids[np.lexsort((ids, -row[ids]))][:count]
    return tuple((int(token), float(row[token] - norm)) for token in ids)


def log_sum_exp(logits: Float32s) -> npt.NDArray[np.float32]:
    """(R, V) logits -> (R,)."""
    largest = logits.max(axis=1)
    shifted = logits - largest[:, None]
    np.exp(shifted, out=shifted)
    out: npt.NDArray[np.float32] = largest + np.log(shifted.sum(axis=1))  # NumPy adds in pairs: float32 is enough
    return out
