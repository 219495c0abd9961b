"""The suite of embedders: counts of letters pass, and each broken variant fails."""

from __future__ import annotations

import numpy as np

from lavra.testing.embedder import EmbedderConformance
from tests.testing.suites import check


class ToyEmbedder:
    """Counts of letters."""

    dtype = np.float32

    def embed(self, texts):
        counts = [[text.count(letter) for letter in "aeiouTdO"] for text in texts]
        return np.array(counts, dtype=self.dtype).reshape(-1, 8)


class WithEmbedder(EmbedderConformance):
    def __init__(self, embed=None):
        self.embedder = ToyEmbedder()
        if embed is not None:
            right = self.embedder.embed
            self.embedder.embed = lambda texts: embed(right, texts)

    def make_embedder(self):
        return self.embedder


class NoEmbedder(WithEmbedder):
    def make_embedder(self):
        return np.array


def test_embedders():
    broken = {
        "wide": (
            lambda: WithEmbedder(lambda right, texts: right(texts).astype(np.float64)),
            {"a_row_of_float32_a_text"},
        ),
        "infinite": (lambda: WithEmbedder(lambda right, texts: right(texts) / 0), {"a_row_of_float32_a_text"}),
        "one short": (lambda: WithEmbedder(lambda right, texts: right(texts)[:-1]), {"a_row_of_float32_a_text"}),
        "shapeless": (
            lambda: WithEmbedder(lambda right, texts: right(texts)[: len(texts) or None, : len(texts)]),
            {"nothing_in_nothing_out"},
        ),
        "sorted": (
            lambda: WithEmbedder(lambda right, texts: right(sorted(texts))),
            {"rows_stand_in_the_order_of_the_texts", "company_does_not_matter"},
        ),
        "centred": (
            lambda: WithEmbedder(lambda right, texts: right(texts) - right(texts)[:1]),
            {"company_does_not_matter"},
        ),
        "constant": (
            lambda: WithEmbedder(lambda right, texts: 0 * right(texts)),
            {"equal_texts_have_equal_rows_and_others_do_not"},
        ),
        "no embedder": (NoEmbedder, {"satisfies_the_protocol"}),
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        check(WithEmbedder(), broken)
