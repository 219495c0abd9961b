"""Bits per byte of held-out text after the same minutes of training, beside the Hugging Face Trainer.

lavra trains as `lavra up` does: its plan fixes shape, batch, optimizer and schedule from the time and the machine.  The
Trainer gets the same text, tokenizer, model (initial weights included), rows and minutes, in its best configuration:
bf16 where it is faster, `torch_compile`, the faster of two attention implementations, AdamW with a cosine schedule.
Its steps are counted beforehand from its measured speed, so that the schedule ends on time.  It has the best of three
learning rates; each trial takes a tenth of the time and does not count.  Compilation does not count on either side.
Both take turns of a few seconds, so that both meet the same load of the machine, and the same code scores both in
float32.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from jobs import LavraJob, Rows, TrainerJob
from lavra_side import own_choice
from result import Result, print_table
from small_text import HIDDEN_SIZE, NUM_LAYERS, SMALL_TEXT
from turns import Program, Timing, race

from lavra.base.ports import silent
from lavra.base.workspace import Workspace
from lavra.data.pretraining.dataset import TokenDataset
from lavra.metrics.bits import bits_per_byte
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.transformer import Decoder, num_parameters
from lavra.pipeline.heldout import HeldoutSample, score_documents, window_of
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.stages.instructions import instructions_stage
from lavra.pipeline.stages.planning import plan_stage
from lavra.pipeline.stages.prepare import prepare_stages
from lavra.pipeline.worker_group import WorkerGroup
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import OptimizerConfig
from lavra.train.schedule import ScheduleConfig

RATES: Final = (1e-3, 2e-3, 4e-3)
ADAMW: Final = OptimizerConfig(kind="adamw", learning_rate=2e-3, weight_decay=0.1, beta1=0.9, beta2=0.95)
COSINE: Final = ScheduleConfig(kind="cosine", warmup=0.05, final=0.0)
TRIAL_SHARE = 0.1  # share of the time for each learning rate's trial
TRIAL_TOKENS, SMOKE_TOKENS = 40_000, 10_000  # held-out tokens that score a trial, and a small run
SPEED_STEPS, SMOKE_SPEED_STEPS = 10, 6
TURN_SECONDS = 10.0
SMOKE_SHARE = 0.25  # share of the smallest budget's time and steps


@dataclass(frozen=True, kw_only=True)
class SharedInputs:
    """Input of both sides.

    Attributes:
        folder: folder for every file that is written.
        plan: lavra's own.
        seconds: seconds of training.
        num_steps: steps of lavra's training.
        heldout: text that both are scored on.
        smoke: whether neither side compiles and the Trainer tries no configurations.
    """

    folder: Path
    plan: Plan
    seconds: float
    num_steps: int
    heldout: TokenDataset
    smoke: bool

    @property
    def start(self) -> Path:
        """Folder of the initial weights."""
        return self.folder / "start"

    @property
    def rows(self) -> Rows:
        """The data, in lavra's shape and order."""
        plan = self.plan
        tokens = self.heldout.folder.parent / "train"
        return Rows(tokens=tokens, batch_size=plan.batch_size, sequence_length=plan.sequence_length, seed=plan.seed)

    def score(self, model: Path, most_tokens: int | None = None) -> float:
        """Bits per byte of the held-out documents, or of a sample."""
        trained, _ = load_checkpoint(model, dtype=torch.float32)
        assert isinstance(trained, Decoder)
        if most_tokens:
            return HeldoutSample(self.heldout, window_of(trained), most_tokens).score(trained).bits_per_byte
        score = score_documents(trained, self.heldout, range(self.heldout.num_documents))
        return bits_per_byte(score.nll, score.num_bytes)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, help="minutes of training for each side (default 10)")
    parser.add_argument("--smoke", action="store_true", help="some seconds, on a little text, uncompiled, one rate")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    minutes = args.minutes or (0.15 if args.smoke else 10.0)  # below 0.15 the plan refuses
    with tempfile.TemporaryDirectory() as name:
        inputs = prepare(Path(name), minutes * 60, smoke=args.smoke)
        job = best_trainer(inputs)
        result = run_sides(inputs, job)
    if args.json:
        print(result.line())
    return 0


def prepare(folder: Path, seconds: float, *, smoke: bool) -> SharedInputs:
    """Make text, tokenizer, tokens, plan and initial weights with lavra's own stages."""
    config = UpConfig(budget=seconds / SHARES["pretrain"])
    if smoke:
        config = replace(config, text=SMALL_TEXT, compile="off", hidden_size=HIDDEN_SIZE, num_layers=NUM_LAYERS)
    stages = [
        *prepare_stages(config, silent),
        instructions_stage(config, silent),
        plan_stage(config, silent, WorkerGroup()),
    ]
    made = {result.stage: result.folder for result in run_stages(stages, Workspace.open(folder / "workspace"))}
    plan = Plan.load(made["plan"])
    share = SMOKE_SHARE if smoke else 1.0
    inputs = SharedInputs(
        folder=folder,
        plan=plan,
        seconds=share * plan.seconds,  # may exceed the request: little text leaves nothing for later stages
        num_steps=max(1, round(share * plan.train.num_steps)),
        heldout=TokenDataset.open(made["tokens"] / "heldout"),
        smoke=smoke,
    )
    torch.manual_seed(plan.seed)
    model = build_model(plan.model_config(Tokenizer.load(made["tokenizer"])))
    save_checkpoint(model, inputs.start)
    print(
        f"LLaMA with {num_parameters(model):,} parameters (d {plan.hidden_size}, {plan.num_layers} layers), "
        f"{plan.batch_size} rows of {plan.sequence_length} tokens a step, {inputs.seconds:.0f} s",
        flush=True,
    )
    return inputs


