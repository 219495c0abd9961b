"""What a model makes of held-out text: nats a token, for each kind of model.

Decoders read every document in overlapping windows and score every token once, the end of the document included.
Encoders and encoder-decoders fill in hidden tokens: those of one epoch of the batch maker they were trained with, on
held-out documents, so that a baseline can be given exactly the same holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lavra.base.ports import Progress
from lavra.data.batch import IGNORE, Batch, BatchMaker
from lavra.data.pretraining.dataset import TokenDataset
from lavra.model import Decoder, Encoder, EncoderDecoder, Model
from lavra.model.loss import label_logprobs
from lavra.model.score import score_sequences

_GROUP = 8  # documents scored between two signs of progress


@dataclass(frozen=True, kw_only=True)
class HeldoutScore:
    """A decoder on held-out documents.

    Attributes:
        nll: nats of all of them, ends of documents included.
        num_tokens: tokens scored.
        num_bytes: UTF-8 bytes of their texts.
    """

    nll: float
    num_tokens: int
    num_bytes: int


def score_documents(
    model: Decoder, dataset: TokenDataset, documents: Sequence[int], progress: Progress | None = None
) -> HeldoutScore:
    """Score whole documents, each token with at least half the model's context before it (where there is that much)."""
    window = model.config.max_positions
    stop = torch.tensor([] if dataset.frame.start is None or dataset.frame.end is not None else [dataset.frame.start])
    nll, num_tokens, total = 0.0, 0, int(dataset.lengths[list(documents)].sum())
    for start in range(0, len(documents), _GROUP):
        texts = [
            torch.cat((torch.from_numpy(dataset.document(index).astype(np.int64)), stop.long()))
            for index in documents[start : start + _GROUP]
        ]
        for scored in score_sequences(model, texts, window=window, stride=window // 2):
            nll += float(scored.double().sum())
            num_tokens += len(scored)
        if progress is not None:
            progress("score held-out text", num_tokens, total)
    return HeldoutScore(nll=nll, num_tokens=num_tokens, num_bytes=int(dataset.document_bytes[list(documents)].sum()))


def sample_documents(dataset: TokenDataset, max_tokens: int) -> list[int]:
    """A fixed, spread-out choice of documents that together have about this many tokens (at least one document)."""
    order = np.random.default_rng(0).permutation(dataset.num_documents)
    reach = np.cumsum(dataset.lengths[order])
    return [int(index) for index in order[: max(1, int(np.searchsorted(reach, max_tokens)))]]


@torch.no_grad()
def hole_nll(model: Model, batch: Batch) -> npt.NDArray[np.float32]:
    """Nats of each label of a batch, row by row: what an encoder or encoder-decoder thought of its holes."""
    batch = batch.to(next(model.parameters()).device)
    if isinstance(model, EncoderDecoder):
        assert batch.decoder_input_ids is not None
        encoded = model.encode(batch.input_ids, segments=batch.segments)
        hidden = model.decode(
            batch.decoder_input_ids, encoded, segments=batch.segments, decoder_segments=batch.decoder_segments
        )
    else:
        assert isinstance(model, Encoder)
        hidden = model.hidden(batch.input_ids, positions=batch.positions, segments=batch.segments)
    wanted = batch.labels != IGNORE
    rows = model.head_hidden(hidden[wanted])
    logprobs = label_logprobs(rows, model.head_weight, batch.labels[wanted], model.head_bias)
    result: npt.NDArray[np.float32] = -logprobs.float().cpu().numpy()
    return result


def fill_holes(
    model: Model, batches: BatchMaker, num_batches: int, progress: Progress | None = None
) -> list[npt.NDArray[np.float32]]:
    """`hole_nll` of the first batches."""
    model.eval()
    found = []
    for index in range(num_batches):
        found.append(hole_nll(model, batches.batch(index)))
        if progress is not None:
            progress("fill in held-out holes", index + 1, num_batches)
    return found
