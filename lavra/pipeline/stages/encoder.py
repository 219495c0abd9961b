"""The encoder stage: a sentence encoder for later retrieval, taught on signatures, questions and docstrings.

Pairs are those of the instructions stage; the other passages of a batch are the wrong answers (Henderson et al. 2017).
Its share of the budget is seconds, in which the pretrained model, a decoder or even a BERT, sees too few pairs to
become an encoder (docs/log.md).  So it is a BERT of its own for every family: one layer, narrow inside, over the
corpus's tokenizer, taught from scratch; its positions begin at zero, so that a mean over tokens begins as what the
words say and not where they stand.  Recall@5 on held-out pairs is told beside BM25's, whoever wins.

The artifact is a folder that sentence-transformers and `AutoModel` open.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from lavra.adapt.embedding_losses import EmbeddingLoss, InBatchNegatives
from lavra.base.device import pick_device
from lavra.base.ports import Progress
from lavra.data.labelled.samples import PairSample, Place
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.pairs import ContrastiveRows, pair_rows
from lavra.model import build_model, num_parameters, preset
from lavra.model.config import Kind
from lavra.model.families import ENCODER_FAMILY
from lavra.model.transformer import Encoder
from lavra.pipeline.allowance import Allowance, Chosen, fixed, no_time
from lavra.pipeline.instructions import PAIR_KINDS, Pair
from lavra.pipeline.objective import tokenizer_ids
from lavra.pipeline.plan import HEAD_CHANNELS, round_up
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.teaching import Lessons, skipped_section
from lavra.report import Bar, BarChart, Fact, Facts, Paragraph, Section, Table, Tone
from lavra.tasks.embed import EMBED
from lavra.tasks.learning.embedded import EmbeddedRecipe
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.scoring.retrieval import RetrievalComparison, compare_with_bm25
from lavra.tokens import Tokenizer
from lavra.train import CallbackHook, OptimizerConfig, ScheduleConfig, TrainConfig, TrainResult, train
from lavra.train.objective import TaskObjective

TITLE: Final = "A sentence encoder"
CUTOFF: Final = 5
_SCORE: Final = f"recall@{CUTOFF}"
_BATCH: Final = 64  # pairs a step
_RATE: Final = 1e-2  # peak, of Muon and of AdamW beside it (docs/log.md)
_MAX_TOKENS: Final = 48  # of a text; more than most signatures and first paragraphs have
_INSIDE: Final = 64  # F: what a token means is in its embedding; a wide layer would cost steps
_MOST_PAIRS: Final = 1000  # held-out pairs of a kind that are looked for
_LEAST_PAIRS: Final = 32
_FOUND_A_STEP: Final = 64  # of a kind are looked for in about the time of a step
_SECONDS_BETWEEN_SAVES: Final = 30.0
_PASSAGES: Final = {"signature": "signature → docstring", "question": "first sentence → signature and the rest"}

FoundByKind = Mapping[str, RetrievalComparison]
"""By kind of pair, what the encoder finds and what BM25 does."""


@dataclass(frozen=True, kw_only=True)
class _Taught:
    """What the stage has to tell.

    Attributes:
        before: what the fresh encoder finds.
        after: what the trained one does.
        result: of the training.
        rows: what was learnt.
        parameters: of the encoder, its unused head left out.
    """

    before: FoundByKind
    after: FoundByKind
    result: TrainResult
    rows: ContrastiveRows
    parameters: int

    @property
    def lost(self) -> list[str]:
        """Kinds of pairs of which BM25 finds more."""
        return [kind for kind, found in self.after.items() if _SCORE in found.lost]


def encoder_stage(config: UpConfig, progress: Progress) -> Stage:
    """Train the encoder within its share of the budget, and of the adapt stage's where that one is skipped."""
    seconds = config.budget * (SHARES["encoder"] + (SHARES["adapt"] if config.kind is Kind.ENCODER else 0.0))

    def run(context: StageContext) -> None:
        allowance, lessons = Allowance(seconds), Lessons.open(context.parents["instructions"])
        why = lessons.no_pairs or _teach(context, config.seed, allowance, lessons, progress)
        if why:
            context.metrics["skipped"] = why
            context.section = skipped_section(TITLE, why)

    return Stage(
        name="encoder",
        kind="model",
        folder="models",
        version=1,
        run=run,
        needs=("tokenizer", "instructions"),
        config={"seconds": seconds, "seed": config.seed},
        resumable=True,
    )


