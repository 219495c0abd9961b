"""From the hidden states of a text's tokens to one vector (Reimers & Gurevych 2019, arXiv:1908.10084, §3)."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt


class Pooling(Enum):
    """A rule that turns the hidden states of a text's tokens into one vector."""

    MEAN = "mean"
    CLS = "cls"  # the first token's
    LAST = "last"  # the last token's, the only one of a decoder that has read everything


def pool_text(hidden: npt.NDArray[np.float32], pooling: Pooling, unpooled: int = 0) -> npt.NDArray[np.float32]:
    """(T, D) hidden states of one text -> (D,).

    Args:
        hidden: hidden states of its tokens.
        pooling: the rule.
        unpooled: number of first tokens that the mean leaves out; a text of only such tokens keeps them.
    """
    first = unpooled if unpooled < len(hidden) else 0
    taken = {Pooling.CLS: hidden[:1], Pooling.LAST: hidden[-1:], Pooling.MEAN: hidden[first:]}[pooling]
    pooled: npt.NDArray[np.float32] = taken.mean(axis=0)
    return pooled
