"""A dataset's documents end to end, with a gap between them: the form that n-gram models count and score.

Stretches of an "outside" token surround each document, so that a neighbour is found by adding a number to a place, and
never belongs to another document.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Ints
from lavra.data.pretraining.dataset import TokenDataset


@dataclass(frozen=True, kw_only=True)
class PaddedText:
    """Documents with outside tokens between them.

    Attributes:
        stream: (N,) int32 token ids; `outside` between documents and at both ends.
        places: (M,) places in `stream` of the tokens to predict, in reading order.
        document_ends: (num_documents,) number of `places` in the documents up to and including this document.
        outside: the id that stands for no token: the vocabulary's size.
    """

    stream: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64]
    document_ends: npt.NDArray[np.int64]
    outside: int

    @property
    def targets(self) -> Ints:
        """(M,) tokens to predict."""
        return self.stream[self.places]

    def neighbours(self, offsets: tuple[int, ...]) -> list[Ints]:
        """Return an (M,) column of tokens for each offset from the token to predict."""
        return [self.stream[self.places + offset] for offset in offsets]


def pad_documents(
    dataset: TokenDataset, *, gap: int, stops: bool, documents: npt.NDArray[np.int64] | None = None
) -> PaddedText:
    """Lay out a dataset's documents in one stream.

    Args:
        dataset: the dataset of token ids.
        gap: number of outside tokens between documents: the distance of the farthest neighbour that will be used.
        stops: predict the end of each document too, as a decoder does: the label that a decoder would have there.
        documents: numbers of the documents to take, in order; None takes all.
    """
    begins, ends = dataset.content_bounds
    if documents is not None:
        begins, ends = begins[documents], ends[documents]
    stop = stop_token(dataset) if stops else None
    lengths = ends - begins
    spans = lengths + (stop is not None)  # number of tokens to predict in each document
    total = int(spans.sum())
    stream = np.full(total + gap * (len(spans) + 1), dataset.vocab_size, dtype=np.int32)
    shift = gap * np.arange(1, len(spans) + 1)
    places = np.arange(total) + np.repeat(shift, spans)
    document_ends = np.cumsum(spans)
    # Content: file place = begin + place within the document.
    inside = np.arange(int(lengths.sum()))
    within = inside - np.repeat(np.cumsum(lengths) - lengths, lengths)
    stream[np.repeat(document_ends - spans + shift, lengths) + within] = dataset.tokens[
        np.repeat(begins, lengths) + within
    ]
    if stop is not None:
        stream[document_ends - 1 + shift] = stop
    return PaddedText(stream=stream, places=places, document_ends=document_ends, outside=dataset.vocab_size)


def stop_token(dataset: TokenDataset) -> int | None:
    """The token that ends a document: its end token, or else the next document's start token; None without either."""
    return dataset.frame.end if dataset.frame.end is not None else dataset.frame.start


def sample_documents(dataset: TokenDataset, max_tokens: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw documents in a random order, as many as fit in `max_tokens`, but at least one if the dataset has any."""
    order = np.random.default_rng(seed).permutation(dataset.num_documents)
    within = int(np.searchsorted(np.cumsum(dataset.lengths[order]), max_tokens, side="right"))
    return order[: max(1, within)]