def fresh_encoder(tokenizer: Tokenizer, hidden_size: int, seed: int) -> Encoder:
    """A BERT of one layer whose positions and token types say nothing yet.

    Args:
        tokenizer: whose vocabulary and special tokens it has.
        hidden_size: D, a multiple of 64.
        seed: of its weights.
    """
    shape = preset(
        ENCODER_FAMILY,
        vocab_size=round_up(tokenizer.vocab_size, 64),
        hidden_size=hidden_size,
        num_layers=1,
        num_heads=hidden_size // HEAD_CHANNELS,
        max_positions=_MAX_TOKENS,
    )
    torch.manual_seed(seed)
    model = build_model(replace(shape, feed_forward_size=_INSIDE, **tokenizer_ids(shape, tokenizer)))
    assert isinstance(model, Encoder)
    with torch.no_grad():
        for table in (model.embedding.position, model.embedding.token_type):
            if table is not None:
                table.weight.zero_()
    return model


def _teach(context: StageContext, seed: int, allowance: Allowance, lessons: Lessons, progress: Progress) -> str:
    """Train, measure and save; or why there was no time for it."""
    assert context.scratch is not None
    tokenizer = Tokenizer.load(context.parents["tokenizer"])
    model = fresh_encoder(tokenizer, _width(allowance.seconds), seed).to(pick_device())
    settings = FinetuneConfig(task=EMBED, data=lessons.folder / "pairs-train.jsonl", batch_size=_BATCH, seed=seed)
    recipe, pairs = EmbeddedRecipe(model, tokenizer, settings, _MAX_TOKENS), lessons.pairs("train")
    trial = _objective(pair_rows(_samples(pairs[: 4 * _BATCH]), recipe.form), seed)

    def choose() -> Chosen:
        return allowance.choose(
            recipe.module(), trial, "float32", a_step=_FOUND_A_STEP, least=_LEAST_PAIRS, most=_MOST_PAIRS
        )

    chosen = fixed(context.scratch, choose)
    steps = chosen.steps
    if not steps:
        return no_time(allowance)
    progress("score before", 0, None)
    heldout = _by_kind(lessons.pairs("heldout"), chosen.measured)
    before = _found(recipe, heldout)
    rows = pair_rows(_samples(pairs[: steps * _BATCH]), recipe.form)
    result = _train(recipe, _objective(rows, seed), _run(steps, allowance.seconds, seed), context.scratch, progress)
    progress("score after", 0, None)
    after = _found(recipe, heldout)
    recipe.save(context.folder)
    taught = _Taught(
        before=before, after=after, result=result, rows=rows, parameters=num_parameters(recipe.model.backbone)
    )
    context.metrics.update(_metrics(taught))
    context.section = _section(taught)
    shutil.rmtree(context.scratch / "checkpoints", ignore_errors=True)
    return ""


def _width(seconds: float) -> int:
    """D: wider vectors tell more apart, where there is time to teach them."""
    return 64 if seconds < 60 else 128 if seconds < 300 else 256


def _samples(pairs: Sequence[Pair]) -> list[PairSample]:
    return [
        PairSample(anchor=one.anchor, positive=one.positive, place=Place(file=one.source, line=number))
        for number, one in enumerate(pairs, start=1)
    ]


def _by_kind(heldout: Sequence[Pair], count: int) -> dict[str, list[PairSample]]:
    """So many held-out pairs of each kind."""
    found = {kind: _samples([one for one in heldout if one.kind == kind][:count]) for kind in PAIR_KINDS}
    return {kind: pairs for kind, pairs in found.items() if pairs}


def _found(recipe: EmbeddedRecipe, heldout: Mapping[str, Sequence[PairSample]]) -> FoundByKind:
    return {kind: compare_with_bm25(pairs, recipe.embed, cutoffs=(CUTOFF,)) for kind, pairs in heldout.items()}


def _objective(rows: ContrastiveRows, seed: int) -> TaskObjective:
    batches = RowBatches(rows, OrderConfig(batch_size=_BATCH, seed=seed))
    return TaskObjective(batches=batches, loss=EmbeddingLoss(loss=InBatchNegatives(symmetric=True)))


