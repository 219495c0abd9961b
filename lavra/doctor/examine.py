"""`lavra doctor`: what could go wrong with a run, found before hours are spent on it.

Of `lavra up` the machine is looked at, the corpus, tokenizer and plan are made (or reused), memory and time are
estimated, and small versions of the run's own model are put through the promises training makes.  Of `lavra finetune`
the model and the data themselves are (`lavra.doctor.finetuning`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

from lavra.base.checks import Check
from lavra.base.device import find_compiler
from lavra.base.ports import Progress
from lavra.base.units import format_size
from lavra.base.workspace import Workspace
from lavra.doctor.finetuning import finetuning_checks
from lavra.model.config import Kind
from lavra.pipeline.crew import Crew
from lavra.pipeline.fit import DoesNotFitError, memory_check, time_check
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.stages.planning import plan_stage
from lavra.pipeline.stages.prepare import open_tokens, prepare_stages
from lavra.runs.finetune import prepare
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.text import Corpus
from lavra.tokens import Tokenizer
from lavra.tokens.checks import tokenizer_checks
from lavra.tokens.conversation import with_template
from lavra.train import Objective
from lavra.train.checks import pretraining_checks

_NUM_TEXTS = 50
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


def examine_finetuning(config: FinetuneConfig, base: Path, workspace: Path) -> Iterator[Check]:
    """Every check for a run of `lavra finetune` with these settings, as they are done; nothing is trained or kept.

    Args:
        config: of the run.
        base: folder of the model it would start from.
        workspace: folder whose disk the result would be on.

    Raises:
        InputError: the data has nothing usable.
        ConfigError: the settings do not fit the model.
    """
    unused = {"compiler"} if config.compile == "off" else set()
    yield from (check for check in machine_checks(workspace) if check.name not in unused)
    yield from finetuning_checks(prepare(config, base))


def examine(config: UpConfig, workspace: Workspace, progress: Progress) -> Iterator[Check]:
    """Every check for a run with these settings, as they are done."""
    yield from machine_checks(workspace.path)
    stages = [*prepare_stages(config, progress), plan_stage(config, progress, Crew())]
    try:
        folders = {result.stage: result.folder for result in run_stages(stages, workspace)}
    except DoesNotFitError as refusal:  # the other checks would be of a run that cannot be
        yield refusal.check
        return
    tokenizer, plan = Tokenizer.load(folders["tokenizer"]), Plan.load(folders["plan"])
    model = plan.model_config(tokenizer)
    corpus = Corpus.open(folders["corpus"])
    texts = [document.text for document in islice(corpus.documents("heldout"), _NUM_TEXTS)]
    talks = with_template(tokenizer) if model.kind is Kind.DECODER else tokenizer  # as the adapt stage teaches it
    yield from tokenizer_checks(talks, texts, needs_stop=model.kind is not Kind.ENCODER)

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

    yield memory_check(plan, model, make(plan.batch_size).batches.batch(0), compiled=plan.compiled)
    yield time_check(plan, plan.train.num_steps)
    yield from pretraining_checks(model, make, plan.train)
