"""Rotary settings of a GGUF file.

llama.cpp keeps Llama 3's stretching (Dubey et al. 2024) as one divisor a frequency, in a tensor of its own, and not as
the four numbers it comes from.  The rule that they describe is found again from the divisors: a frequency of wavelength
w is divided by r(w), where 1/r = (1 - s)/factor + s and s = clamp(a/w - b, 0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from lavra.base.errors import CheckpointError
from lavra.model.families.gguf_facts import GgufFacts

FACTORS: Final = "rope_freqs.weight"
_NEAR: Final = 1e-3  # relative; the divisors are float32, and no other divisors of the family are this near


def rope_fields(facts: GgufFacts) -> dict[str, Any]:
    """`rope_theta` and `rope_scaling`.

    Raises:
        CheckpointError: positions are stretched in a way that lavra does not read from GGUF.
    """
    theta = facts.number("rope.freq_base", 10_000.0)
    kind, factor = facts.any("rope.scaling.type"), facts.any("rope.scaling.factor")
    old = facts.any("rope.scale_linear")
    if facts.has(FACTORS):
        return {"rope_theta": theta, "rope_scaling": _llama3(facts, theta, facts.file.floats(FACTORS))}
    if old not in (None, 0.0, 1.0) and kind is None:
        kind, factor = "linear", old
    if kind in (None, "none") or factor in (None, 1.0):
        return {"rope_theta": theta}
    if kind != "linear":
        raise CheckpointError(
            f"{facts.where}: rotary positions are stretched by {kind!r}, which lavra does not read from GGUF "
            "(linear and Llama 3's it does); open the model's Hugging Face folder"
        )
    return {"rope_theta": theta, "rope_scaling": {"rope_type": "linear", "factor": float(factor)}}


def _llama3(facts: GgufFacts, theta: float, divisors: Sequence[float]) -> dict[str, Any] | None:
    lengths = [2 * math.pi * theta ** (index / len(divisors)) for index in range(len(divisors))]
    factor = max(divisors)
    if factor == 1.0:
        return None
    slope, offset = _line(factor, lengths, divisors)
    found = [_divisor(factor, slope, offset, length) for length in lengths]
    if any(abs(one - given) > _NEAR * given for one, given in zip(found, divisors, strict=True)):
        raise CheckpointError(
            f"{facts.where}: the divisors of its rotary frequencies ({FACTORS}) are not of Llama 3's rule; open the "
            "model's Hugging Face folder"
        )
    # Of the rule's equivalent forms, the form with low_freq_factor 1: for Llama 3.1 it is the original.
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 1.0 + 1.0 / offset,
        "original_max_position_embeddings": round(slope / offset),
    }


def _divisor(factor: float, slope: float, offset: float, length: float) -> float:
    share = min(max(slope / length - offset, 0.0), 1.0)
    return 1.0 / ((1.0 - share) / factor + share)


def _line(factor: float, lengths: Sequence[float], divisors: Sequence[float]) -> tuple[float, float]:
    """A and b, from the divisors between 1 and the factor; Llama 3's own proportions if there are fewer than two."""
    between = [
        (1.0 / length, (1.0 / given - 1.0 / factor) / (1.0 - 1.0 / factor))
        for length, given in zip(lengths, divisors, strict=True)
        if 1.0 + _NEAR < given < factor * (1.0 - _NEAR)
    ]
    if len(between) < 2:
        return 8192 / 3, 1 / 3
    (x, s), (y, t) = between[0], between[-1]
    slope = (s - t) / (x - y)
    return slope, slope * x - s
