"""The random numbers for drawing a token.

They are counter-based (Philox 4x64, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): the numbers of
a token are a function of (seed, sample index, step) alone, so a draw depends neither on the other requests of
the batch nor on the number of other draws.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UNIFORMS = 4  # random numbers a token; Philox makes four at a time


def uniforms(seed: int, sample: int, first: int, count: int) -> npt.NDArray[np.float64]:
    """(count, 4) random numbers in [0,1) for the tokens from step `first` on: a pure function of seed, sample, step.

    A token is drawn with the first number; if top-k, top-p or min-p cut it, again with the second and the third;
    and then, with the fourth, from the tokens that the cuts leave.  The result has their distribution, and few tokens
    need to know all of it.  A negative seed counts from 2^64, as in two's complement.
    """
    philox = np.random.Philox(
        key=np.array([seed % 2**64, sample], dtype=np.uint64), counter=np.array([first, 0, 0, 0], dtype=np.uint64)
    )
    return np.random.Generator(philox).random((count, UNIFORMS))
