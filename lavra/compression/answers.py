"""The logits of runners for a sample: text is read as an engine reads prompts, some blocks at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

import torch

from lavra.base.ports import ForwardBatch, ForwardRow, Runner
from lavra.compression.measure import Answers
from lavra.compression.samples import QualitySample, ScoredBatch

_TOKENS: Final = 128  # tokens of a row in one pass: their logits are held at once


def num_blocks(sample: QualitySample, block_size: int) -> int:
    """Blocks that a runner needs to read the sample's largest batch."""
    return max(len(batch.scored) * _width(batch, block_size) for batch in sample.batches)


def runner_answers(runners: Sequence[Runner], sample: QualitySample) -> Iterator[Answers]:
    """The logits of two runners for a sample, part by part.

    Args:
        runners: the original's runner, and the runner to compare; each with `num_blocks` blocks, of one size.
        sample: sample of a decoder's or an encoder-decoder's text.
    """
    for batch in sample.batches:
        labels = torch.zeros(batch.scored.shape, dtype=torch.int64)
        labels[batch.scored] = batch.labels
        for start in range(0, batch.scored.shape[1], _TOKENS):
            part, scored = _part(batch, start, runners[0].block_size), batch.scored[:, start : start + _TOKENS]
            (before, first), (after, second) = [_timed(runner, part) for runner in runners]
            asked = scored.flatten()
            yield Answers(
                before=before[asked],
                after=after[asked],
                labels=labels[:, start : start + _TOKENS][scored],
                seconds=(first, second),
            )


def _part(batch: ScoredBatch, start: int, block_size: int) -> ForwardBatch:
    """The next blocks of every row; for an encoder-decoder, of the decoder's text, with the source."""
    decoder_ids, width = batch.decoder_input_ids, _width(batch, block_size)
    ids = batch.input_ids if decoder_ids is None else decoder_ids
    return ForwardBatch(
        rows=tuple(
            ForwardRow(
                tokens=(tokens := tuple(row[start : start + _TOKENS])),
                start=start,
                blocks=tuple(range(number * width, (number + 1) * width)),
                num_logits=len(tokens),
                source=None if decoder_ids is None else tuple(batch.input_ids[number].tolist()),
            )
            for number, row in enumerate(ids.tolist())
        )
    )


def _timed(runner: Runner, part: ForwardBatch) -> tuple[torch.Tensor, float]:
    began = time.perf_counter()
    logits = runner.forward(part)
    return torch.from_numpy(logits), time.perf_counter() - began


def _width(batch: ScoredBatch, block_size: int) -> int:
    """Number of blocks of a row."""
    return -(-batch.scored.shape[1] // block_size)
