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
from lavra.base.tasks import Task
from lavra.data.labelled.samples import PairSample, Place
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.pairs import ContrastiveRows, pair_rows
from lavra.metrics.ranking import RankingScores
from lavra.model import build_model, num_parameters, preset
from lavra.model.config import Kind
from lavra.model.transformer import Encoder
from lavra.pipeline.allowance import Allowance, Chosen, fixed, no_time
from lavra.pipeline.instructions import PAIR_KINDS, Pair
from lavra.pipeline.lessons import Lessons
from lavra.pipeline.objective import tokenizer_ids
from lavra.pipeline.plan import HEAD_CHANNELS, round_up
from lavra.pipeline.results import Skipped
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.tasks.learning.embedded import EmbeddedRecipe
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.scoring.retrieval import RetrievalComparison, compare_with_bm25
from lavra.tokens import Tokenizer
from lavra.train import CallbackHook, OptimizerConfig, ScheduleConfig, TrainConfig, TrainResult, train
from lavra.train.objective import TaskObjective

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

FoundByKind = Mapping[str, RetrievalComparison]
"""By kind of pair, what the encoder finds and what BM25 does."""


@dataclass(frozen=True, kw_only=True)
class EncoderFigures:
    """What the card says of the encoder.

    Attributes:
        recall_before: by kind of pair, recall at the cutoff among held-out passages, of the fresh encoder.
        recall_after: of the trained one.
        recall_bm25: of BM25.
        pairs: by kind, held-out pairs looked for.
        cutoff: passages among which the right one must be.
        steps: of training.
        texts_cut: training texts that were cut.
    """

    recall_before: Mapping[str, float]
    recall_after: Mapping[str, float]
    recall_bm25: Mapping[str, float]
    pairs: Mapping[str, int]
    cutoff: int
    steps: int
    texts_cut: int


@dataclass(frozen=True, kw_only=True)
class EncoderResult(EncoderFigures):
    """What the stage found out.

    Attributes:
        passages: by kind of pair, different passages searched.
        ahead: by kind, the 95 % interval of the encoder's recall minus BM25's.
        trivial: kinds with so few passages that their recall says nothing.
        parameters: of the encoder, its unused head left out.
        batch_size: pairs a step.
        max_tokens: training texts are cut to as many.
        seconds: of training.
    """

    passages: Mapping[str, int]
    ahead: Mapping[str, tuple[float, float]]
    trivial: tuple[str, ...]
    parameters: int
    batch_size: int
    max_tokens: int
    seconds: float

    @property
    def lost(self) -> list[str]:
        """Kinds of pairs of which BM25 finds more."""
        return [kind for kind, recall in self.recall_after.items() if recall < self.recall_bm25[kind]]


def encoder_stage(config: UpConfig, progress: Progress) -> Stage[EncoderResult | Skipped]:
    """Train the encoder within its share of the budget, and of the adapt stage's where that one is skipped."""
    seconds = config.budget * (SHARES["encoder"] + (SHARES["adapt"] if config.kind is Kind.ENCODER else 0.0))

    def run(context: StageContext) -> EncoderResult | Skipped:
        allowance, lessons = Allowance(seconds), Lessons.open(context.parents["instructions"])
        if lessons.no_pairs:
            return Skipped(why=lessons.no_pairs)
        return _teach(context, config.seed, allowance, lessons, progress)

    return Stage(
        name="encoder",
        kind="model",
        folder="models",
        version=1,
        run=run,
        needs=("tokenizer", "instructions"),
        config={"seconds": seconds, "seed": config.seed},
        resumable=True,
        result=EncoderResult,
        figures=EncoderFigures,
    )


def fresh_encoder(tokenizer: Tokenizer, hidden_size: int, seed: int) -> Encoder:
    """A BERT of one layer whose positions and token types say nothing yet.

    Args:
        tokenizer: whose vocabulary and special tokens it has.
        hidden_size: D, a multiple of 64.
        seed: of its weights.
    """
    shape = preset(
        "bert",
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


def _teach(
    context: StageContext, seed: int, allowance: Allowance, lessons: Lessons, progress: Progress
) -> EncoderResult | Skipped:
    """Train, measure and save, where there is time for it."""
    assert context.scratch is not None
    tokenizer = Tokenizer.load(context.parents["tokenizer"])
    model = fresh_encoder(tokenizer, _width(allowance.seconds), seed).to(pick_device())
    settings = FinetuneConfig(task=Task.EMBED, data=lessons.folder / "pairs-train.jsonl", batch_size=_BATCH, seed=seed)
    recipe, pairs = EmbeddedRecipe(model, tokenizer, settings, _MAX_TOKENS), lessons.pairs("train")
    trial = _objective(pair_rows(_samples(pairs[: 4 * _BATCH]), recipe.form), seed)

    def choose() -> Chosen:
        return allowance.choose(
            recipe.module(), trial, "float32", a_step=_FOUND_A_STEP, least=_LEAST_PAIRS, most=_MOST_PAIRS
        )

    chosen = fixed(context.scratch, choose)
    steps = chosen.steps
    if not steps:
        return Skipped(why=no_time(allowance))
    progress("score before", 0, None)
    heldout = _by_kind(lessons.pairs("heldout"), chosen.measured)
    before = _found(recipe, heldout)
    rows = pair_rows(_samples(pairs[: steps * _BATCH]), recipe.form)
    trained = _train(recipe, _objective(rows, seed), _run(steps, allowance.seconds, seed), context.scratch, progress)
    progress("score after", 0, None)
    after = _found(recipe, heldout)
    recipe.save(context.folder)
    result = _result(before, after, rows, trained, parameters=num_parameters(recipe.model.backbone))
    shutil.rmtree(context.scratch / "checkpoints", ignore_errors=True)
    return result


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


def _recall(found: RankingScores) -> float:
    return found.to_values()[_SCORE]


def _result(
    before: FoundByKind, after: FoundByKind, rows: ContrastiveRows, trained: TrainResult, *, parameters: int
) -> EncoderResult:
    return EncoderResult(
        recall_before={kind: _recall(found.ours) for kind, found in before.items()},
        recall_after={kind: _recall(found.ours) for kind, found in after.items()},
        recall_bm25={kind: _recall(found.bm25) for kind, found in after.items()},
        pairs={kind: found.ours.num_queries for kind, found in after.items()},
        cutoff=CUTOFF,
        steps=trained.steps,
        texts_cut=len(rows.troubles),
        passages={kind: found.num_passages for kind, found in after.items()},
        ahead={kind: (found.ahead[_SCORE].low, found.ahead[_SCORE].high) for kind, found in after.items()},
        trivial=tuple(kind for kind, found in after.items() if found.trivial),
        parameters=parameters,
        batch_size=_BATCH,
        max_tokens=_MAX_TOKENS,
        seconds=trained.seconds,
    )
