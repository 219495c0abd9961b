"""The checks with which every store refuses invalid input before it acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import InputError
from lavra.base.retrieval import MetaValue


def check_entries(ids: Int64s, vectors: Float32s, metadata: Sequence[Mapping[str, MetaValue]], dimension: int) -> None:
    """Refuse entries that cannot be added.

    Raises:
        InputError: unequal counts, a negative or repeated id, another width, or a number that is not finite.
    """
    check_vectors(vectors, dimension, "vectors")
    if not len(ids) == len(vectors) == len(metadata):
        raise InputError(
            f"{len(ids)} ids, {len(vectors)} vectors and {len(metadata)} sets of facts; give as many of each"
        )
    if len(ids) and int(ids.min()) < 0:
        raise InputError(f"the id {int(ids.min())} is negative; ids count from 0")
    if len(np.unique(ids)) != len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise InputError(f"the id {int(values[counts > 1][0])} is given twice; give every vector an id of its own")


def check_search(queries: Float32s, k: int, dimension: int) -> None:
    """Refuse invalid queries.

    Raises:
        InputError: k below 1, another width, or a number that is not finite.
    """
    if k < 1:
        raise InputError(f"k={k} must be at least 1")
    check_vectors(queries, dimension, "queries")


def check_vectors(vectors: Float32s, dimension: int, name: str) -> None:
    """Refuse vectors of another shape, or with infinities or NaN.

    Raises:
        InputError: a vector cannot be used; the message names the first.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InputError(
            f"{name} have shape {vectors.shape}, this store keeps vectors of {dimension} numbers; "
            "use the encoder that the index was made with, or index anew"
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InputError(f"row {int(np.flatnonzero(~finite)[0])} of the {name} holds a number that is not finite")


def no_results(num_queries: int, k: int) -> tuple[Int64s, Float32s]:
    """Make empty results (Q, k): ids -1, products minus infinity."""
    return np.full((num_queries, k), -1, dtype=np.int64), np.full((num_queries, k), -np.inf, dtype=np.float32)
