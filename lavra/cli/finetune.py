"""`lavra finetune`: a model that does a task, from labelled data, measured before and after."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from lavra.api.load import find_folder
from lavra.base.names import ModelNames
from lavra.base.units import format_duration, format_size
from lavra.cli.console import Unit, meter, print_json
from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.runs.finetune import FinetuneResult, Prepared, finetune, prepare
from lavra.tasks.learning.settings import FinetuneConfig

HELP = """Teach a model a task from labelled data: labels of texts and pairs (classify), named entities (tag), questions
about passages (answer), multiple choice (choose), sentence embeddings (embed), reranking (rerank), conversations
(chat), one text from another (rewrite).

What is wrong with the data is listed with its lines before anything is trained. The result is a Hugging Face folder;
with --method lora and its kin a PEFT adapter."""

EXAMPLES = """
lavra finetune minilm-folder --task classify --data reviews.csv
lavra finetune minilm-folder --task tag --data lener-br/ --epochs 4
lavra finetune lavra-workspace/models/mine --task chat --data chats.jsonl --method lora --rank 16
lavra finetune minilm-folder --task embed --data pairs.jsonl --name my-encoder
lavra finetune minilm-folder --task classify --data glue/CoLA --no-header --columns text=4 label=2 --check
"""

RESUME = "run the command again to go on from the last checkpoint"

_SHOWN_SCORES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help="folder of the model to start from, or its id on the Hugging Face hub")
    parser.add_argument("--check", action="store_true", help="say what is wrong with the data and stop there")
    add_destination(parser, "model")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, FinetuneConfig)


def run(args: argparse.Namespace) -> int:
    """Look at the data, train, measure, save."""
    config = read_settings(FinetuneConfig, args)
    workspace = read_workspace(args)
    base = find_folder(args.model, workspace=workspace, whole=True)
    name = f"{ModelNames(workspace).name_of(base)}-{config.task.saved_as}"
    out = read_destination(args, workspace, "models", default_name=name)
    prepared = prepare(config, base)
    if args.check:
        return _check(prepared, as_json=args.json)
    _introduce(prepared)
    with meter(Unit.THINGS) as progress:
        result = finetune(prepared, out, progress)
    if args.json:
        print_json(_as_json(prepared, result))
    else:
        _show(prepared, result)
    return 0


def _check(prepared: Prepared, *, as_json: bool) -> int:
    reports = prepared.reports()
    if as_json:
        print_json({"reports": [report.to_json() for report in reports]})
    else:
        print("\n".join(line for report in reports for line in report.lines()))
    return 1 if any(report.groups for report in reports) else 0


def _introduce(prepared: Prepared) -> None:
    """What is wrong with the data, and what is going to happen; to stderr, before it does."""
    for report in prepared.reports():
        print("\n".join(report.lines()), file=sys.stderr)
    for note in prepared.notes:
        print(note, file=sys.stderr)
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
