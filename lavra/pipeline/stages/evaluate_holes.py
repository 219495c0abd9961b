"""The evaluate stage of encoders and encoder-decoders: filling held-out holes, beside counts from both sides.

Model and baseline are given exactly the same hidden tokens: one epoch of the batch maker the model was trained with,
on held-out documents (at most `_MAX_BATCHES` batches of it, and the baseline at most 20,000 of their holes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.files import write_json
from lavra.base.ports import Progress
from lavra.data.batch import IGNORE, Batch
from lavra.evaluation.bidirectional import BidirectionalConfig, BidirectionalNgram
from lavra.evaluation.masked_text import Hiding, masked_text, span_text
from lavra.model import EncoderDecoder, load_checkpoint
from lavra.pipeline.heldout import fill_holes
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stages.evaluate import RESULT_FILE
from lavra.pipeline.stages.prepare import open_tokens
from lavra.report import Bar, BarChart, Fact, Facts, Section
from lavra.tokens import Tokenizer

_MAX_BATCHES = 64


def evaluate_holes_stage(progress: Progress) -> Stage:
    """Measure an encoder or encoder-decoder on held-out holes."""

    def run(context: StageContext) -> None:
        plan, folder = Plan.load(context.parents["plan"]), context.parents["pretrain"]
        model, config = load_checkpoint(folder)
        model.eval()
        tokenizer = Tokenizer.load(folder)
        heldout = open_tokens(context.parents["tokens"], "heldout")
        batches = make_objective(
            config.kind, heldout, tokenizer, batch_size=plan.batch_size, sequence_length=plan.sequence_length, seed=0
        ).batches
        number = min(_MAX_BATCHES, len(batches))
        spans = isinstance(model, EncoderDecoder)
        made = [batches.batch(index) for index in range(number)]
        nll = np.concatenate(fill_holes(model, batches, number, progress))
        if spans:
            nll = nll[in_spans(made, tokenizer.sentinel_ids)]
        text = span_text(made, tokenizer.sentinel_ids) if spans else masked_text(made)
        progress("count from both sides", 0, None, "5-gram with both-side back-off")
        settings = BidirectionalConfig(hiding=Hiding.SPANS if spans else Hiding.TOKENS)
        counted = BidirectionalNgram.train(open_tokens(context.parents["tokens"], "train"), settings).score(text)
        ours = nll[np.searchsorted(text.places, counted.places)]
        _tell(context, ours, counted.backoff_nll, counted.combined_nll)

    return Stage(
        name="evaluate", kind="evaluation", folder="runs", version=1, run=run, needs=("tokens", "plan", "pretrain")
    )


def in_spans(batches: Sequence[Batch], sentinel_ids: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which labels of span-corruption batches are cut-out text: neither sentinels nor the end of a piece."""
    found = []
    for batch in batches:
        labels = batch.labels.numpy()
        assert batch.decoder_segments is not None
        segments = batch.decoder_segments.numpy()
        last = np.diff(segments, axis=1, append=0) != 0
        real = labels != IGNORE
        found.append((~last & ~np.isin(labels, list(sentinel_ids)))[real])
    return np.concatenate(found)


def _tell(
    context: StageContext,
    ours: npt.NDArray[np.floating[Any]],
    backoff: npt.NDArray[np.floating[Any]],
    combined: npt.NDArray[np.floating[Any]],
) -> None:
    means = {"this model": ours, "5-gram, both-side back-off": backoff, "5-grams combined, tuned": combined}
    nats = {name: float(values.mean()) for name, values in means.items()}
    mine, theirs, best = nats.values()
    gain, against_best = 1 - mine / theirs, 1 - mine / best
    verdict = (
        f"A hidden held-out token costs {mine:.3f} nats, {abs(gain):.0%} {'less' if gain > 0 else 'more'} than a "
        f"5-gram model with both-side back-off ({theirs:.3f}) and {abs(against_best):.0%} "
        f"{'less' if against_best > 0 else 'more'} than its tuned combination ({best:.3f})."
    )
    write_json(context.folder / RESULT_FILE, {"nats_per_hole": mine, "verdict": verdict})
    context.metrics.update(
        nats_per_hole=nats, gain_over_backoff=gain, gain_over_combined=against_best, num_holes=len(ours)
    )
    context.section = Section(
        title="Evaluation",
        summary=verdict,
        blocks=(
            Facts(items=(Fact(label="Hidden tokens", value=f"{len(ours):,}", note="the same for all"),)),
            BarChart(
                title="Nats per hidden held-out token, fewer is better",
                bars=tuple(Bar(label=name, value=value, ours=name == "this model") for name, value in nats.items()),
                x_label="nats per hidden token",
            ),
        ),
    )
