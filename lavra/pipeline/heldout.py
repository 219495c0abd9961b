"""Scores of a model on held-out text, in nats a token, for each kind of model.

Decoders read every document in overlapping windows and score every token once, the end of the document included.
Encoders and encoder-decoders fill in hidden tokens of held-out documents.
The batch maker of their training hides the tokens of one epoch, so a baseline gets exactly the same holes.

During training, a sample gives an unbiased estimate of the final score: stretches from all over the held-out text
(`HeldoutSample`), or the first batches of that epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lavra.base.ports import Progress
from lavra.data.batch import IGNORE, Batch, BatchMaker
from lavra.data.pretraining.dataset import TokenDataset
from lavra.metrics.bits import bits_per_byte
from lavra.model.build import Model
from lavra.model.config import Kind
from lavra.model.loss import label_logprobs
from lavra.model.score import score_sequences
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder
from lavra.pipeline.objective import make_objective, num_rows
from lavra.pipeline.plan import Plan
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.windows import nth_window, number_of_windows

MOST_WINDOW: Final = 1024
"""Largest number of tokens read at once in scoring: more context changes little, and costs a large model much time."""

_GROUP = 8  # documents scored between two signs of progress


@dataclass(frozen=True, kw_only=True)
class HeldoutScore:
    """The score of a decoder on held-out documents.

    Attributes:
        nll: nats of all scored tokens, ends of documents included.
        num_tokens: number of tokens scored.
        num_bytes: UTF-8 bytes of their texts.
    """

    nll: float
    num_tokens: int
    num_bytes: int


def window_of(model: Decoder) -> int:
    """The number of tokens read at once when held-out text is scored."""
    return min(model.config.max_positions, MOST_WINDOW)


def score_documents(
    model: Decoder, dataset: TokenDataset, documents: Sequence[int], progress: Progress | None = None
) -> HeldoutScore:
    """Score whole documents, each token with at least half a window before it (where there is that much)."""
    window = window_of(model)
    stop = _stop(dataset)
    nll, num_tokens, total = 0.0, 0, int(dataset.lengths[list(documents)].sum())
    for start in range(0, len(documents), _GROUP):
        texts = [
            torch.cat((torch.from_numpy(dataset.document(index).astype(np.int64)), stop))
            for index in documents[start : start + _GROUP]
        ]
        for scored in score_sequences(model, texts, window=window, stride=window // 2):
            nll += float(scored.double().sum())
            num_tokens += len(scored)
        if progress is not None:
            progress("score held-out text", num_tokens, total)
    return HeldoutScore(nll=nll, num_tokens=num_tokens, num_bytes=int(dataset.document_bytes[list(documents)].sum()))


@dataclass(frozen=True, kw_only=True)
class HeldoutEstimate:
    """An estimate of the result of `score_documents`, from a sample.

    Attributes:
        bits_per_byte: estimate for all held-out text.
        error: its standard error; 0 where the sample is all the text.
    """

    bits_per_byte: float
    error: float


def affordable_tokens(model: Decoder, dataset: TokenDataset, seconds: float) -> int:
    """The number of tokens that the model scores in `seconds`, from the measured time of one window after a warm-up."""
    window = window_of(model)
    ids = torch.from_numpy(dataset.tokens[: window + 1].astype(np.int64))
    score_sequences(model, [ids], window=window, stride=window // 2)
    began = time.perf_counter()
    score_sequences(model, [ids], window=window, stride=window // 2)
    spent = max(time.perf_counter() - began, 1e-6)
    return int(seconds / spent * len(ids) / 2)  # the windows overlap by half


class HeldoutSample:
    """Stretches drawn evenly from all held-out documents, scored as `score_documents` scores them.

    A stretch is the scored tokens of one window, with the tokens before them.
    Beginnings of documents, which have little context, come in the same share as in all the text.
    Bits are nats a token of the sample, over the bytes a token of all the text (a ratio estimate: Cochran 1977,
    "Sampling Techniques", section 6.4).

    Args:
        dataset: the held-out tokens.
        window: tokens read at once, see `window_of`.
        max_tokens: approximate number of tokens to score.
    """

    def __init__(self, dataset: TokenDataset, window: int, max_tokens: int) -> None:
        self._window, self._stride = window, window // 2
        stop = _stop(dataset)
        lengths = dataset.lengths + len(stop)
        counts = [number_of_windows(length, window=window, stride=self._stride) for length in lengths.tolist()]
        windows = np.array(counts, np.int64)
        self._total, self._num_tokens = int(windows.sum()), int(np.maximum(0, lengths - 1).sum())
        self._num_bytes = int(dataset.document_bytes.sum())
        number = min(self._total, max(2, -(-max_tokens * self._total // max(1, self._num_tokens))))
        places = ((np.arange(number) + 0.5) * self._total / max(1, number)).astype(np.int64)
        ends = np.cumsum(windows)
        documents = np.searchsorted(ends, places, side="right")
        self._stretches = [
            self._stretch(dataset.document(document), stop, place)
            for document, place in zip(documents.tolist(), (places - (ends - windows)[documents]).tolist(), strict=True)
        ]

    def _stretch(self, document: npt.NDArray[Any], stop: Tensor, number: int) -> tuple[Tensor, int]:
        """The tokens that window `number` of a text reads, and the position of the first token that it scores."""
        window = nth_window(number, len(document) + len(stop), window=self._window, stride=self._stride)
        tokens = torch.from_numpy(document[window.start : window.end].astype(np.int64))
        return torch.cat((tokens, stop[: window.end - window.start - len(tokens)])), window.first - window.start

    @property
    def is_everything(self) -> bool:
        """Whether the sample covers all held-out text."""
        return len(self._stretches) == self._total

    def score(self, model: Decoder) -> HeldoutEstimate:
        """Score a model on the sample.

        Raises:
            InputError: there is no held-out text.
        """
        texts, firsts = [text for text, _ in self._stretches], [first for _, first in self._stretches]
        scored = score_sequences(model, texts, window=self._window, stride=self._stride, first=firsts)
        nll = np.array([float(one.double().sum()) for one in scored])
        tokens = np.array([len(one) for one in scored])
        a_token = nll.sum() / max(1, tokens.sum())
        rest = 1 - len(nll) / max(1, self._total)
        spread = ((nll - a_token * tokens) ** 2).sum() / max(1, len(nll) - 1)
        error = math.sqrt(rest * spread / max(1, len(nll))) / max(1.0, float(tokens.mean()))
        return HeldoutEstimate(
            bits_per_byte=bits_per_byte(a_token * self._num_tokens, self._num_bytes),
            error=error * self._num_tokens / math.log(2.0) / self._num_bytes,
        )


def _stop(dataset: TokenDataset) -> Tensor:
    """The token after a document without an end token: the start of the next document, at which generation stops."""
    has_stop = dataset.frame.start is not None and dataset.frame.end is None
    return torch.tensor([dataset.frame.start] if has_stop else [], dtype=torch.int64)


@torch.no_grad()
def hole_nll(model: Model, batch: Batch) -> npt.NDArray[np.float32]:
    """The nats of each label of a batch, row by row, for the holes of an encoder or encoder-decoder."""
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


@dataclass(frozen=True, kw_only=True)
class HeldoutHoles:
    """The holes in held-out text that measure an encoder or encoder-decoder.

    Attributes:
        batches: held-out batches of its objective.
        num_batches: number of batches to take, from the first.
        sentinel_ids: ids of the tokens that stand for spans; encoder-decoders predict these too.
    """

    batches: BatchMaker
    num_batches: int
    sentinel_ids: Sequence[int]

    @classmethod
    def of(cls, dataset: TokenDataset, tokenizer: Tokenizer, kind: Kind, plan: Plan, most: int) -> HeldoutHoles | None:
        """The holes of at most `most` batches for a kind of model; None where the text does not fill one batch."""
        rows = num_rows(kind, dataset, tokenizer, sequence_length=plan.sequence_length)
        if not rows:
            return None
        batches = make_objective(
            kind,
            dataset,
            tokenizer,
            batch_size=min(plan.batch_size, rows),
            sequence_length=plan.sequence_length,
            seed=0,
        ).batches
        found = cls(batches=batches, num_batches=min(most, len(batches)), sentinel_ids=tuple(tokenizer.sentinel_ids))
        return found if any(bool((batch.labels != IGNORE).any()) for batch in found.made()) else None

    def made(self) -> list[Batch]:
        """The batches."""
        return [self.batches.batch(index) for index in range(self.num_batches)]

    def score(self, model: Model, progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Nats of each hidden token of the text, row by row."""
        found = np.concatenate(fill_holes(model, self.batches, self.num_batches, progress))
        return found[_in_spans(self.made(), self.sentinel_ids)] if isinstance(model, EncoderDecoder) else found


def _in_spans(batches: Sequence[Batch], sentinel_ids: Sequence[int]) -> npt.NDArray[np.bool_]:
    """A mask of the span-corruption labels that are cut-out text: neither sentinels nor the end of a piece."""
    found = []
    for batch in batches:
        labels = batch.labels.numpy()
        assert batch.decoder_segments is not None
        segments = batch.decoder_segments.numpy()
        last = np.diff(segments, axis=1, append=0) != 0
        real = labels != IGNORE
        found.append((~last & ~np.isin(labels, list(sentinel_ids)))[real])
    return np.concatenate(found)
