"""Train or held out: decided by a hash of the seed and of the document's near-duplicate cluster.

A cluster falls on one side as a whole, so no near-duplicate of a training document is ever held out, even when
duplicates are kept.  The hash is of the text of the cluster's first document, not of its place or number: documents
added later move none to the other side, unless they join clusters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.text.dedup import Clusters
from lavra.text.shingles import U64, mix


def split_position(key: U64, seed: int) -> npt.NDArray[np.float64]:
    """Each key's place in [0, 1), uniform over keys and independent between seeds, (N,) to (N,)."""
    salt = mix(np.array([seed], dtype=np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return (mix(mix(key) ^ salt) >> np.uint64(11)).astype(np.float64) / 2.0**53


def held_out(clusters: Clusters, *, seed: int, fraction: float) -> npt.NDArray[np.bool_]:
    """Which documents are held out, (N,).

    With so few clusters that chance would leave one side empty, the cluster nearest the border changes sides.

    Raises:
        InputError: all documents are one cluster, which cannot be split.
    """
    position = split_position(clusters.key[clusters.first], seed)
    out = np.asarray(position < fraction)
    num_distinct = int((clusters.first == np.arange(len(clusters))).sum())
    if num_distinct < 2:
        raise InputError(
            f"the corpus has {num_distinct} document after cleaning, near-duplicates counted once, and a held-out "
            "split needs at least 2; give more text, or cut it into smaller documents with piece_chars"
        )
    if not out.any():
        out = position == position.min()
    elif out.all():
        out = position != position.max()
    return out
