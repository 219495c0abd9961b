"""The encoder stage: a sentence encoder for later retrieval, taught on pairs that the text itself makes.

Pairs are those of the instructions stage; the other passages of a batch are the wrong answers (Henderson et al. 2017).
Its share of the budget is seconds, in which the pretrained model, a decoder or even a BERT, sees too few pairs to
become an encoder (docs/log.md).  So it is a BERT of its own for every family: one layer, narrow inside, over the
corpus's tokenizer, taught from scratch; its positions begin at zero, so that a mean over tokens begins as what the
words say and not where they stand.  Recall@5 on held-out pairs is told beside BM25's, whoever wins.

The artifact is a folder that sentence-transformers and `AutoModel` open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch

from lavra.base.device import pick_device
from lavra.base.ports import Progress
from lavra.data.labelled.samples import PairSample, Place
from lavra.metrics.ranking import RankingScores
from lavra.model import build_model, num_parameters, preset
from lavra.model.families import ENCODER_FAMILY
from lavra.model.transformer import Encoder
from lavra.pipeline.lessons import Lessons
from lavra.pipeline.objective import tokenizer_ids
from lavra.pipeline.plan import HEAD_CHANNELS, round_up
from lavra.pipeline.results import Skipped
from lavra.pipeline.samples.sample import PAIR_KINDS, Pair
from lavra.pipeline.settings import UpConfig, shares
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stage_folder import StageFolder, or_skipped
from lavra.runs.budget import Allowance, fixed, no_time
from lavra.runs.run import Artifact, Run, RunOutcome, carry_out
from lavra.tasks.embed import EMBED
from lavra.tasks.learning.embedded import EmbeddedRecipe
from lavra.tasks.learning.recipe import Lesson
from lavra.tasks.learning.settings import EmbedSettings, FinetuneConfig
from lavra.tasks.scoring.retrieval import RetrievalComparison, compare_with_bm25
from lavra.tokens import Tokenizer
from lavra.train import OptimizerConfig, ScheduleConfig, TrainConfig

CUTOFF: Final = 5
_SCORE: Final = f"recall@{CUTOFF}"
_BATCH: Final = 64  # pairs a step
_RATE: Final = 1e-2  # peak, of Muon and of AdamW beside it (docs/log.md)
_MAX_TOKENS: Final = 48  # of a text; more than most signatures and first paragraphs have
_INSIDE: Final = 64  # F: what a token means is in its embedding; a wide layer would cost steps
_MOST_PAIRS: Final = 1000  # held-out pairs of a kind that are looked for
_LEAST_PAIRS: Final = 32
_FOUND_A_STEP: Final = 64  # of a kind are looked for in about the time of a step

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
    def found_before(self) -> float:
        """Recall of the fresh encoder, of the pairs of all kinds together."""
        return self._together(self.recall_before)

    @property
    def found_after(self) -> float:
        """Recall of the trained one, of the pairs of all kinds together."""
        return self._together(self.recall_after)

    def _together(self, recall: Mapping[str, float]) -> float:
        return sum(share * self.pairs[kind] for kind, share in recall.items()) / max(1, sum(self.pairs.values()))

    @property
    def not_better(self) -> list[str]:
        """Kinds of pairs of which training made it find no more."""
        return [kind for kind, recall in self.recall_after.items() if recall <= self.recall_before[kind]]

    @property
    def lost(self) -> list[str]:
        """Kinds of pairs of which BM25 finds more."""
        return [kind for kind, recall in self.recall_after.items() if recall < self.recall_bm25[kind]]


def encoder_stage(config: UpConfig, progress: Progress) -> Stage[EncoderResult | Skipped]:
    """Train the encoder within its share of the budget, and of the adapt stage's where that one is skipped."""
    seconds = config.budget * shares(config.kind, teaches_answers=True, teaches_vectors=True)["encoder"]

    def run(context: StageContext) -> EncoderResult | Skipped:
        allowance, lessons = Allowance(seconds), Lessons.open(context.parents["instructions"])
        if lessons.no_pairs:
            return Skipped(why=lessons.no_pairs)
        return or_skipped(lambda: _teach(context, config.seed, allowance, lessons, progress))

    return Stage(
        name="encoder",
        kind="model",
        folder="models",
        version=2,
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


def _teach(
    context: StageContext, seed: int, allowance: Allowance, lessons: Lessons, progress: Progress
) -> EncoderResult | Skipped:
    """Train, measure and save, where there is time for it."""
    folder, tokenizer = StageFolder(context), Tokenizer.load(context.parents["tokenizer"])
    model = fresh_encoder(tokenizer, _width(allowance.seconds), seed).to(pick_device())
    recipe, pairs = EmbeddedRecipe(model, tokenizer, _settings(lessons, seed), _MAX_TOKENS), lessons.pairs("train")
    choose = partial(
        allowance.choose,
        recipe.module(),
        recipe.lesson(_samples(pairs[: 4 * _BATCH])).objective,
        "float32",
        a_step=_FOUND_A_STEP,
        least=_LEAST_PAIRS,
        most=_MOST_PAIRS,
    )
    chosen = fixed(folder.scratch, choose)
    if not chosen.steps:
        return Skipped(why=no_time(allowance), again=True)
    heldout = _by_kind(lessons.pairs("heldout"), chosen.measured)
    lesson = recipe.lesson(_samples(pairs[: chosen.steps * _BATCH]))
    run = Run(
        recipe=recipe,
        lesson=lesson,
        train=_training(chosen.steps, allowance.save_every(chosen.steps), seed),
        before=lambda: _found(recipe, heldout),
        after=lambda: _found(recipe, heldout),
        artifact=lambda _: Artifact(kind="model", write=recipe.save),
        part="teach the encoder",
    )
    done = carry_out(run, folder, progress)
    return _result(done, lesson, parameters=num_parameters(recipe.model.backbone))


def _settings(lessons: Lessons, seed: int) -> FinetuneConfig:
    return FinetuneConfig(
        task=EMBED,
        data=lessons.folder / "pairs-train.jsonl",
        batch_size=_BATCH,
        embed=EmbedSettings(symmetric=True),
        seed=seed,
    )


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


def _training(steps: int, save_every: int, seed: int) -> TrainConfig:
    return TrainConfig(
        num_steps=steps,
        optimizer=OptimizerConfig(kind="muon", learning_rate=_RATE, weight_decay=0.01),
        schedule=ScheduleConfig(kind="wsd", warmup=0.06, decay=0.94),
        compile="off",
        save_every=save_every,
        keep_checkpoints=1,
        seed=seed,
    )


def _recall(found: RankingScores) -> float:
    return found.to_values()[_SCORE]


def _result(done: RunOutcome[FoundByKind, FoundByKind], lesson: Lesson, *, parameters: int) -> EncoderResult:
    before, after = done.before, done.after
    return EncoderResult(
        recall_before={kind: _recall(found.ours) for kind, found in before.items()},
        recall_after={kind: _recall(found.ours) for kind, found in after.items()},
        recall_bm25={kind: _recall(found.bm25) for kind, found in after.items()},
        pairs={kind: found.ours.num_queries for kind, found in after.items()},
        cutoff=CUTOFF,
        steps=done.train.steps,
        texts_cut=len(lesson.troubles),
        passages={kind: found.num_passages for kind, found in after.items()},
        ahead={kind: (found.ahead[_SCORE].low, found.ahead[_SCORE].high) for kind, found in after.items()},
        trivial=tuple(kind for kind, found in after.items() if found.trivial),
        parameters=parameters,
        batch_size=_BATCH,
        max_tokens=_MAX_TOKENS,
        seconds=done.train.seconds,
    )
