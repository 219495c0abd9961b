"""The training run behind the plan and pretrain stages.

A `PretrainRun` is plain data: folders and settings define the whole run, so every process of a `WorkerGroup` can do its
part of the same run.
The caller does the work of the main process alone (hooks, saving the result).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lavra.base.device import pick_device
from lavra.base.ports import Hook
from lavra.data.pretraining.dataset import TokenDataset
from lavra.model.build import Model, build_model
from lavra.model.transformer import Decoder
from lavra.pipeline.heldout import HeldoutHoles, HeldoutSample, window_of
from lavra.pipeline.noise import Noise
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.stages.prepare import open_tokens
from lavra.pipeline.worker_group import WorkerGroup
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.checkpoint import checkpoint_folders, load_weights
from lavra.train.config import Parallel
from lavra.train.loop import TrainResult, train
from lavra.train.objective import Objective

_WATCHED_TOKENS = 12_000  # held-out tokens scored during training, to see it learn
_WATCHED_BATCHES = 4


@dataclass(frozen=True, kw_only=True)
class PretrainRun:
    """The complete definition of a training run.

    Attributes:
        plan: settings of the run.
        tokens: folder with both splits.
        tokenizer: folder of the tokenizer.
        noise: noise of the objective.
        scratch: folder of the checkpoints; without it no checkpoint is saved.
        watch: whether held-out text is scored during training.
        allow_drift: whether the run may resume on a changed machine.
    """

    plan: Plan
    tokens: Path
    tokenizer: Path
    noise: Noise
    scratch: Path | None = None
    watch: bool = False
    allow_drift: bool = False

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready data, for another process."""
        return {
            "plan": self.plan.to_plain(),
            "tokens": str(self.tokens),
            "tokenizer": str(self.tokenizer),
            "noise": self.noise.to_plain(),
            "scratch": None if self.scratch is None else str(self.scratch),
            "watch": self.watch,
            "allow_drift": self.allow_drift,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PretrainRun:
        """Read a run from the output of `to_plain`."""
        return cls(
            plan=Plan.from_plain(plain["plan"]),
            tokens=Path(plain["tokens"]),
            tokenizer=Path(plain["tokenizer"]),
            noise=Noise(**plain["noise"]),
            scratch=None if plain["scratch"] is None else Path(plain["scratch"]),
            watch=plain["watch"],
            allow_drift=plain["allow_drift"],
        )

    def objective(self) -> Objective:
        """The training objective of the run."""
        plan, tokenizer = self.plan, Tokenizer.load(self.tokenizer)
        return make_objective(
            plan.model_config(tokenizer).kind,
            open_tokens(self.tokens, "train"),
            tokenizer,
            batch_size=plan.batch_size,
            sequence_length=plan.sequence_length,
            seed=plan.seed,
            noise=self.noise,
        )


def lead(workers: WorkerGroup, run: PretrainRun, hooks: Sequence[Hook]) -> tuple[Model, TrainResult]:
    """In the main process: carry out a run with all processes; return the whole trained model, on the CPU or GPU."""
    with workers.leading(run.to_plain()):
        model, result = carry_out(run, hooks)
    return _whole(model, run), result


def take_part(workers: WorkerGroup) -> None:
    """In the other processes: work on tasks until the main process ends the group."""
    workers.follow(lambda task: carry_out(PretrainRun.from_plain(task), ()))


def carry_out(run: PretrainRun, hooks: Sequence[Hook]) -> tuple[Model, TrainResult]:
    """Carry out the calling process's part of a run."""
    plan = run.plan
    model = _fresh(run)
    heldout, tokenizer = open_tokens(run.tokens, "heldout"), Tokenizer.load(run.tokenizer)
    evaluate = watch(model, heldout, tokenizer, plan) if run.watch else None
    result = train(
        model,
        run.objective(),
        plan.train,
        folder=run.scratch,
        hooks=hooks,
        evaluate=evaluate,
        allow_drift=run.allow_drift,
    )
    return model, result


def _fresh(run: PretrainRun) -> Model:
    torch.manual_seed(run.plan.seed)
    model: Model = build_model(run.plan.model_config(Tokenizer.load(run.tokenizer))).to(pick_device())
    return model


def _whole(model: Model, run: PretrainRun) -> Model:
    """A sharded model is put together again from its last checkpoint."""
    if run.plan.train.parallel is not Parallel.FSDP or run.scratch is None:
        return model
    fresh = _fresh(run)
    load_weights(checkpoint_folders(run.scratch / "checkpoints")[-1], dict(fresh.named_parameters()))
    return fresh


def watch(
    model: Model, heldout: TokenDataset, tokenizer: Tokenizer, plan: Plan, most_tokens: int = _WATCHED_TOKENS
) -> Callable[[], Mapping[str, float]] | None:
    """Score a fixed sample of held-out text, as an estimate of the final evaluation.

    Args:
        model: model in training.
        heldout: tokens of the held-out side.
        tokenizer: tokenizer of these tokens.
        plan: settings of the rows.
        most_tokens: approximate number of tokens to score with a decoder.

    Returns:
        The scores; the first figure is the estimate. None where the held-out side is too small to hide a token.
    """
    if isinstance(model, Decoder):
        sample = HeldoutSample(heldout, window_of(model), most_tokens)

        def look() -> dict[str, float]:
            found = sample.score(model)
            error = {} if sample.is_everything else {"bits_per_byte_error": found.error}
            return {"bits_per_byte": found.bits_per_byte, **error}

        return look
    holes = HeldoutHoles.of(heldout, tokenizer, model.config.kind, plan, _WATCHED_BATCHES)
    if holes is None:
        return None

    def fill() -> dict[str, float]:
        return {"nats_per_hole": float(holes.score(model).mean())}

    return fill
