"""`lavra distill`: a smaller student of a finetuned teacher, measured beside it."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from lavra.api.find import find_folder
from lavra.base.names import ModelNames
from lavra.base.units import format_duration
from lavra.cli.console import print_json
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.cli.next_step import after_samples
from lavra.runs.distill import DistillResult, PreparedDistill, distill_folder, prepare
from lavra.runs.distill_settings import DistillRunConfig
from lavra.verbs.activity import activity
from lavra.verbs.distill import with_models_found
from lavra.verbs.meter import Unit, meter


def run(args: argparse.Namespace) -> int:
    """Train the student, measure it, save it."""
    workspace = read_workspace(args)
    config = with_models_found(read_settings(DistillRunConfig, args), workspace)
    source = find_folder(args.teacher, workspace=workspace, whole=True)
    out = read_destination(args, workspace, "models", default_name=f"{ModelNames(workspace).name_of(source)}-student")
    activity.begin("reading data and model")
    prepared = prepare(config, source)
    _introduce(prepared)
    with meter(Unit.THINGS) as progress:
        result = distill_folder(prepared, out, progress, replace_stopped=args.replace)
    if args.json:
        print_json({"path": str(out), **result.metrics()})
    else:
        _show(result, config)
        print(f"next     {after_samples(result.folder, prepared.data.heldout)}")
    return 0


def _introduce(prepared: PreparedDistill) -> None:
    """Print the problems of the data and the plan of the run to stderr, before the run begins."""
    for report in prepared.reports():
        print("\n".join(report.lines()), file=sys.stderr)
    start = prepared.config.student or prepared.base
    whose = f"{prepared.layers} of the {prepared.start.config.num_layers} layers of {start}"
    print(f"held out: {prepared.data.origin}", file=sys.stderr)
    print(f"a student that begins as {whose}; {prepared.train.num_steps:,} steps", file=sys.stderr)


def _show(result: DistillResult, config: DistillRunConfig) -> None:
    table = Table("held-out", "parameters", result.student.main, box=None, pad_edge=False)
    teacher, student = (f"{number:,}" for number in result.parameters)
    table.add_row("teacher", teacher, f"{result.teacher.value:.4f}")
    table.add_row("student", student, f"{result.student.value:.4f}")
    if result.baseline_mean is not None:
        spread = "" if result.baseline_spread is None else f" ± {result.baseline_spread:.4f}"
        start = "the same" if config.baseline_from is None else str(config.baseline_from)
        parameters = f"{result.baseline_parameters:,}"
        table.add_row(f"{start} without the teacher", parameters, f"{result.baseline_mean:.4f}{spread}")
    table.add_row("the student before it learnt", student, f"{result.untaught.value:.4f}")
    if result.majority is not None and result.student.main == "accuracy":
        table.add_row("always the most frequent label", "", f"{result.majority:.4f}")
    Console().print(table)
    if result.kept is not None and result.student.main == "accuracy":
        print(f"the student keeps {result.kept:.1%} of what the teacher gains over the most frequent label")
    print(f"measured on {result.student.num_samples:,} samples; {result.steps:,} steps in", end=" ")
    print(f"{format_duration(result.seconds)}\nsaved {result.folder}")
