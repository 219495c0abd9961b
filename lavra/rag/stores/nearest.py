"""Exact search: the inner product of a query with every allowed vector, block by block.

Vectors are read in place, in a file mapped into memory; a block is large enough for BLAS and small enough that
the products of all queries with it stay small.  Where few rows are allowed they are gathered first; where many are, all
products are computed and those of other rows ignored, since gathering would cost more than it saves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int64s
from lavra.rag.stores.checks import no_results

_PRODUCTS: Final = 1 << 22  # products at once: 16 MiB
_MOST_ROWS: Final = 1 << 16
_GATHERED_ROWS: Final = 1 << 13  # rows copied at once: 12 MiB at 384 numbers
_GATHER_BELOW: Final = 0.25  # measured: above this share, multiplying all rows is faster than copying the allowed rows


def nearest(
    vectors: Float32s, ids: Int64s, queries: Float32s, k: int, allowed: npt.NDArray[np.bool_] | None = None
) -> tuple[Int64s, Float32s]:
    """Find the k vectors nearest to each query.

    Args:
        vectors: (N, D), not copied.
        ids: (N,) their ids; among equal products the smaller id comes first.
        queries: (Q, D).
        k: most vectors wanted for each query.
        allowed: (N,) whether each vector may be found; `None` allows all.

    Returns:
        Int64s (Q, k) and products (Q, k), the greatest first; -1 and minus infinity where there are fewer.
    """
    found_ids, found = no_results(len(queries), k)
    if not len(queries):
        return found_ids, found
    for rows, block in _blocks(vectors, len(queries), allowed):
        products = queries @ block.T  # (Q, B)
        block_ids = ids[rows]
        mask = None if allowed is None or isinstance(rows, np.ndarray) else allowed[rows]
        for number, row in enumerate(products):
            _merge(found_ids[number], found[number], *_best(block_ids, row, k, mask))
    return found_ids, found


def _blocks(
    vectors: Float32s, num_queries: int, allowed: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[slice | npt.NDArray[np.intp], Float32s]]:
    """Yield rows and their vectors (B, D): gathered rows where few are allowed, stretches of all rows otherwise."""
    size = max(1, min(_MOST_ROWS, _PRODUCTS // num_queries))
    if allowed is not None and (count := int(np.count_nonzero(allowed))) < _GATHER_BELOW * len(vectors):
        rows = np.flatnonzero(allowed)
        for start in range(0, count, min(size, _GATHERED_ROWS)):
            part = rows[start : start + min(size, _GATHERED_ROWS)]
            yield part, vectors[part]
        return
    for start in range(0, len(vectors), size):
        yield slice(start, start + size), vectors[start : start + size]


def _best(ids: Int64s, products: Float32s, k: int, mask: npt.NDArray[np.bool_] | None) -> tuple[Int64s, Float32s]:
    """Find the k greatest products and their ids, in order."""
    if mask is not None:
        ids, products = ids[mask], products[mask]
    if len(products) > k:
        least = np.partition(products, len(products) - k)[len(products) - k]
        keep = np.flatnonzero(products >= least)  # include those equal to the last, so that the ids decide
        ids, products = ids[keep], products[keep]
    order = np.lexsort((ids, -products))[:k]
    return ids[order], products[order]


def _merge(found_ids: Int64s, found: Float32s, ids: Int64s, products: Float32s) -> None:
    """Put results of one block among those of earlier ones, in place; both are in order."""
    all_ids, all_products = np.concatenate([found_ids, ids]), np.concatenate([found, products])
    order = np.lexsort((all_ids, -all_products))[: len(found)]
    found_ids[:], found[:] = all_ids[order], all_products[order]
