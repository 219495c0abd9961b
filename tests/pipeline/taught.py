"""A little workspace up to the training stages: real code, an untrained model, and a fixed number of steps."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
import torch

from lavra.base.workspace import Workspace
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.pipeline.plan import Plan
from lavra.pipeline.sections.adapt import adapt_section
from lavra.pipeline.sections.encoder import encoder_section
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import AnyStage, Stage, StageContext, StageOutcome, run_stages
from lavra.pipeline.stages.adapt import adapt_stage
from lavra.pipeline.stages.encoder import encoder_stage
from lavra.pipeline.stages.instructions import instructions_stage
from lavra.pipeline.stages.prepare import corpus_stage, tokenizer_stage
from lavra.runs.budget import Allowance, ChosenSteps
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import TrainConfig

MODULES = 40


def silent(step: str, done: float, total: float | None = None, note: str = "") -> None:
    """A progress that shows nothing."""


def code(folder: Path) -> Path:
    """Some modules of the standard library."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:MODULES]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def settings(text: Path, **changes: object) -> UpConfig:
    """Settings with small sizes everywhere."""
    given = {"text": text, "budget": 10.0, "vocab_size": 512, "sequence_length": 128, "heldout_fraction": 0.2}
    return UpConfig(**{**given, **changes})


def stages(config: UpConfig) -> list[AnyStage]:
    """The training stages, after a plan and a model that cost nothing."""

    def plan(context: StageContext) -> None:
        Plan(
            family=config.family,
            hidden_size=64,
            num_layers=2,
            num_heads=2,
            sequence_length=config.context,
            batch_size=8,
            train=TrainConfig(num_steps=4, compile="off"),
            seed=0,
        ).save(context.folder)

    def pretrain(context: StageContext) -> None:
        tokenizer = Tokenizer.load(context.parents["tokenizer"])
        torch.manual_seed(0)
        save_checkpoint(build_model(Plan.load(context.parents["plan"]).model_config(tokenizer)), context.folder)
        tokenizer.save(context.folder)

    planned = {"family": config.family, "context": config.context}
    return [
        corpus_stage(config, silent),
        tokenizer_stage(config, silent),
        Stage(name="plan", kind="plan", folder="runs", version=1, run=plan, config=planned),
        Stage(name="pretrain", kind="model", folder="models", version=1, run=pretrain, needs=("tokenizer", "plan")),
        instructions_stage(config, silent),
        adapt_stage(config, silent).shown(adapt_section),
        encoder_stage(config, silent).shown(encoder_section),
    ]


def run(config: UpConfig, workspace: Workspace) -> dict[str, StageOutcome]:
    """Run the stages; returns each outcome."""
    return {result.stage: result for result in run_stages(stages(config), workspace)}


def fix_steps(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Set the number of steps, for any time."""
    patch.setattr(Allowance, "choose", lambda *_, **__: ChosenSteps(steps=steps, measured=8))
