"""Packing: documents of all lengths into rows of one length, without padding.

An epoch is a *stream*: the documents in a shuffled order, end to end, cut every T tokens.  A stream is described by
runs (contiguous stretches of the token file) and never copied; a batch finds its runs by binary search and gathers
its tokens in a dozen numpy calls.  The stream is closed into a ring, so that every token is a target exactly once:
the token after the last document is the first document's start.

Masked and span objectives frame every piece of a document with tokens of its own, so they place *pieces* instead
(`lavra.data.pretraining.pieces`).

Deliberately absent: best-fit packing (Ding et al. 2024), which saves truncations but not tokens here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int64s


@dataclass(frozen=True, kw_only=True)
class TokenStream:
    """The documents of an epoch, joined end to end and cut into runs.

    Attributes:
        begins: (R + 1,) where each run begins in the stream; the last entry is the stream's length plus one, because
            the last run repeats the stream's first token (the ring's closure).
        sources: (R,) where each run begins in the token file.
        ranks: (R,) number of the run's document in this epoch's order.
        document_begins: (D + 1,) where each document begins in the stream, by rank.
        documents: (D,) the dataset's number of each document, by rank.
    """

    begins: Int64s
    sources: Int64s
    ranks: Int64s
    document_begins: Int64s
    documents: Int64s

    @property
    def num_tokens(self) -> int:
        """The number of tokens of the epoch."""
        return int(self.begins[-1]) - 1


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows gathered from a stream, one token longer than the model reads.

    Attributes:
        sources: (B, T + 1) places in the token file.
        positions: (B, T + 1) place within the piece of the document that the row shows.
        segments: (B, T + 1) document number within the row, from 1.
        begins_document: (B, T + 1) True at the first token of a whole document.
        first_documents, last_documents: (B,) dataset numbers of the first and the last document in the row.
    """

    sources: Int64s
    positions: Int64s
    segments: Int64s
    begins_document: npt.NDArray[np.bool_]
    first_documents: Int64s
    last_documents: Int64s


def stream_of_runs(sources: Int64s, lengths: Int64s, ranks: Int64s, documents: Int64s) -> TokenStream:
    """Join runs, in order, into a ring. Runs of no length are allowed; documents have at least one token."""
    begins = np.zeros(len(lengths) + 2, dtype=np.int64)
    np.cumsum(lengths, out=begins[1:-1])
    begins[-1] = begins[-2] + 1
    document_lengths = np.bincount(ranks, weights=lengths, minlength=len(documents)).astype(np.int64)
    first = int(np.flatnonzero(lengths)[0])
    return TokenStream(
        begins=begins,
        sources=np.append(sources, sources[first]),
        ranks=np.append(ranks, len(documents)),
        document_begins=np.concatenate([[0], np.cumsum(document_lengths)]),
        documents=np.append(documents, documents[0]),
    )


def gather(stream: TokenStream, rows: Int64s, sequence_length: int) -> Window:
    """The rows with these numbers, each `sequence_length + 1` tokens from `row * sequence_length` on."""
    width = sequence_length + 1
    starts = rows * sequence_length  # (B,)
    first = np.searchsorted(stream.begins, starts, side="right") - 1
    last = np.searchsorted(stream.begins, starts + sequence_length, side="right") - 1
    inner = np.searchsorted(stream.begins, starts + sequence_length - 1, side="right") - 1  # without the extra token
    counts = last - first + 1
    row = np.repeat(np.arange(len(rows)), counts)  # (P,) row of each piece
    run = np.arange(len(row)) + np.repeat(first - (np.cumsum(counts) - counts), counts)  # (P,)

    begin = np.maximum(stream.begins[run], starts[row])
    length = np.minimum(stream.begins[run + 1], starts[row] + width) - begin
    rank = stream.ranks[run]
    document_begin = stream.document_begins[rank]
    shown_from = np.maximum(document_begin, starts[row])

    # Places of the flat (B * (T + 1)) window: stream place = flat place + a constant within each piece.
    flat = np.arange(len(rows) * width)
    flat_begin = np.cumsum(length) - length
    shape = (len(rows), width)
    begins_document = np.zeros(shape, dtype=np.bool_)
    begins_document.reshape(-1)[flat_begin[(begin == document_begin) & (length > 0)]] = True
    return Window(
        sources=(flat + np.repeat(stream.sources[run] + begin - stream.begins[run] - flat_begin, length)).reshape(
            shape
        ),
        positions=(flat + np.repeat(begin - shown_from - flat_begin, length)).reshape(shape),
        segments=np.repeat(rank - stream.ranks[first][row] + 1, length).reshape(shape),
        begins_document=begins_document,
        first_documents=stream.documents[stream.ranks[first]],
        last_documents=stream.documents[stream.ranks[inner]],
    )