def _run(steps: int, seconds: float, seed: int) -> TrainConfig:
    return TrainConfig(
        num_steps=steps,
        optimizer=OptimizerConfig(kind="muon", learning_rate=_RATE, weight_decay=0.01),
        schedule=ScheduleConfig(kind="wsd", warmup=0.06, decay=0.94),
        compile="off",
        save_every=max(1, round(steps * _SECONDS_BETWEEN_SAVES / seconds)),
        keep_checkpoints=1,
        seed=seed,
    )


def _train(
    recipe: EmbeddedRecipe, objective: TaskObjective, settings: TrainConfig, scratch: Path, progress: Progress
) -> TrainResult:
    def show(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            progress("teach the encoder", step + 1, settings.num_steps, f"loss {metrics['loss']:.3f}")

    result = train(recipe.module(), objective, settings, folder=scratch, hooks=[CallbackHook(show)])
    recipe.module().eval()
    return result


def _recall(found: RetrievalComparison) -> float:
    return found.ours.to_values()[_SCORE]


def _metrics(taught: _Taught) -> dict[str, object]:
    return {
        "recall_before": {kind: _recall(found) for kind, found in taught.before.items()},
        "recall_after": {kind: _recall(found) for kind, found in taught.after.items()},
        "recall_bm25": {kind: found.bm25.to_values()[_SCORE] for kind, found in taught.after.items()},
        "pairs": {kind: found.ours.num_queries for kind, found in taught.after.items()},
        "cutoff": CUTOFF,
        "steps": taught.result.steps,
        "texts_cut": len(taught.rows.troubles),
    }


def _section(taught: _Taught) -> Section:
    kinds = list(taught.after)
    bars = [
        bar
        for kind in kinds
        for bar in (
            Bar(label=f"{kind}: this encoder", value=_recall(taught.after[kind]), ours=True),
            Bar(label=f"{kind}: BM25", value=taught.after[kind].bm25.to_values()[_SCORE]),
        )
    ]
    return Section(
        title=TITLE,
        summary=_verdict(taught),
        blocks=(
            Facts(
                items=(
                    Fact(label="Encoder", value=f"{taught.parameters / 1e6:.2f}M", unit="parameters"),
                    Fact(label="Steps", value=f"{taught.result.steps:,}", note=f"of {_BATCH} pairs"),
                )
            ),
            BarChart(
                title=f"Held-out passages among the first {CUTOFF}, more is better", bars=tuple(bars), x_label=_SCORE
            ),
            Table(
                columns=("looked for", "pairs", "passages", "before", "after", "BM25", "ahead of BM25 (95 %)"),
                rows=tuple(_row(kind, taught) for kind in kinds),
                caption=f"{_SCORE} among all held-out passages of a kind; training saw neither text of a pair",
            ),
            Paragraph(text=_words(taught), tone=Tone.NOTE if taught.lost else Tone.GOOD),
        ),
        seconds=taught.result.seconds,
    )


def _row(kind: str, taught: _Taught) -> tuple[str | int | float, ...]:
    found = taught.after[kind]
    ahead = found.ahead[_SCORE]
    return (
        _PASSAGES[kind],
        found.ours.num_queries,
        found.num_passages,
        round(_recall(taught.before[kind]), 3),
        round(_recall(found), 3),
        round(found.bm25.to_values()[_SCORE], 3),
        f"{ahead.low:+.3f} to {ahead.high:+.3f}",
    )


def _verdict(taught: _Taught) -> str:
    parts = [
        f"{_recall(found):.0%} ({_recall(taught.before[kind]):.0%} before training, BM25 "
        f"{found.bm25.to_values()[_SCORE]:.0%}) by {kind}"
        for kind, found in taught.after.items()
    ]
    return f"Among its first {CUTOFF}, it finds the held-out passage in {', '.join(parts)}."


def _words(taught: _Taught) -> str:
    few = [kind for kind, found in taught.after.items() if found.trivial]
    said = (
        f"BM25 wins by {' and '.join(taught.lost)}: names share words with what is said of them, and words are what "
        "it compares. Search with it, or give more --budget."
        if taught.lost
        else "It finds at least as many as BM25."
    )
    cut = len(taught.rows.troubles)
    said += f" {cut:,} texts were cut to {_MAX_TOKENS} tokens in training." if cut else ""
    return said + (f" Too few passages to tell anything by {' and '.join(few)}." if few else "")
