"""Samples of text with positions to predict: calibration reads them, and a quality card is measured on them.

    decoder            windows of a document, every token scored once, with half a window before it where there is one
    encoder            [CLS] piece [SEP], a seventh of the tokens hidden (Devlin et al. 2019, section 3.1, masks alone)
    encoder-decoder    a piece with spans cut out, and the spans (Raffel et al. 2020, section 3.1.4)

Rows of a batch are equally long, so there is never any padding.  Hidden tokens are drawn from a fixed seed: two models
predict exactly the same positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lavra.base.errors import InputError
from lavra.data.pretraining.dataset import Frame
from lavra.data.pretraining.span_corruption import SHORTEST_PIECE, noise_mask, replace_spans
from lavra.data.tokenizer import required_token
from lavra.generate.prompt_encoding import context_length, special_frame
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.windows import plan_windows

MASK_SHARE: Final = 0.15
_LONGEST: Final = 512  # tokens of a row where the model sets no bound, or a larger one
_BATCH_TOKENS: Final = 2048


@dataclass(frozen=True, kw_only=True)
class ScoredBatch:
    """A batch of equally long rows, and the positions to predict.

    Attributes:
        input_ids: (B, T) ids that the model reads; the source, for an encoder-decoder.
        decoder_input_ids: (B, U) ids that the decoder has written so far; `None` for other models.
        scored: (B, T) or (B, U) True at positions to predict.
        labels: (M,) true tokens at these positions, row by row.
    """

    input_ids: Tensor
    decoder_input_ids: Tensor | None = None
    scored: Tensor
    labels: Tensor

    def hidden(self, model: Model) -> Tensor:
        """(B, T|U, D) the final hidden states of a model."""
        device = next(model.parameters()).device
        ids = self.input_ids.to(device)
        if isinstance(model, EncoderDecoder):
            assert self.decoder_input_ids is not None
            return model.decode(self.decoder_input_ids.to(device), model.encode(ids))
        return model.hidden(ids)


@dataclass(frozen=True, kw_only=True)
class QualitySample:
    """Batches of some text.

    Attributes:
        batches: batches in the order in which they are run, longest rows first.
        num_tokens: number of predictions.
        num_bytes: UTF-8 bytes of the tokens to be predicted.
        unit: unit that bits are counted per: `byte`, or `hidden token` where only a part of the text is predicted.
    """

    batches: tuple[ScoredBatch, ...]
    num_tokens: int
    num_bytes: int
    unit: str

    def bits(self, nats: float) -> float:
        """Bits per unit, from the nats of all predictions together."""
        return nats / math.log(2.0) / (self.num_bytes if self.unit == "byte" else self.num_tokens)


@dataclass(frozen=True)
class _Row:
    ids: tuple[int, ...]
    scored: tuple[bool, ...]
    labels: tuple[int, ...]
    decoder_ids: tuple[int, ...] = ()


def sample_text(
    model: Model,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    max_tokens: int,
    longest: int = _LONGEST,
    seed: int = 0,
    overlap: bool = True,
) -> QualitySample:
    """Make batches of the first texts, up to a number of tokens.

    Args:
        model: model, whose kind and context decide the form of the rows.
        tokenizer: tokenizer of the model.
        texts: whole documents; documents after the last needed document are not read.
        max_tokens: most tokens of text; the last document is cut.
        longest: most tokens of a row.
        seed: fixes the hidden tokens.
        overlap: a decoder's windows share half their tokens, so that every token is predicted behind a long context;
            False reads each token once, for calibration, which uses the tokens that are read.

    Raises:
        InputError: there is too little text for one prediction.
        ConfigError: the tokenizer lacks a special token that this form of rows needs.
    """
    documents = _tokenize(tokenizer, texts, max_tokens)
    length = min(context_length(model.config) or longest, longest)
    if isinstance(model, Decoder):
        rows = list(_decoder_rows(documents, tokenizer, length, length // 2 if overlap else length))
    elif isinstance(model, Encoder):
        rows = list(_encoder_rows(documents, tokenizer, model.config, length, seed))
    else:
        rows = list(_span_rows(documents, tokenizer, model.config, length, seed))
    labels = [label for row in rows for label in row.labels]
    if not labels:
        raise InputError(f"the text has {sum(map(len, documents))} tokens, too few to ask for one; give more text")
    num_bytes = sum(len(tokenizer.decode([label]).encode()) for label in labels)
    if isinstance(model, Decoder):
        num_bytes = _scored_bytes(documents, tokenizer)
    unit = "byte" if isinstance(model, Decoder) else "hidden token"
    return QualitySample(batches=tuple(_batched(rows)), num_tokens=len(labels), num_bytes=num_bytes, unit=unit)


def _tokenize(tokenizer: Tokenizer, texts: Iterable[str], max_tokens: int) -> list[list[int]]:
    documents, left = [], max_tokens
    for text in texts:
        ids = tokenizer.encode(text, parse_special=False)[:left]
        if ids:
            documents.append(ids)
            left -= len(ids)
        if left <= 0:
            break
    return documents


def _start(tokenizer: Tokenizer) -> list[int]:
    """The tokens in front of a document: those of the tokenizer, else those of lavra's own batches."""
    return list(special_frame(tokenizer).before) or Frame.of(tokenizer).head


