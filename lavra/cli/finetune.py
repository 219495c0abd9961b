"""`lavra finetune`: train a model for a task on labelled data, and measure it before and after."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from lavra.api.find import find_folder
from lavra.base.names import ModelNames
from lavra.base.units import format_duration, format_size
from lavra.cli.console import print_json
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.cli.next_step import after_samples
from lavra.runs.finetune import FinetuneResult, Prepared, finetune, prepare
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.verbs.activity import activity
from lavra.verbs.meter import Unit, meter

_SHOWN_SCORES = 8


def run(args: argparse.Namespace) -> int:
    """Check the data, train, measure, save."""
    config = read_settings(FinetuneConfig, args)
    workspace = read_workspace(args)
    base = find_folder(args.model, workspace=workspace, whole=True)
    name = f"{ModelNames(workspace).name_of(base)}-{config.task.saved_as}"
    out = read_destination(args, workspace, "models", default_name=name)
    activity.begin("reading data and model")
    prepared = prepare(config, base)
    if args.check:
        return _check(prepared, as_json=args.json)
    _introduce(prepared, args.in_flags)
    with meter(Unit.THINGS) as progress:
        result = finetune(prepared, out, progress, replace_stopped=args.replace)
    if args.json:
        print_json(_as_json(prepared, result))
    else:
        _show(prepared, result)
        print(f"next     {after_samples(result.folder, prepared.data.heldout)}")
    return 0


def _check(prepared: Prepared, *, as_json: bool) -> int:
    reports = prepared.reports()
    if as_json:
        print_json({"reports": [report.to_json() for report in reports]})
    else:
        print("\n".join(line for report in reports for line in report.lines()))
    return 1 if any(report.groups for report in reports) else 0


def _introduce(prepared: Prepared, in_flags: Callable[[str], str]) -> None:
    """Print the problems of the data and the plan of the run to stderr, before the run begins."""
    for report in prepared.reports():
        print("\n".join(report.lines()), file=sys.stderr)
    for note in prepared.notes:
        print(in_flags(note), file=sys.stderr)
    print(f"held out: {prepared.data.origin}", file=sys.stderr)
    memory = prepared.footprint()
    print(
        f"{prepared.parameters}; {prepared.train.num_steps:,} steps of {prepared.config.batch_size} samples\n"
        f"memory: {format_size(memory.weights)} of weights, {format_size(memory.training)} of gradients and optimizer, "
        f"{format_size(memory.activations)} of activations for the longest batch",
        file=sys.stderr,
    )


def _show(prepared: Prepared, result: FinetuneResult) -> None:
    table = Table("held-out", "before", "after", box=None, pad_edge=False)
    after = result.after.values
    for name in sorted(after, key=lambda name: (name != result.after.main, name))[:_SHOWN_SCORES]:
        table.add_row(name, f"{result.before.values[name]:.4f}", f"{after[name]:.4f}")
    Console().print(table)
    if prepared.majority is not None:
        print(f"always the most frequent label: {prepared.majority:.4f} accuracy")
    print(f"measured on {result.after.num_samples:,} samples; {result.train.steps:,} steps in", end=" ")
    print(f"{format_duration(result.train.seconds)}\nsaved {result.folder}")


def _as_json(prepared: Prepared, result: FinetuneResult) -> dict[str, Any]:
    return {
        "path": str(result.folder),
        "main": result.after.main,
        "before": dict(result.before.values),
        "after": dict(result.after.values),
        "majority": prepared.majority,
        "heldout_samples": result.after.num_samples,
        "steps": result.train.steps,
        "seconds": result.train.seconds,
        "parameters": asdict(result.parameters),
        "reports": [report.to_json() for report in prepared.reports()],
    }
