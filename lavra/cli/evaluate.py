"""`lavra evaluate`: a model's scores on benchmarks, and two models side by side.

The table goes to standard output, progress and warnings to standard error, results to the named files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.base.errors import ConfigError
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.cli.evaluate_files import log_samples, write_results
from lavra.cli.evaluate_finetuned import score_twice
from lavra.cli.evaluate_showing import write_cards, write_report
from lavra.cli.evaluate_tables import show_comparison, show_result, show_row
from lavra.cli.flags import read_settings, read_workspace
from lavra.cli.judge_answers import chat_layout, judge_answers
from lavra.cli.score_texts import score_texts
from lavra.evaluation.compare import ModelComparison, compare_models
from lavra.evaluation.items import ItemScore
from lavra.evaluation.judging.judge import plain_text
from lavra.evaluation.ledger import read_samples
from lavra.evaluation.results import EvaluationResult
from lavra.evaluation.task_files.index import build_index
from lavra.evaluation.task_files.opening import OpenedTasks
from lavra.evaluation.task_result import compared_groups, compared_metrics
from lavra.verbs.evaluating import data_folder, evaluate_model, ledger_file, open_chosen_tasks, open_evaluated
from lavra.verbs.meter import meter


def run(args: argparse.Namespace) -> int:
    """Evaluate and show."""
    settings = read_settings(EvaluateSettings, args)
    if settings.list:
        return _list(settings)
    if settings.show is not None:
        return _show_sample(settings, args)
    if settings.predictions is not None:
        return score_texts(settings, args.subject)
    if settings.judge is not None:
        return _judge(settings.judge, args.subject, settings)
    if args.subject is None:
        raise ConfigError(
            "no model is named; say `lavra evaluate MODEL --tasks NAME`, or --list for the tasks there are"
        )
    if not settings.task_names():
        raise ConfigError("no task is named; say --tasks NAME, or --list for the tasks there are")
    names = [args.subject, *settings.compare]
    if len(set(names)) < len(names):
        raise ConfigError("--compare names a model twice; give each once")
    if settings.finetune:
        for name in names:
            score_twice(
                name, settings, args, data_folder(settings), lambda one, tasks: _evaluate(one, tasks, settings, args)[0]
            )
        return 0
    opened = open_chosen_tasks(settings)
    found = [_evaluate(name, opened, settings, args) for name in names]
    results = [result for result, _ in found]
    comparisons = _compare(names, [scores for _, scores in found], opened) if settings.compare else []
    write_results(results, comparisons, settings)
    for result in results:
        show_result(result)
    for one in comparisons:
        show_comparison(one)
    if settings.report is not None:
        write_report(settings.report, results, comparisons)
    write_cards(results, settings.card)
    return 0


# ---------------------------------------------------------------- tasks


def _list(settings: EvaluateSettings) -> int:
    """Print the names of groups, tags and tasks, with the number of tasks of each group or tag."""
    index = build_index(settings.include)
    table = Table("name", "kind", "", box=None, pad_edge=False)
    kinds = [("group", index.groups), ("tag", index.tags), ("task", index.tasks)]
    for kind, named in kinds:
        for name in sorted(named):
            table.add_row(Text(name), kind, Text(str(len(index.tags[name])) + " tasks" if kind == "tag" else ""))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for path, reason in index.broken.items():
        print(f"note: {path} cannot be read: {reason}", file=sys.stderr)
    return 0


# ---------------------------------------------------------------- models


def _evaluate(
    name: str, opened: OpenedTasks, settings: EvaluateSettings, args: argparse.Namespace
) -> tuple[EvaluationResult, dict[str, list[ItemScore]]]:
    with meter() as progress:
        result, scores = evaluate_model(name, opened, settings, read_workspace(args), progress)
    if settings.log_samples is not None:
        log_samples(settings.log_samples, name, scores)
    return replace(result, warnings=tuple(map(args.in_flags, result.warnings))), scores


def _judge(name: str, subject: str | None, settings: EvaluateSettings) -> int:
    """Open the model that judges answers, in the engine, which forces its text into the required form."""
    if subject is not None:
        raise ConfigError(f"{subject} is named beside --judge, which judges answers that are there; leave it out")
    with open_evaluated(name, replace(settings, engine=True)) as judge:
        tokens, render = judge.tokens, judge.chat.render
        layout = plain_text if render is None or tokens is None else chat_layout(render, tokens.encode)
        return judge_answers(settings, judge.port, judge.identity.name, layout)


# ---------------------------------------------------------------- comparing


def _compare(
    names: Sequence[str], scores: Sequence[Mapping[str, Sequence[ItemScore]]], opened: OpenedTasks
) -> list[ModelComparison]:
    metrics = [
        metric
        for task in opened.tasks
        for metric in compared_metrics(task, [one for found in scores for one in found[task.name]])
    ]
    return compare_models(dict(zip(names, scores, strict=True)), [*compared_groups(opened.groups, metrics), *metrics])


# ---------------------------------------------------------------- one sample


def _show_sample(settings: EvaluateSettings, args: argparse.Namespace) -> int:
    """Print the question and the answer to one item, of every model in the ledger."""
    task, sign, number = (settings.show or "").rpartition("#")
    if not sign or not number.isdigit():
        raise ConfigError(f"show is {settings.show!r}; write TASK#NUMBER, such as arc_easy#12")
    for row in read_samples(ledger_file(settings, read_workspace(args)), task, int(number)):
        show_row(row)
    return 0
