"""Conformance suite of the `Embedder` port.

Subclass `EmbedderConformance` in a test module (with a name starting with `Test`) and define how to make the embedder;
a model in this process, a batch worker and a remote URL are held to the same contract.

Deliberately absent: quality (a random model passes) and length (some embedders normalise, others do not).
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lavra.base.ports import Embedder


class EmbedderConformance:
    """The contract of every `Embedder`.

    Attributes:
        texts: at least three different texts, of different lengths.
        tolerance: largest difference allowed between two entries of the same text's vectors.
    """

    texts: Sequence[str] = ("The", "Once upon a time there was a little girl", "def add(a, b):\n    return")
    tolerance: float = 1e-4

    def make_embedder(self) -> Embedder:
        """The embedder under test; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which embedder it tests")

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_embedder(), Embedder)

    def test_a_row_of_float32_a_text(self) -> None:
        vectors = self.make_embedder().embed(self.texts)
        assert vectors.dtype == np.float32
        assert vectors.ndim == 2
        assert len(vectors) == len(self.texts)
        assert np.isfinite(vectors).all()

    def test_nothing_in_nothing_out(self) -> None:
        embedder = self.make_embedder()
        nothing = embedder.embed([])
        assert nothing.dtype == np.float32
        assert nothing.shape == (0, embedder.embed(self.texts).shape[1])

    def test_company_does_not_matter(self) -> None:
        embedder = self.make_embedder()
        alone = [embedder.embed([text])[0] for text in self.texts]
        assert np.abs(embedder.embed(self.texts) - alone).max() <= self.tolerance

    def test_rows_stand_in_the_order_of_the_texts(self) -> None:
        embedder = self.make_embedder()
        forward, backward = embedder.embed(self.texts), embedder.embed(list(reversed(self.texts)))
        assert np.abs(forward - backward[::-1]).max() <= self.tolerance

    def test_equal_texts_have_equal_rows_and_others_do_not(self) -> None:
        vectors = self.make_embedder().embed([*self.texts, *self.texts])
        first, second = np.split(vectors, 2)
        assert np.abs(first - second).max() <= self.tolerance
        apart = np.abs(first[:, None] - first[None]).max(axis=2)  # (N, N)
        assert (apart[~np.eye(len(first), dtype=bool)] > self.tolerance).all()
