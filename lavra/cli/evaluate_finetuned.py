"""`lavra evaluate MODEL --tasks glue --finetune`: finetune a head for each task; also ask a generative model by prompt.

Both scores are in one table.  An encoder is not asked by prompt; a task without files shows this in both columns.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.api.find import find_folder
from lavra.api.identity import model_files
from lavra.base.errors import ConfigError, LavraError
from lavra.base.files import hash_json, write_text
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.cli.evaluate_showing import write_cards, write_report
from lavra.cli.flags import read_workspace
from lavra.evaluation.layouts import harness_layout
from lavra.evaluation.results import EvaluationResult, TaskResult
from lavra.evaluation.side_by_side import COLUMNS, SuiteTaskScores, markdown_table, side_by_side
from lavra.evaluation.task_files.index import build_index
from lavra.evaluation.task_files.opening import OpenedTasks, open_tasks
from lavra.evaluation.task_files.task import EvalTask
from lavra.model.config import Kind
from lavra.model.config_files import load_config
from lavra.pipeline.sections.suites import suites_section
from lavra.runs.glue.finetuning import finetune_glue
from lavra.runs.glue.job import GlueRecipe
from lavra.runs.glue.tasks import GlueTask, find_tasks
from lavra.verbs.meter import meter

AskByPrompt = Callable[[str, OpenedTasks], EvaluationResult]

_ALSO_ASKED = {"mnli": ("mnli", "mnli_mismatch")}
"""Tasks asked by prompt for a finetuned task, where they are not a single task of the same name."""


def score_twice(
    name: str, settings: EvaluateSettings, args: argparse.Namespace, data: Path | None, ask: AskByPrompt
) -> None:
    """Finetune a model for GLUE and SuperGLUE tasks, ask it by prompt, and show both.

    Args:
        name: name of the model.
        settings: settings of the verb.
        args: the arguments, with the workspace.
        data: folder that holds the benchmarks' files.
        ask: scores a model by prompt.

    Raises:
        ConfigError: no data is named, a task is not of GLUE or SuperGLUE, or the model cannot be finetuned.
    """
    if data is None:
        raise ConfigError("--finetune reads the benchmarks' own files; name the folder that holds glue/ with --data")
    tasks = find_tasks(settings.task_names())
    base = _base(name)
    finetuned = _finetuned(name, base, tasks, settings, args, data)
    prompted = _prompted(name, base, tasks, settings, data, ask)
    rows = side_by_side(finetuned.tasks, prompted.tasks if prompted is not None else ())
    _show(name, rows)
    _write(rows, finetuned, prompted, settings)
    write_cards([one for one in (prompted, _for_card(name, finetuned)) if one is not None], settings.card)


def _for_card(name: str, finetuned: EvaluationResult) -> EvaluationResult:
    """The finetuned scores, under names of their own: in the card the tasks' names stand for the scores by prompt."""
    tasks = tuple(
        replace(one, task=f"{one.task} (finetuned)", alias=f"{one.alias} (finetuned)") for one in finetuned.tasks
    )
    return replace(finetuned, model=name, tasks=tasks)


def _base(name: str) -> Path:
    if "://" in name:
        raise ConfigError(f"{name} is a URL, whose weights are not here; --finetune takes a model's folder")
    base = find_folder(name)
    if not base.is_dir():
        raise ConfigError(f"{base} is a file; --finetune takes a model's folder")
    return base


def _finetuned(
    name: str, base: Path, tasks: Sequence[GlueTask], settings: EvaluateSettings, args: argparse.Namespace, data: Path
) -> EvaluationResult:
    recipe = _recipe(settings)
    work = read_workspace(args).folder("runs") / "glue"
    with meter() as progress:
        found = finetune_glue(base, tasks, data, work, recipe, progress)
    return EvaluationResult(
        model=f"{name}, finetuned",
        model_hash=hash_json(model_files(base)),
        tasks=found,
        settings={"recipe": recipe.in_words(), "limit": recipe.limit, "seed": recipe.seed},
        seconds=sum(task.cost.seconds for task in found),
    )


def _recipe(settings: EvaluateSettings) -> GlueRecipe:
    limit = settings.limit
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit:g}; with --finetune give a whole number of items")
    return GlueRecipe(most_rows=settings.finetune_rows, limit=None if limit is None else int(limit))


# ---------------------------------------------------------------- by prompt


def _prompted(
    name: str, base: Path, tasks: Sequence[GlueTask], settings: EvaluateSettings, data: Path, ask: AskByPrompt
) -> EvaluationResult | None:
    """The model's scores by prompt; None for a model that does not generate text."""
    if load_config(base).kind is Kind.ENCODER:
        return None
    names = [one for task in tasks for one in _ALSO_ASKED.get(task.name, (task.name,))]
    known = build_index(settings.include).tasks
    opened = open_tasks(
        [one for one in names if one in known], folders=settings.include, data=data, num_fewshot=settings.num_fewshot
    )
    here = [task for task in opened.tasks if not _missing(task)]
    absent = tuple(_without_score(task, _missing(task)) for task in opened.tasks if _missing(task))
    if not here:
        return EvaluationResult(model=name, model_hash="", tasks=absent)
    try:
        found = ask(name, OpenedTasks(tasks=tuple(here)))
    except LavraError as error:  # the heads were trained for minutes: their scores are shown all the same
        unasked = tuple(_without_score(task, f"not asked: {error}") for task in here)
        return EvaluationResult(model=name, model_hash="", tasks=(*unasked, *absent))
    return replace(found, tasks=(*found.tasks, *absent))


def _missing(task: EvalTask) -> str:
    """The reason why the rows of a task cannot be read; empty if they can."""
    try:
        _ = task.num_documents
    except LavraError as error:
        return str(error)
    return ""


def _without_score(task: EvalTask, why: str) -> TaskResult:
    return TaskResult(
        task=task.name,
        alias=task.alias,
        version=task.version,
        num_shots=task.num_shots,
        metrics=(),
        num_items=0,
        num_available=0,
        verified=False,
        warnings=(why,),
    )


# ---------------------------------------------------------------- showing


def _show(name: str, rows: Sequence[SuiteTaskScores]) -> None:
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row.cells))
    print(f"{name}:")
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def _write(
    rows: Sequence[SuiteTaskScores],
    finetuned: EvaluationResult,
    prompted: EvaluationResult | None,
    settings: EvaluateSettings,
) -> None:
    both = [finetuned, *(() if prompted is None else (prompted,))]
    if settings.json is not None:
        layout = harness_layout(finetuned)
        layout["prompted"] = None if prompted is None else harness_layout(prompted)
        write_text(settings.json, json.dumps(layout, indent=2, ensure_ascii=False, default=str) + "\n")
    if settings.markdown is not None:
        write_text(settings.markdown, markdown_table(rows))
    if settings.report is not None:
        recipe = str(finetuned.settings["recipe"])
        write_report(settings.report, both, also=(suites_section(rows, recipe),))
