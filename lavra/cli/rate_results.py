"""Tables of `lavra rate results`: people's judgements, their agreement, and facts about the annotators."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from lavra.evaluation.human.agreement import Agreement
from lavra.evaluation.human.results import AnnotatorReport, ModelRating, StudyResults
from lavra.metrics.intervals import Interval
from lavra.metrics.preference import PreferenceRanking


def show_results(results: StudyResults) -> None:
    """Print the results of a study."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(results.title, markup=False)
    if results.ratings:
        _print(console, _ratings(results.ratings))
    if results.ranking is not None:
        _print(console, _ranking(results.ranking))
    if results.first_shown is not None:
        found = results.first_shown
        share = f"{found.wins / found.decided:.2f} {_interval(found.interval)}"
        console.print(f"shown first and preferred: {found.wins} of {found.decided} ({share})", markup=False)
    _print(console, _agreement(results.agreement))
    _print(console, _annotators(results.annotators))
    for warning in results.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _print(console: Console, table: Table) -> None:
    console.print()
    console.print(table)


def _table(*heads: str) -> Table:
    return Table(*heads, box=None, pad_edge=False)


def _interval(interval: Interval | None, digits: int = 2) -> str:
    return "" if interval is None else f"({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _ratings(ratings: Iterable[ModelRating]) -> Table:
    table = _table("scale", "model", "mean of 1 to 5, 95 %", "1", "2", "3", "4", "5", "cannot tell", "answers")
    for one in ratings:
        mean = f"{_number(one.mean)} {_interval(one.interval)}"
        table.add_row(one.scale, one.model, mean, *map(str, one.steps), str(one.cannot_tell), str(one.num_answers))
    return table


def _ranking(ranking: PreferenceRanking) -> Table:
    table = _table("model", "strength, 95 %", "won", "lost", "ties")
    for one in ranking.strengths:
        value = f"{one.value:+.2f} {_interval(one.interval)}"
        table.add_row(one.name, value, str(one.wins), str(one.losses), str(one.ties))
    return table


def _agreement(agreed: Iterable[Agreement]) -> Table:
    table = _table("agreement on", "Krippendorff's alpha, 95 %", "mean Cohen's kappa", "items judged by two or more")
    for one in agreed:
        alpha = one.undefined or f"{_number(one.alpha)} {_interval(one.interval)}"
        table.add_row(one.about, alpha, _number(one.mean_kappa), str(one.num_items))
    return table


def _annotators(people: Iterable[AnnotatorReport]) -> Table:
    table = _table("annotator", "done", "skipped", "checks failed", "seconds an item, median")
    for one in people:
        checks = f"{one.failed_checks} of {one.checks}" + (", left out" if one.excluded else "")
        seconds = _number(one.median_seconds, 1)
        table.add_row(one.name, f"{one.done} of {one.assigned}", str(one.skipped), checks, seconds)
    return table
