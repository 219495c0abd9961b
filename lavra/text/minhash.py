"""MinHash signatures, and bands that find similar ones (Broder 1997; Leskovec et al., Mining of Massive Datasets).

Two texts agree in one minimum under a random permutation of all shingles with a probability equal to the Jaccard
similarity of their sets.  A signature is 128 such minima.  Cut into bands of r rows, two signatures share a whole band
with probability 1-(1-J^r)^b: a sharp step, put below the threshold.  The permutations are x -> ax+b modulo 2^32 with
odd a, over shingles already mixed well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.text.shingles import I64, U32, U64, mix

_SEED = 20_250_101  # seed of the permutations: it fixes the meaning of a signature, so it is not a setting


@dataclass(frozen=True)
class Bands:
    """The bands of a signature: `num_bands` bands of `rows` rows; a remainder is used for estimating only."""

    num_bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """The probability that two texts of this similarity share a band."""
        return float(1 - (1 - similarity**self.rows) ** self.num_bands)


def choose_bands(num_permutations: int, threshold: float, recall: float = 0.99) -> Bands:
    """The bands with most rows (fewest false candidates) that still find this share of pairs at the threshold."""
    for rows in range(num_permutations, 1, -1):
        bands = Bands(num_permutations // rows, rows)
        if bands.recall(threshold) >= recall:
            return bands
    return Bands(num_permutations, 1)


class MinHash:
    """Signatures of texts from their shingles."""

    def __init__(self, num_permutations: int = 128) -> None:
        random = np.random.default_rng(_SEED)
        self._factor = random.integers(0, 1 << 32, num_permutations, dtype=np.uint32) | np.uint32(1)
        self._offset = random.integers(0, 1 << 32, num_permutations, dtype=np.uint32)

    def signatures(self, shingles: U32, offsets: I64) -> U32:
        """A signature for each text.

        Args:
            shingles: the shingles of all texts, (S,).
            offsets: place where each text's shingles begin, (N,); no text is without shingles.

        Returns:
            (N, P) minima under the P permutations.
        """
        out = np.empty((len(offsets), len(self._factor)), dtype=np.uint32)
        hashed = np.empty_like(shingles)
        for column, (factor, offset) in enumerate(zip(self._factor, self._offset, strict=True)):
            np.multiply(shingles, factor, out=hashed)
            np.add(hashed, offset, out=hashed)
            out[:, column] = np.minimum.reduceat(hashed, offsets)
        return out


def band_keys(signatures: U32, bands: Bands) -> U64:
    """A 64-bit key for each band of each signature, (num_bands, N)."""
    used = signatures[:, : bands.num_bands * bands.rows].astype(np.uint64)
    rows = used.reshape(len(signatures), bands.num_bands, bands.rows)
    keys = np.zeros((len(signatures), bands.num_bands), dtype=np.uint64)
    for row in range(bands.rows):
        keys = mix(keys ^ rows[:, :, row])
        keys += np.uint64(row + 1)
    return np.ascontiguousarray(keys.T)


def estimate_jaccard(a: U32, b: U32) -> npt.NDArray[np.float64]:
    """The share of equal minima of paired signatures, (N, P) and (N, P) to (N,).

    Its standard deviation is sqrt(J(1-J)/P): 0.035 at J = 0.8 and P = 128.
    """
    return np.asarray((a == b).mean(axis=1), dtype=np.float64)