def _scored_bytes(documents: Sequence[Sequence[int]], tokenizer: Tokenizer) -> int:
    """Bytes of the predicted tokens; without a token in front, a document's first token is never predicted."""
    skipped = 0 if _start(tokenizer) else 1
    return sum(len(tokenizer.decode(list(ids)[skipped:]).encode()) for ids in documents)


def _decoder_rows(documents: Sequence[Sequence[int]], tokenizer: Tokenizer, length: int, stride: int) -> Iterator[_Row]:
    start = _start(tokenizer)
    for document in documents:
        ids = [*start, *document]
        for part in plan_windows(len(ids), window=length, stride=max(1, stride), first=max(1, len(start))):
            read = range(part.start, part.end - 1)
            yield _Row(
                ids=tuple(ids[part.start : part.end - 1]),
                scored=tuple(place + 1 >= part.first for place in read),
                labels=tuple(ids[part.first : part.end]),
            )


def _encoder_rows(
    documents: Sequence[Sequence[int]], tokenizer: Tokenizer, config: ModelConfig, length: int, seed: int
) -> Iterator[_Row]:
    frame, draw = special_frame(tokenizer), np.random.default_rng(seed)
    mask_id = required_token(tokenizer.mask_id, "mask", "[MASK]") if config.has_head else tokenizer.mask_id
    for piece in _pieces(documents, length - len(frame.before) - len(frame.after)):
        # Without a head nothing is predicted: the model reads the text as it is, and hidden states are compared.
        hidden = draw.random(len(piece)) < (MASK_SHARE if config.has_head else 0.0)
        ids = [mask_id if gone else token for token, gone in zip(piece, hidden, strict=True)]
        scored = hidden if config.has_head else np.ones(len(piece), dtype=bool)
        yield _Row(
            ids=(*frame.before, *ids, *frame.after),  # type: ignore[arg-type]
            scored=(*(False for _ in frame.before), *scored.tolist(), *(False for _ in frame.after)),
            labels=tuple(token for token, asked in zip(piece, scored, strict=True) if asked),
        )


def _span_rows(
    documents: Sequence[Sequence[int]], tokenizer: Tokenizer, config: ModelConfig, length: int, seed: int
) -> Iterator[_Row]:
    eos = required_token(tokenizer.eos_id, "eos", "</s>")
    sentinels = np.asarray(tokenizer.sentinel_ids, dtype=np.int64)
    required_token(tokenizer.sentinel_ids[0] if tokenizer.sentinel_ids else None, "sentinel", "<extra_id_0>")
    begin = config.decoder_start_id if config.decoder_start_id is not None else tokenizer.pad_id
    draw = np.random.default_rng(seed)
    # A span is cut out of every twenty tokens; a text longer than its sentinels reach is cut into pieces.
    for piece in _pieces(documents, min(length - 1, 15 * len(sentinels))):
        tokens, cut = np.asarray(piece, dtype=np.int64), noise_mask(len(piece), MASK_SHARE, 3.0, draw)
        source = [*replace_spans(tokens, cut, sentinels).tolist(), eos]
        target = [*replace_spans(tokens, ~cut, sentinels).tolist(), eos]
        decoder_ids = (required_token(begin, "decoder start", "<pad>"), *target[:-1])
        yield _Row(ids=tuple(source), scored=(True,) * len(target), labels=tuple(target), decoder_ids=decoder_ids)


def _pieces(documents: Sequence[Sequence[int]], length: int) -> Iterator[Sequence[int]]:
    """Cut documents into pieces of a length; a rest too short for a prediction is left out."""
    for document in documents:
        for start in range(0, len(document), length):
            piece = document[start : start + length]
            if len(piece) >= SHORTEST_PIECE:
                yield piece


def _batched(rows: Sequence[_Row]) -> Iterator[ScoredBatch]:
    """Batches of rows of equal lengths; the longest first, so that memory runs out at once or not at all."""
    by_shape: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:
        by_shape.setdefault((len(row.ids), len(row.decoder_ids)), []).append(row)
    for shape, alike in sorted(by_shape.items(), reverse=True):
        size = max(1, _BATCH_TOKENS // sum(shape))
        for start in range(0, len(alike), size):
            part = alike[start : start + size]
            yield ScoredBatch(
                input_ids=torch.tensor([row.ids for row in part]),
                decoder_input_ids=torch.tensor([row.decoder_ids for row in part]) if shape[1] else None,
                scored=torch.tensor([row.scored for row in part]),
                labels=torch.tensor([label for row in part for label in row.labels]),
            )