def best_trainer(inputs: SharedInputs) -> TrainerJob:
    """The Trainer's best configuration on this machine, with the number of steps that fit the time."""
    speed_steps = SMOKE_SPEED_STEPS if inputs.smoke else SPEED_STEPS
    job = TrainerJob(
        model=inputs.start,
        out=inputs.folder / "trainer",
        rows=inputs.rows,
        num_steps=speed_steps,
        optimizer=ADAMW,
        schedule=COSINE,
        bf16=own_choice() == "bf16",
        compile=not inputs.smoke,
    )
    kinds = {"sdpa": job} if inputs.smoke else {"sdpa": job, "eager": replace(job, attention="eager")}
    raced = race({name: trainer(kind, speed_steps) for name, kind in kinds.items()})
    usual = {name: timing.usual for name, (timing, _) in raced.items()}
    fastest = min(usual, key=lambda name: usual[name])
    rate = RATES[1] if inputs.smoke else best_rate(inputs, kinds[fastest], usual[fastest])
    print(f"Trainer: {usual[fastest]:.3f} s a step, attention {fastest}, learning rate {rate:g}", flush=True)
    num_steps = max(1, round(inputs.seconds / usual[fastest]))
    return replace(kinds[fastest], num_steps=num_steps, optimizer=replace(ADAMW, learning_rate=rate))


def best_rate(inputs: SharedInputs, job: TrainerJob, usual: float) -> float:
    """The learning rate whose short run ends with the lowest loss."""
    scores: dict[float, float] = {}
    for rate in RATES:
        steps = max(1, round(TRIAL_SHARE * inputs.seconds / usual))
        out = inputs.folder / f"trial-{rate:g}"
        trial = replace(job, out=out, num_steps=steps, optimizer=replace(ADAMW, learning_rate=rate))
        race({"trial": trainer(trial, steps)})
        scores[rate] = inputs.score(out, TRIAL_TOKENS)
        print(f"Trainer, rate {rate:g}: {scores[rate]:.4f} bits per byte after {steps} steps", flush=True)
    return min(scores, key=lambda rate: scores[rate])


def trainer(job: TrainerJob, steps_per_turn: int) -> Program:
    return Program(entry="trainer_side:train_job", job=job, steps_per_turn=steps_per_turn)


def run_sides(inputs: SharedInputs, job: TrainerJob) -> Result:
    """Run both sides in turns."""
    plan = inputs.plan
    # The plan's steps without its evaluations and checkpoints, because the Trainer has none either.
    mine = LavraJob(
        model=inputs.start,
        out=inputs.folder / "lavra",
        rows=inputs.rows,
        train=replace(plan.train, num_steps=inputs.num_steps, eval_every=0, save_every=0),
    )
    raced = race(
        {
            "lavra": Program(entry="lavra_side:train_job", job=mine, steps_per_turn=per_turn(plan.seconds_per_step)),
            "Trainer": trainer(job, per_turn(inputs.seconds / job.num_steps)),
        }
    )
    timings = {name: timing for name, (timing, _) in raced.items()}
    most = SMOKE_TOKENS if inputs.smoke else None
    scores = {"lavra": inputs.score(mine.out, most), "Trainer": inputs.score(job.out, most)}
    show(inputs, timings, scores)
    return as_result(inputs, job, timings, scores)


def per_turn(seconds: float) -> int:
    """Number of steps that fill a turn."""
    return max(1, round(TURN_SECONDS / seconds))


def show(inputs: SharedInputs, timings: Mapping[str, Timing], scores: Mapping[str, float]) -> None:
    tokens = inputs.plan.batch_size * inputs.plan.sequence_length
    rows = [
        [
            name,
            f"{scores[name]:.4f}",
            str(len(timing.seconds)),
            f"{timing.training:.0f} s",
            f"+{timing.extra:.0f} s",
            f"{tokens / timing.usual:,.0f}",
        ]
        for name, timing in timings.items()
    ]
    print_table([["", "bits per byte", "steps", "training", "first steps", "tokens/s"], *rows])


def as_result(
    inputs: SharedInputs, job: TrainerJob, timings: Mapping[str, Timing], scores: Mapping[str, float]
) -> Result:
    plan = inputs.plan
    configuration = (
        f"{own_choice()}{', compiled' if job.compile else ''}, {job.attention}, rate {job.optimizer.learning_rate:g}"
    )
    return Result(
        claim=f"held-out bits per byte after {inputs.seconds / 60:.2g} minutes of training on the same text",
        ours=round(scores["lavra"], 4),
        peers={f"Trainer ({configuration})": round(scores["Trainer"], 4)},
        ratio=round(scores["lavra"] / scores["Trainer"], 4),
        bar=1.0,
        better="lower",
        holds=bool(scores["lavra"] < scores["Trainer"]),
        packages=("torch", "transformers", "accelerate"),
        details={
            "parameters": plan.num_parameters,
            "shape": [plan.hidden_size, plan.num_layers, plan.num_heads],
            "rows": [plan.batch_size, plan.sequence_length],
            "steps": {name: len(timing.seconds) for name, timing in timings.items()},
            "training_seconds": {name: round(timing.training, 1) for name, timing in timings.items()},
            "compile_seconds": {name: round(timing.extra, 1) for name, timing in timings.items()},
            "threads": torch.get_num_threads(),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
