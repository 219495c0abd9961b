"""How the next token may be chosen: bounds of the settings, the seed, and the random numbers behind a token.

The randomness is counter-based (Philox 4x64, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3"): the numbers behind a token are a function of (seed, sample index, step) alone, so what is drawn depends
neither on the other requests of the batch nor on how often anything else drew.

No torch here: an engine whose runner needs none draws by the same numbers.
"""

from __future__ import annotations

import dataclasses
import math
import secrets

import numpy as np
import numpy.typing as npt

from lavra.base.errors import ConfigError
from lavra.base.types import SamplingConfig

MAX_SEED = 2**64 - 1
UNIFORMS = 4  # random numbers a token; Philox makes four at a time
_BOUNDS: tuple[tuple[str, float, float, str], ...] = (
    ("temperature", 0.0, math.inf, "0 is greedy, 1 the model's own distribution"),
    ("top_k", 0, math.inf, "0 keeps all tokens"),
    ("top_p", 0.0, 1.0, "1 keeps all tokens"),
    ("min_p", 0.0, 1.0, "0 keeps all tokens"),
    ("repetition_penalty", 0.0, math.inf, "1 is off, 1.1 is mild"),
    ("presence_penalty", -math.inf, math.inf, "0 is off"),
    ("frequency_penalty", -math.inf, math.inf, "0 is off"),
    ("seed", 0, MAX_SEED, "leave it out to have one drawn"),
)
_POSITIVE = frozenset({"top_p", "repetition_penalty"})
_ONLY_WHEN_SAMPLING = ("top_k", "top_p", "min_p", "seed")


def check_sampling(sampling: SamplingConfig) -> None:
    """Refuse settings out of range.

    Raises:
        ConfigError: naming the setting, its value, the bound and what to use instead.
    """
    for name, low, high, remedy in _BOUNDS:
        value = getattr(sampling, name)
        if value is None:
            continue
        inside = low < value <= high if name in _POSITIVE else low <= value <= high
        if not inside or math.isinf(value):
            bound = f"{'over' if name in _POSITIVE else 'at least'} {low}" + (
                f", at most {high}" if high != math.inf else ""
            )
            raise ConfigError(f"{name}={value} is out of range (finite, {bound}); {remedy}")


def settle_seed(sampling: SamplingConfig) -> tuple[SamplingConfig, tuple[str, ...]]:
    """Draw a seed where sampling needs one and none is given; and say which settings have no effect.

    Returns:
        The settings with a seed, and the warnings to report.
    """
    if sampling.temperature == 0:
        default = SamplingConfig()
        idle = [name for name in _ONLY_WHEN_SAMPLING if getattr(sampling, name) != getattr(default, name)]
        if not idle:
            return sampling, ()
        return sampling, (
            f"temperature is 0 (greedy), so {', '.join(idle)} had no effect; set a temperature to sample",
        )
    if sampling.seed is not None:
        return sampling, ()
    seed = secrets.randbits(32)
    return dataclasses.replace(sampling, seed=seed), (
        f"no seed was given: {seed} was drawn; pass seed={seed} to repeat this",
    )


def uniforms(seed: int, sample: int, first: int, count: int) -> npt.NDArray[np.float64]:
    """(count, 4) random numbers in [0,1) behind the tokens from step `first` on: a pure function of seed, sample, step.

    A token is drawn with the first; where top-k, top-p or min-p would have cut it, again with the second and the third;
    and then, with the fourth, from what they leave.  That has the distribution of what they leave, and few tokens need
    to know all of it.
    """
    philox = np.random.Philox(
        key=np.array([seed, sample], dtype=np.uint64), counter=np.array([first, 0, 0, 0], dtype=np.uint64)
    )
    return np.random.Generator(philox).random((count, UNIFORMS))
