"""The benchmarks stage of decoders: questions made of held-out text, and a few public tasks where their files are here.

Every user has the questions: `lavra.pipeline.probes` writes them as task files, so `lavra evaluate` and
lm-evaluation-harness can ask them again.
The public tasks run where `LAVRA_DATA` names a folder with their files; the stage downloads no data.
The time of a few first items and the stage's share of the budget decide the number of items.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from lavra.api.identity import model_hash
from lavra.api.load import load
from lavra.base.errors import LavraError
from lavra.base.ports import Progress, silent
from lavra.base.units import format_duration
from lavra.evaluation.abilities import abilities, in_words
from lavra.evaluation.results import EvaluationResult
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.task import EvalTask
from lavra.pipeline.probes import write_probes
from lavra.pipeline.results import Skipped
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.text.corpus import Corpus

_MOST: Final = 400  # items of a task
_LEAST: Final = 20  # items of a task; fewer give no usable score
_TRIED: Final = 4  # items of a task to time; the number of items follows from it
_SECONDS_ALWAYS: Final = 3.0  # are spent, however small the share
_SECONDS_MOST: Final = 30.0  # may be spent on the least items, so that a small model has them on a busy machine
_DOCUMENTS: Final = 400  # held-out documents that are looked at, spread over all of them
_PUBLIC: Final = ("arc_easy", "piqa")  # everyday knowledge, in English


@dataclass(frozen=True, kw_only=True)
class BenchmarksFigures:
    """The model's benchmark figures in the card.

    Attributes:
        scores: first score of each task that has one.
        items: number of items of each task.
        verdict: the tasks above guessing, and the others.
    """

    scores: Mapping[str, float]
    items: Mapping[str, int]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class BenchmarksResult(BenchmarksFigures):
    """The result of the benchmarks stage.

    Attributes:
        evaluation: all measurements.
    """

    evaluation: EvaluationResult


def benchmarks_stage(config: UpConfig, progress: Progress) -> Stage[BenchmarksResult | Skipped]:
    """The stage that asks the model questions made of held-out text, and public tasks where their files are here."""
    data = _data()

    def run(context: StageContext) -> BenchmarksResult | Skipped:
        corpus = Corpus.open(context.parents["corpus"])
        every = max(1, corpus.num_documents("heldout") // _DOCUMENTS)
        made = write_probes(islice(corpus.documents("heldout"), 0, None, every), context.folder, most=_MOST)
        if not made:
            return Skipped(why="the held-out text has no sentences or lines to ask about")
        names = [str(context.folder / f"{name}.yaml") for name in made]
        opened = list(open_tasks(names, data=context.folder, with_shipped=False).tasks)
        public, missing = _public(data)
        found = _asked(context.parents["pretrain"], [*opened, *public], config.budget * SHARES["benchmarks"], progress)
        if isinstance(found, Skipped):
            return found
        return BenchmarksResult(
            scores={
                task.task: task.metrics[0].value
                for task in found.tasks
                if task.metrics and task.metrics[0].value is not None
            },
            items={task.task: task.num_items for task in found.tasks},
            verdict=in_words(abilities(found)),
            evaluation=replace(found, warnings=(*found.warnings, *missing)),
        )

    return Stage(
        name="benchmarks",
        kind="evaluation",
        folder="runs",
        version=1,
        run=run,
        needs=("corpus", "pretrain"),
        config={"seconds": config.budget * SHARES["benchmarks"], "public": [] if data is None else list(_PUBLIC)},
        result=BenchmarksResult,
        figures=BenchmarksFigures,
    )


def _data() -> Path | None:
    """The folder of public data; None where the user names no folder."""
    named = os.environ.get("LAVRA_DATA", "")
    return Path(named) if named and Path(named).is_dir() else None


def _public(data: Path | None) -> tuple[list[EvalTask], list[str]]:
    """The public tasks whose files are in a folder, and a note on each of the others."""
    found, missing = [], []
    for name in _PUBLIC if data is not None else ():
        try:
            (task,) = open_tasks([name], data=data).tasks
            _ = task.num_documents  # opens its files
            found.append(task)
        except LavraError as error:
            missing.append(f"{name} was not asked: {error}")
    return found, missing


def _asked(folder: Path, tasks: Sequence[EvalTask], seconds: float, progress: Progress) -> EvaluationResult | Skipped:
    """Limit the tasks to the number of items that the time allows."""
    model = load(str(folder))
    identity = ModelIdentity(name=str(folder), hash=model_hash(model))

    def ask(limit: int, shown: Progress) -> EvaluationResult:
        settings = EvaluationSettings(limit=limit)
        return evaluate(model.port, tasks, settings, identity=identity, progress=shown, record={"limit": limit})

    ask(1, silent)  # warms up
    started = time.monotonic()
    ask(_TRIED, silent)
    an_item = (time.monotonic() - started) / _TRIED  # seconds for an item of every task
    number = min(_MOST, max(_LEAST, int(max(seconds, _SECONDS_ALWAYS) / an_item)))
    if number * an_item > max(seconds, _SECONDS_MOST):
        needed, given = format_duration(number * an_item), format_duration(max(seconds, _SECONDS_MOST))
        return Skipped(why=f"{_LEAST} items of each task take about {needed} and there are {given}", again=True)
    return ask(number, progress)
