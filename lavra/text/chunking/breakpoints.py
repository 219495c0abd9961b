"""Divide a document where its meaning changes: between the neighbouring sentences that are farthest apart.

Each sentence is embedded together with the sentence before it and the sentence after it; where the cosine distance of
two neighbours is over a percentile of all distances of the document, a part ends.  After Kamradt 2023 ("5 levels of
text splitting"), as implemented by LangChain's SemanticChunker and LlamaIndex' SemanticSplitterNodeParser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

EmbedTexts = Callable[[Sequence[str]], npt.NDArray[Any]]
"""(N, D) vectors of N texts."""
_BATCH: Final = 1024  # sentences, so that a book's are not all copied at once


def meaning_parts(text: str, starts: Sequence[int], percentile: float, embed: EmbedTexts) -> list[tuple[int, int]]:
    """The parts of a text; joined, they are the text.

    Args:
        text: the whole text.
        starts: places where its sentences begin.
        percentile: percentile of the distances; a greater value gives fewer parts.
        embed: computes the vectors of texts.
    """
    if len(starts) < 3:  # two sentences have one distance, which is no less than any percentile of itself
        return [(0, len(text))]
    far = _distances(text, starts, embed)
    breaks = np.flatnonzero(far > np.percentile(far, percentile)) + 1
    borders = [0, *(starts[int(number)] for number in breaks), len(text)]
    return list(pairwise(borders))


def _distances(text: str, starts: Sequence[int], embed: EmbedTexts) -> npt.NDArray[np.float64]:
    """(N - 1,) the cosine distance of each sentence, with its neighbours, to the next; 0 where a vector is zero."""
    ends = [*starts[1:], len(text)]
    count = len(starts)
    windows = ((starts[max(0, number - 1)], ends[min(count - 1, number + 1)]) for number in range(count))
    texts = [text[start:end].strip() for start, end in windows]
    vectors = np.concatenate(
        [np.asarray(embed(texts[first : first + _BATCH]), dtype=np.float64) for first in range(0, count, _BATCH)]
    )
    norms = np.linalg.norm(vectors, axis=1)
    products = (vectors[:-1] * vectors[1:]).sum(axis=1)
    lengths = norms[:-1] * norms[1:]
    return np.where(lengths > 0, 1 - products / np.where(lengths > 0, lengths, 1), 0)
