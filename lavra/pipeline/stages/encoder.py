"""The encoder stage: a sentence encoder for later retrieval, taught on pairs made from the text.

Pairs are those of the instructions stage; the other passages of a batch are the wrong answers (Henderson et al. 2017).
Its share of the budget is a few seconds: in this time the pretrained model, a decoder or even a BERT, sees too few
pairs to become an encoder (docs/log.md).
So every family gets a separate BERT: one layer, narrow inside, over the corpus's tokenizer, taught from scratch.
Its position embeddings begin at zero, so a mean over tokens begins with the words and not with their positions.
The report shows recall@5 on held-out pairs beside BM25's, whichever is higher.

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
from lavra.model.build import build_model
from lavra.model.families.table import ENCODER_FAMILY, preset
from lavra.model.transformer import Encoder, num_parameters
from lavra.pipeline.objective import tokenizer_ids
from lavra.pipeline.plan import HEAD_CHANNELS, round_up
from lavra.pipeline.results import Skipped
from lavra.pipeline.samples.sample import PAIR_KINDS, Pair
from lavra.pipeline.settings import UpConfig, shares
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stage_folder import StageFolder, or_skipped
from lavra.pipeline.training_samples import TrainingSamples
from lavra.runs.budget import Allowance, fixed, no_time
from lavra.runs.run import Artifact, Run, RunOutcome, carry_out
from lavra.tasks.embed import EMBED
from lavra.tasks.learning.embedded import EmbeddedRecipe
from lavra.tasks.learning.recipe import TrainingTask
from lavra.tasks.learning.settings import EmbedSettings, FinetuneConfig
from lavra.tasks.scoring.retrieval import RetrievalComparison, compare_with_bm25
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.schedule import ScheduleConfig

CUTOFF: Final = 5
_SCORE: Final = f"recall@{CUTOFF}"
_BATCH: Final = 64  # pairs a step
_RATE: Final = 1e-2  # peak, of Muon and of AdamW beside it (docs/log.md)
_MAX_TOKENS: Final = 48  # tokens of a text; more than most signatures and first paragraphs have
_INSIDE: Final = 64  # F: the embedding holds the meaning of a token; a wide layer would cost steps
_MOST_PAIRS: Final = 1000  # held-out pairs of a kind that are looked for
_LEAST_PAIRS: Final = 32
_FOUND_A_STEP: Final = 64  # searches of a kind take about the time of a step

FoundByKind = Mapping[str, RetrievalComparison]
"""By kind of pair, the recall of the encoder and of BM25."""


@dataclass(frozen=True, kw_only=True)
class EncoderFigures:
    """The encoder's figures in the card.

    Attributes:
        recall_before: by kind of pair, recall at the cutoff among held-out passages, of the fresh encoder.
        recall_after: the same of the trained encoder.
        recall_bm25: the same of BM25.
        pairs: by kind, number of held-out pairs.
        cutoff: number of first passages that must hold the right passage.
        steps: steps of training.
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
    """The result of the encoder stage.

    Attributes:
        passages: by kind of pair, number of different passages searched.
        ahead: by kind, the 95 % interval of the encoder's recall minus BM25's.
        trivial: kinds with too few passages for a meaningful recall.
        parameters: number of parameters of the encoder, without its unused head.
        batch_size: pairs a step.
        max_tokens: length in tokens to which training texts are cut.
        seconds: time of training.
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
        """Recall of the trained encoder, of the pairs of all kinds together."""
        return self._together(self.recall_after)

    def _together(self, recall: Mapping[str, float]) -> float:
        return sum(share * self.pairs[kind] for kind, share in recall.items()) / max(1, sum(self.pairs.values()))

    @property
    def not_better(self) -> list[str]:
        """The kinds of pairs whose recall did not rise in training."""
        return [kind for kind, recall in self.recall_after.items() if recall <= self.recall_before[kind]]

    @property
    def lost(self) -> list[str]:
        """The kinds of pairs with a higher recall of BM25."""
        return [kind for kind, recall in self.recall_after.items() if recall < self.recall_bm25[kind]]


def encoder_stage(config: UpConfig, progress: Progress) -> Stage[EncoderResult | Skipped]:
    """The stage that trains the encoder, in its share of the budget plus the adapt stage's where that is skipped."""
    seconds = config.budget * shares(config.kind, teaches_answers=True, teaches_vectors=True)["encoder"]

    def run(context: StageContext) -> EncoderResult | Skipped:
        allowance, training_samples = Allowance(seconds), TrainingSamples.open(context.parents["instructions"])
        if training_samples.no_pairs:
            return Skipped(why=training_samples.no_pairs)
        return or_skipped(lambda: _teach(context, config.seed, allowance, training_samples, progress))

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
    """A BERT of one layer whose position and token type embeddings are zero.

    Args:
        tokenizer: gives the vocabulary and the special tokens.
        hidden_size: D, a multiple of 64.
        seed: seed of the weights.
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
    context: StageContext, seed: int, allowance: Allowance, training_samples: TrainingSamples, progress: Progress
) -> EncoderResult | Skipped:
    """Train, measure and save, where the time allows it."""
    folder, tokenizer = StageFolder(context), Tokenizer.load(context.parents["tokenizer"])
    model = fresh_encoder(tokenizer, _width(allowance.seconds), seed).to(pick_device())
    recipe, pairs = (
        EmbeddedRecipe(model, tokenizer, _settings(training_samples, seed), _MAX_TOKENS),
        training_samples.pairs("train"),
    )
    choose = partial(
        allowance.choose,
        recipe.module(),
        recipe.training_task(_samples(pairs[: 4 * _BATCH])).objective,
        "float32",
        a_step=_FOUND_A_STEP,
        least=_LEAST_PAIRS,
        most=_MOST_PAIRS,
    )
    chosen = fixed(folder.scratch, choose)
    if not chosen.steps:
        return Skipped(why=no_time(allowance), again=True)
    heldout = _by_kind(training_samples.pairs("heldout"), chosen.measured)
    training_task = recipe.training_task(_samples(pairs[: chosen.steps * _BATCH]))
    run = Run(
        recipe=recipe,
        training_task=training_task,
        train=_training(chosen.steps, allowance.save_every(chosen.steps), seed),
        before=lambda: _found(recipe, heldout),
        after=lambda: _found(recipe, heldout),
        artifact=lambda _: Artifact(kind="model", write=recipe.save),
        part="teach the encoder",
    )
    done = carry_out(run, folder, progress)
    return _result(done, training_task, parameters=num_parameters(recipe.model.backbone))


def _settings(training_samples: TrainingSamples, seed: int) -> FinetuneConfig:
    return FinetuneConfig(
        task=EMBED,
        data=training_samples.folder / "pairs-train.jsonl",
        batch_size=_BATCH,
        embed=EmbedSettings(symmetric=True),
        seed=seed,
    )


def _width(seconds: float) -> int:
    """The width D: wider vectors distinguish more texts, where the time allows to teach them."""
    return 64 if seconds < 60 else 128 if seconds < 300 else 256


def _samples(pairs: Sequence[Pair]) -> list[PairSample]:
    return [
        PairSample(anchor=one.anchor, positive=one.positive, place=Place(file=one.source, line=number))
        for number, one in enumerate(pairs, start=1)
    ]


def _by_kind(heldout: Sequence[Pair], count: int) -> dict[str, list[PairSample]]:
    """At most `count` held-out pairs of each kind."""
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


def _result(
    done: RunOutcome[FoundByKind, FoundByKind], training_task: TrainingTask, *, parameters: int
) -> EncoderResult:
    before, after = done.before, done.after
    return EncoderResult(
        recall_before={kind: _recall(found.ours) for kind, found in before.items()},
        recall_after={kind: _recall(found.ours) for kind, found in after.items()},
        recall_bm25={kind: _recall(found.bm25) for kind, found in after.items()},
        pairs={kind: found.ours.num_queries for kind, found in after.items()},
        cutoff=CUTOFF,
        steps=done.train.steps,
        texts_cut=len(training_task.issues),
        passages={kind: found.num_passages for kind, found in after.items()},
        ahead={kind: (found.ahead[_SCORE].low, found.ahead[_SCORE].high) for kind, found in after.items()},
        trivial=tuple(kind for kind, found in after.items() if found.trivial),
        parameters=parameters,
        batch_size=_BATCH,
        max_tokens=_MAX_TOKENS,
        seconds=done.train.seconds,
    )
