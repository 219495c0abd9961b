"""Adapters that change the weights themselves, folded into the weights as they are read: DoRA and IA3.

    DoRA   W' = m / |W + s B A| * (W + s B A)     rows get learned lengths (Liu et al. 2024, arXiv:2402.09353)
    IA3    W' = l * W, b' = l * b                 factors of outputs; of inputs W' = W * l (Liu et al. 2022, 2205.05638)

A folded adapter costs no time when the model computes, and requests cannot choose it.  Folding is done in float32;
packed integers cannot be folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from lavra.base.arrays import Float32s
from lavra.engine.runners.native_floats import in_float32
from lavra.engine.runners.native_model import LowRankChange, StoredTensor

Fold = Callable[[Float32s], Float32s]
"""A tensor in rows -> the tensor with the adapter in it; a vector is one row."""


def folded(tensors: Iterator[StoredTensor], folds: Mapping[str, Fold]) -> Iterator[StoredTensor]:
    """The tensors of a model, with the named tensors changed."""
    for tensor in tensors:
        fold = folds.get(tensor.name)
        if fold is None:
            yield tensor
        else:
            wide = in_float32(tensor)
            yield replace(wide, data=fold(np.asarray(wide.data, dtype=np.float32)))


def with_lengths(change: LowRankChange, lengths: Float32s) -> Fold:
    """DoRA's (N, K): the matrix with its low-rank change, each row scaled to its length in (N,)."""

    def fold(weight: Float32s) -> Float32s:
        whole = weight + np.float32(change.scale) * (change.up @ change.down)
        found: Float32s = whole * (lengths / np.linalg.norm(whole, axis=1))[:, None]
        return found

    return fold


def times_rows(factors: Float32s) -> Fold:
    """Each row of (N, K) times its factor, (N,)."""
    return lambda weight: weight * factors[:, None]


def times_columns(factors: Float32s) -> Fold:
    """Each column of (N, K) times its factor, (K,); of a bias each number."""
    return lambda weight: weight * factors
