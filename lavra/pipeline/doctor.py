"""`lavra doctor`: what could go wrong with a run, found before hours are spent on it.

The machine is looked at, the corpus, tokenizer and plan of the run are made (or reused), memory and time are
estimated, and small versions of the run's own model are put through the promises training makes.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

from lavra.base.checks import Check
from lavra.base.device import find_compiler
from lavra.base.units import format_duration, format_size
from lavra.base.workspace import Workspace
from lavra.data.batch import Batch
from lavra.model import ModelConfig
from lavra.model.config import Kind
from lavra.pipeline.crew import Crew
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.planning import plan_stage
from lavra.pipeline.prepare import Progress, open_tokens, prepare_stages
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.text import Corpus
from lavra.tokens import Tokenizer
from lavra.tokens.checks import tokenizer_checks
from lavra.train import Objective
from lavra.train.checks import training_checks
from lavra.train.estimate import training_memory

_NUM_TEXTS = 50
_OTHER_USES = 0.9  # of the memory that is available: the rest belongs to whoever else is there
_LEAST_DISK = 1_000_000_000


def machine_checks(workspace: Path) -> Iterator[Check]:
    """Python, torch, compiler, disk."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check(
        name="Python",
        passed=(3, 11) <= sys.version_info[:2] <= (3, 14),
        detail=version,
        remedy="" if sys.version_info[:2] >= (3, 11) else "install Python 3.11 to 3.14",
    )
    where = "CUDA" if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    yield Check(name="PyTorch", passed=True, detail=f"{torch.__version__}, {where}, {torch.get_num_threads()} threads")
    compiler = find_compiler()
    yield Check(
        name="compiler",
        passed=True,  # used where there is one, never required
        detail=f"{compiler}, training is compiled" if compiler else "none: training runs uncompiled, and slower",
    )
    free = shutil.disk_usage(
        next(folder for folder in (workspace, *workspace.resolve().parents) if folder.exists())
    ).free
    enough = free >= _LEAST_DISK
    yield Check(
        name="disk",
        passed=enough,
        detail=f"{format_size(free)} free",
        remedy="" if enough else f"free {format_size(_LEAST_DISK)}, or name another --workspace",
    )


def examine(config: UpConfig, workspace: Workspace, progress: Progress) -> Iterator[Check]:
    """Every check for a run with these settings, as they are done."""
    yield from machine_checks(workspace.path)
    stages = [*prepare_stages(config, progress), plan_stage(config, progress, Crew())]
    folders = {result.stage: result.folder for result in run_stages(stages, workspace)}
    tokenizer, plan = Tokenizer.load(folders["tokenizer"]), Plan.load(folders["plan"])
    model = plan.model_config(tokenizer)
    corpus = Corpus.open(folders["corpus"])
    texts = [document.text for document in islice(corpus.documents("heldout"), _NUM_TEXTS)]
    yield from tokenizer_checks(tokenizer, texts, needs_stop=model.kind is not Kind.ENCODER)

    def make(batch_size: int) -> Objective:
        return make_objective(
            model.kind,
            open_tokens(folders["tokens"], "train"),
            tokenizer,
            batch_size=batch_size,
            sequence_length=plan.sequence_length,
            seed=plan.seed,
            noise=config.noise,
        )

    yield memory_check(plan, model, make(plan.batch_size).batches.batch(0))
    yield time_check(plan, config)
    yield from training_checks(model, make, plan.train)


def memory_check(plan: Plan, model: ModelConfig, batch: Batch) -> Check:
    """Whether training fits, by estimate; what would, if it does not."""
    needed = training_memory(model, plan.train, batch, compiled=plan.compiled).total
    available = available_memory()
    fits = needed <= available * _OTHER_USES
    return Check(
        name="memory",
        passed=fits,
        detail=f"training takes about {format_size(needed)}, {format_size(available)} are available",
        remedy="" if fits else _what_fits(plan, model, batch, available * _OTHER_USES),
    )


def time_check(plan: Plan, config: UpConfig) -> Check:
    """How long training will take, from steps that were really timed."""
    seconds = plan.train.num_steps * plan.seconds_per_step
    fits = seconds <= plan.seconds * 1.1
    return Check(
        name="time",
        passed=fits,
        detail=(
            f"{plan.train.num_steps:,} steps of {plan.seconds_per_step:.2f}s take about {format_duration(seconds)} "
            f"of a budget of {format_duration(config.budget)}, and {format_duration(plan.compile_seconds)} compiling"
        ),
        remedy="" if fits else f"even the fewest steps take longer; give --budget {format_duration(2 * seconds)}",
    )


def available_memory() -> int:
    """Bytes a new process may use: the kernel's own estimate on Linux, physical memory elsewhere."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _what_fits(plan: Plan, model: ModelConfig, batch: Batch, limit: float) -> str:
    """The largest batch that fits, or that none does."""
    rows = len(batch.sample_ids)
    while rows > 1:
        rows //= 2
        smaller = training_memory(model, plan.train, batch.rows(0, rows), compiled=plan.compiled).total
        if smaller <= limit:
            parts = len(batch.sample_ids) // rows * plan.train.accumulation
            return (
                f"{rows} rows a micro-batch would fit ({format_size(smaller)}): give --accumulation {parts}, or "
                "--activation-checkpointing"
            )
    return (
        "not even one row fits: give a smaller --hidden-size, --num-layers or --sequence-length, or a machine with "
        "more memory"
    )
