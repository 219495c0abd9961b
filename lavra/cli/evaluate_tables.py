"""Tables that `lavra evaluate` prints: the scores of a model, two models side by side, one sample of the ledger."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lavra.evaluation.compare import ModelComparison, TaskComparison
from lavra.evaluation.layouts import notes_of
from lavra.evaluation.ledger import LedgerRow
from lavra.evaluation.results import EvaluationResult, MetricResult


def show_result(result: EvaluationResult) -> None:
    """Print the scores as a table on standard output, and doubts about them on standard error."""
    heads = ("task", "metric", "", "score", "standard error", "95 % interval", "items", "shots")
    table = Table(*heads, box=None, pad_edge=False)
    for group in result.groups:
        for one in group.metrics:
            table.add_row(*map(Text, _cells(group.alias, one, "")))
    for task in result.tasks:
        for one in task.metrics:
            table.add_row(*map(Text, _cells(task.alias, one, str(task.num_shots))))
    print(f"{result.model}:")
    _console().print(table)
    for note in notes_of(result):
        print(f"note: {note}", file=sys.stderr)


def _cells(alias: str, one: MetricResult, shots: str) -> list[str]:
    return [
        alias,
        one.name if one.filter == "none" else f"{one.name} ({one.filter})",
        "↑" if one.higher_is_better else "↓",
        "unscored" if one.value is None else f"{one.value:.4f}",
        "" if one.standard_error is None else f"{one.standard_error:.4f}",
        "" if one.interval is None else str(one.interval),
        f"{one.num_items:,}",
        shots,
    ]


def show_comparison(found: ModelComparison) -> None:
    """Print two models side by side, a row for each task."""
    heads = ("task", "metric", found.first, found.second, "difference, 95 %", "items", "p", "corrected", "verdict")
    table = Table(*map(escape, heads), box=None, pad_edge=False)
    for one in found.tasks:
        table.add_row(*map(Text, _comparison_cells(one, found)))
    print(
        f"\n{found.second} beside {found.first}, on the same items (p-values corrected for {found.num_corrected} "
        "tests):"
    )
    _console().print(table)


def _comparison_cells(one: TaskComparison, found: ModelComparison) -> list[str]:
    return [
        one.task,
        one.metric if one.filter == "none" else f"{one.metric} ({one.filter})",
        "" if one.first is None else f"{one.first:.4f}",
        "" if one.second is None else f"{one.second:.4f}",
        "" if one.difference is None else f"{one.difference:+.4f} {one.interval or ''}",
        f"{one.num_items:,}" + (f" ({one.num_dropped:,} left out)" if one.num_dropped else ""),
        f"{one.p:.3g}",
        f"{one.p_corrected:.3g}",
        one.sentence(found.first, found.second),
    ]


def show_row(row: LedgerRow) -> None:
    """Print the question to a model and its answer."""
    print(f"--- {row.task}#{row.doc_id}, model {row.model}, {row.created}")
    contexts = row.asked.get("contexts", [])
    for context in contexts or [row.asked.get("prompt", "")]:
        print(context)
    for (_, continuation), logprob, greedy in zip(
        row.asked.get("pairs", ()), row.response.logprobs, row.response.greedy, strict=False
    ):
        print(f"  {logprob:10.4f}{' greedy' if greedy else ''}  {continuation!r}")
    for text in row.response.texts:
        print(f"answer: {text!r}")
    if "gold" in row.asked:
        print(f"right: {row.asked['gold']!r}")
    for name, value in row.score["values"].items():
        print(f"  {name} = {value}")


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200)
