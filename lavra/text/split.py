"""Choose the held-out units: units in the order of a hash, until the held-out side has its share of the bytes.

A unit is a document, or a section of a document that is too long for that (`sections`); near-duplicates are in one
unit, so no near-duplicate of a training document is ever held out, even when duplicates are kept.  The hash is of the
seed and of the unit's text, not of its place or number, so documents that are added later move only the few units at
the border.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.text.shingles import I64, U64, mix

LEAST_BYTES: Final = 8192  # least size of each side, where a tenth of the text is as large: less text measures little
_LEAST_SHARE: Final = 0.1
_TOLERANCE: Final = 0.05  # deviation from the share at which the search for a better unit ends


def split_position(key: U64, seed: int) -> npt.NDArray[np.float64]:
    """Each key's place in [0, 1), uniform over keys and independent between seeds, (N,) to (N,)."""
    salt = mix(np.array([seed], dtype=np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return (mix(mix(key) ^ salt) >> np.uint64(11)).astype(np.float64) / 2.0**53


def heldout_target(num_bytes: int, fraction: float) -> float:
    """Bytes to hold out: the fraction, but on both sides at least `LEAST_BYTES` or a tenth, whichever is less."""
    least = min(float(LEAST_BYTES), num_bytes * _LEAST_SHARE)
    return min(max(fraction * num_bytes, least), num_bytes - least)


def held_out(keys: U64, sizes: I64, *, seed: int, fraction: float) -> npt.NDArray[np.bool_]:
    """(U,) whether each unit is held out.

    Args:
        keys: 64 bits of each unit's text, (U,).
        sizes: bytes of each unit, (U,).
        seed: seed of the order.
        fraction: fraction of all bytes to hold out; see `heldout_target`.

    Raises:
        InputError: there are fewer than two units.
    """
    if len(keys) < 2:
        raise InputError(
            f"the corpus has {len(keys)} document of {int(sizes.sum()):,} bytes after cleaning, near-duplicates "
            "counted once, and a held-out split needs at least 2; give more text"
        )
    target = heldout_target(int(sizes.sum()), fraction)
    order = np.argsort(split_position(keys, seed), kind="stable")
    out = np.zeros(len(keys), dtype=bool)
    taken = 0
    for unit in order.tolist():
        if taken + sizes[unit] <= target * (1 + _TOLERANCE):
            out[unit] = True
            taken += int(sizes[unit])
        if taken >= target * (1 - _TOLERANCE):
            return out if not out.all() else _without_one(out, sizes)
    return _with_one_more(out, sizes, target - taken)


def _with_one_more(out: npt.NDArray[np.bool_], sizes: I64, missing: float) -> npt.NDArray[np.bool_]:
    """Add the unit that comes nearest to the missing bytes, if that is nearer than the choice without it."""
    rest = np.flatnonzero(~out)
    nearest = rest[np.argmin(np.abs(sizes[rest] - missing))]
    if len(rest) > 1 and (not out.any() or abs(sizes[nearest] - missing) < missing):
        out[nearest] = True
    return out


def _without_one(out: npt.NDArray[np.bool_], sizes: I64) -> npt.NDArray[np.bool_]:
    """Leave a unit to train on, even when nearly all units were to be held out."""
    out[np.argmin(sizes)] = False
    return out
